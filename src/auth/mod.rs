//! Who is asking, and for which accounts: tokens are issued and verified here, for the API and for websockets
//! alike.
//!
//! A token is good for one account and everything below it, until its time is over or the account is gone or
//! disabled.

mod token;

use crate::model::{AccountId, Clock};
use crate::state::State;

pub use token::{Caller, IssueError, TokenError};

/// The rules for tokens.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a token is good, in seconds.
    pub token_ttl_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { token_ttl_s: 3600 }
    }
}

/// Issues and verifies tokens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    state: State,
    clock: Clock,
    options: Options,
}

impl Auth {
    /// Over the accounts and the secret of a state.
    #[must_use]
    pub fn new(state: State, clock: Clock, options: Options) -> Self {
        Self { state, clock, options }
    }

    /// Whether a caller may look after an account: it is the caller's own or below it.
    #[must_use]
    pub fn covers(&self, caller: &Caller, account: AccountId) -> bool {
        self.state.is_ancestor_or_self(caller.account, account)
    }

    fn now_s(&self) -> u64 {
        self.clock.now_us() / 1_000_000
    }
}
