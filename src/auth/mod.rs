//! Who is asking, and for which accounts: tokens are issued, verified and revoked here, passwords are checked, and
//! whoever asks too often is told so; for the API and for websockets alike.
//!
//! A token is good for one account and everything below it, until its time is over, it is revoked, or what it was
//! issued for (its account, key or user) is gone or disabled.

mod bucket;
mod crossbar;
mod foreign;
mod limits;
mod link;
mod password;
mod revocation;
mod token;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::limits::Limits;
use crate::model::{AccountId, Clock};
use crate::state::{ApiKey, State};
use crate::tasks::Tasks;

pub use bucket::Rate;
pub use crossbar::{Crossbar, CrossbarError, CrossbarOptions};
pub use foreign::{ForeignKeys, LoadError};
pub use limits::{Purpose, Tokens};
pub use link::{Link, LinkError, NewLink};
pub use password::{Credentials, PasswordError, Verifiers, verifier};
pub use revocation::RevokeError;
pub use token::{Caller, IssueError, Standing, TokenError};

/// The rules of who gets in.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a token is good, in seconds.
    pub token_ttl_s: u64,
    /// What one address may ask for one account; `None`: as much as it likes.
    pub requests: Option<Rate>,
    /// What a request takes from its bucket.
    pub request_cost: u32,
    /// What a log-in takes from its bucket.
    pub log_in_cost: u32,
    /// Wrong credentials that one address may send; `None`: as many as it likes.
    pub wrong_credentials: Option<Rate>,
    /// Buckets that are remembered at most, of either kind.
    pub most_buckets: usize,
    /// What the buckets count time by: it must not go back.
    pub steady: Clock,
    /// Revoked tokens of one account whose time is not over, at most.
    pub most_revoked: usize,
    /// Passwords that are checked at a time: each takes 19 MiB and some hundredths of a second.
    pub password_checks: usize,
    /// How long a log-in waits for its turn.
    pub password_wait: Duration,
    /// The public keys of a KAZOO whose tokens are good here.
    pub foreign: Option<ForeignKeys>,
    /// The crossbar of that KAZOO, which is asked for keys and about tokens.
    pub crossbar: Option<Arc<Crossbar>>,
    /// Whether a KAZOO's token that never ends is good.
    pub foreign_without_end: bool,
    /// Whether an account that only such a token knows is made when it is first seen.
    pub auto_create: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token_ttl_s: 3600,
            requests: None,
            request_cost: 1,
            log_in_cost: 1,
            wrong_credentials: None,
            most_buckets: 65_536,
            steady: Clock::steady(),
            most_revoked: 10_000,
            password_checks: 2,
            password_wait: Duration::from_secs(10),
            foreign: None,
            crossbar: None,
            foreign_without_end: false,
            auto_create: false,
        }
    }
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, for the account and those below it.
    Admin,
    /// Look at the account's hooks and what became of their deliveries.
    User,
}

/// A person who may log in to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The account.
    pub account: AccountId,
    /// The user's id.
    pub id: String,
    /// What he may do.
    pub role: Role,
    /// Changes with his password.
    pub stamp: String,
}

/// Whom a token is issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Whoever knows an API key.
    Key(ApiKey),
    /// A person.
    User(User),
}

/// Issues and verifies tokens, and checks credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    state: State,
    clock: Clock,
    tasks: Tasks,
    options: Arc<Options>,
    limits: Arc<Limits>,
    checks: Arc<Semaphore>,
}

impl Auth {
    /// Over the accounts, keys, users and the secret of a state.
    #[must_use]
    pub fn new(state: State, clock: Clock, tasks: Tasks, options: Options) -> Self {
        let limits = Arc::new(Limits::new(&options));
        let checks = Arc::new(Semaphore::new(options.password_checks));
        Self { state, clock, tasks, options: Arc::new(options), limits, checks }
    }

    /// The same over another handle of its state: whose changes are told apart by who asks.
    #[must_use]
    pub fn over(&self, state: State) -> Self {
        Self { state, ..self.clone() }
    }

    /// Whether a caller of an account and role may look after an account: an admin his own and those below it, a
    /// user his own only.
    #[must_use]
    pub fn covers(&self, (own, role): (AccountId, Role), account: AccountId) -> bool {
        match role {
            Role::Admin => self.state.is_ancestor_or_self(own, account),
            Role::User => own == account,
        }
    }

    fn now_s(&self) -> u64 {
        self.clock.now_us() / 1_000_000
    }
}
