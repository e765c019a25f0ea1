//! Authentication for the API and the websockets: issuing, verifying and revoking tokens, checking passwords, and rate
//! limits.
//!
//! A token is valid for one account and all accounts below it. It becomes invalid when it expires, when it is
//! revoked, and when its account, key or user is deleted, changed or disabled.

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

use self::limits::LogInLimits;
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
pub use token::{Caller, IssueError, TokenBasis, TokenError};

/// The settings of authentication.
#[derive(Debug, Clone)]
pub struct AuthOptions {
    /// The lifetime of a token in seconds.
    pub token_ttl_s: u64,
    /// The rate of requests from one address for one account; `None` for no limit.
    pub requests: Option<Rate>,
    /// The tokens that a request takes from its bucket.
    pub request_cost: u32,
    /// The tokens that a log-in takes from its bucket.
    pub log_in_cost: u32,
    /// The rate of wrong credentials from one address; `None` for no limit.
    pub wrong_credentials: Option<Rate>,
    /// The most buckets of each kind.
    pub most_buckets: usize,
    /// The clock of the buckets. It must not go back.
    pub steady: Clock,
    /// The most revoked tokens of one account that have not expired.
    pub most_revoked: usize,
    /// The most passwords that are checked at a time. Each check takes 19 MiB and some hundredths of a second.
    pub password_checks: usize,
    /// How long a log-in waits for its check.
    pub password_wait: Duration,
    /// The public keys of a KAZOO whose tokens are accepted.
    pub foreign: Option<ForeignKeys>,
    /// The crossbar of that KAZOO, for its keys and for checks of its tokens.
    pub crossbar: Option<Arc<Crossbar>>,
    /// Whether KAZOO's tokens without an expiry are accepted.
    pub foreign_without_end: bool,
    /// Whether an unknown account that a token of KAZOO names is created.
    pub auto_create: bool,
}

impl Default for AuthOptions {
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

/// The rights of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything in the account and in all accounts below it.
    Admin,
    /// Reading the account's hooks and the results of their deliveries.
    User,
}

/// A user who may log in to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The account.
    pub account: AccountId,
    /// The user's id.
    pub id: String,
    /// The rights of the user.
    pub role: Role,
    /// A value that changes when the user's password changes.
    pub stamp: String,
}

/// The holder of a new token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Somebody who knows an API key.
    Key(ApiKey),
    /// A user.
    User(User),
}

/// Issues and verifies tokens, and checks credentials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    state: State,
    clock: Clock,
    tasks: Tasks,
    options: Arc<AuthOptions>,
    limits: Arc<LogInLimits>,
    checks: Arc<Semaphore>,
    /// Held while a link is made.
    making_links: Arc<tokio::sync::Mutex<()>>,
}

impl Auth {
    /// Uses the accounts, keys, users and the secret of `state`.
    #[must_use]
    pub fn new(state: State, clock: Clock, tasks: Tasks, options: AuthOptions) -> Self {
        let limits = Arc::new(LogInLimits::new(&options));
        let checks = Arc::new(Semaphore::new(options.password_checks));
        Self { state, clock, tasks, options: Arc::new(options), limits, checks, making_links: Arc::default() }
    }

    /// The same with another handle of the state, whose changes have a different actor.
    #[must_use]
    pub fn over(&self, state: State) -> Self {
        Self { state, ..self.clone() }
    }

    /// Whether a caller may access an account: an admin their own account and those below it, a user only their own.
    #[must_use]
    pub fn covers(&self, own: AccountId, role: Role, account: AccountId) -> bool {
        match role {
            Role::Admin => self.state.is_ancestor_or_self(own, account),
            Role::User => own == account,
        }
    }

    fn now_s(&self) -> u64 {
        self.clock.now_us() / 1_000_000
    }
}
