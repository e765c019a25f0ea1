//! Where a KAZOO is read from: its CouchDB, its API (crossbar), or a file that holds an earlier reading.
//!
//! Held: a reading comes whole or is an error. Nothing is ever written to a KAZOO, and no answer makes this program take
//! more memory than its bounds say.

mod client;
mod couch;
mod couch_feed;
mod crossbar;
mod crossbar_api;
mod file;

use std::time::Duration;

use serde_json::Value;

pub use client::{Answer, Ask, Client, Credentials, Manner, SourceError};
pub use couch::Couch;
pub use couch_feed::Changes;
pub use crossbar_api::Crossbar;
pub use file::{load, save};

use super::reading::Reading;
use crate::model::{AccountId, HookId, Id};
use crate::state::Kind;

/// How much is read at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Documents of the database of accounts, or rows of a list of accounts.
    pub most_accounts: usize,
    /// Documents of the database of hooks, or hooks of all accounts.
    pub most_hooks: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { most_accounts: 100_000, most_hooks: 100_000 }
    }
}

impl Bounds {
    /// Whether a KAZOO with so many accounts and hooks is read.
    pub fn check(self, accounts: usize, hooks: usize) -> Result<(), SourceError> {
        if accounts > self.most_accounts {
            return Err(too_many(ACCOUNTS, self.most_accounts));
        }
        if hooks > self.most_hooks {
            return Err(too_many(HOOKS, self.most_hooks));
        }
        Ok(())
    }
}

/// Bytes of text that the accounts and hooks of a reading may hold. 100,000 accounts with a hook each hold about 50 MiB.
const MOST_KEPT: usize = 128 << 20;

/// Whether a reading may go on.
fn fits(bytes: usize) -> Result<(), SourceError> {
    if bytes > MOST_KEPT { Err(SourceError::TooMuch(MOST_KEPT)) } else { Ok(()) }
}

/// What is counted.
const ACCOUNTS: &str = "accounts";
const HOOKS: &str = "hooks";

/// The error for more accounts or hooks than may be read.
fn too_many(what: &'static str, most: usize) -> SourceError {
    let key = if what == HOOKS { "kazoo.sync.max_hooks" } else { "kazoo.sync.max_accounts" };
    SourceError::TooMany { what, most, key }
}

/// What a reading is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Accounts.
    Accounts,
    /// Hooks.
    Hooks,
    /// Failure limits of accounts.
    Limits,
    /// Users of accounts.
    Users,
    /// Changes are being written.
    Writing,
}

/// Is told how far a reading is.
pub trait Progress: Send + Sync {
    /// `done` of `of` (if it is known how many there are).
    fn at(&self, stage: Stage, done: usize, of: Option<usize>);
}

/// Nobody is told.
impl Progress for () {
    fn at(&self, _stage: Stage, _done: usize, _of: Option<usize>) {}
}

/// Whether something that a reading did not have is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It is: the KAZOO says so about it alone.
    Yes,
    /// It is there, or the reader may not know.
    No,
    /// The account's copy in `accounts` is missing, and its database is there.
    OnlyHalf,
}

/// A KAZOO that can be asked.
#[derive(Debug, Clone)]
pub enum Source {
    /// Its database.
    Couch(Couch),
    /// Its API.
    Crossbar(Crossbar),
}

impl Source {
    /// Reads everything.
    pub async fn read(&self, users: bool, progress: &dyn Progress) -> Result<Reading, SourceError> {
        match self {
            Self::Couch(couch) => couch.read(users, progress).await,
            Self::Crossbar(crossbar) => crossbar.read(progress).await,
        }
    }

    /// Reads some accounts and hooks again; of a hook the account may be known. What is missing is in no list of the
    /// answer.
    pub async fn reread(
        &self,
        accounts: &[AccountId],
        hooks: &[(HookId, Option<AccountId>)],
    ) -> Result<Reading, SourceError> {
        match self {
            Self::Couch(couch) => {
                let hooks: Vec<_> = hooks.iter().map(|(id, _)| *id).collect();
                couch.reread(accounts, &hooks).await
            }
            Self::Crossbar(crossbar) => crossbar.reread(accounts, hooks).await,
        }
    }

    /// Asks once more whether an account or a hook (of an account) is gone.
    pub async fn gone(&self, kind: Kind, id: Id, owner: Option<AccountId>) -> Result<Gone, SourceError> {
        match self {
            Self::Couch(couch) => couch.gone(kind, id).await,
            Self::Crossbar(crossbar) => crossbar.gone(kind, id, owner).await,
        }
    }

    /// The present places in the feeds of changes of accounts and hooks; `None`: the source has no such feeds.
    pub async fn places(&self) -> Result<Option<[Value; 2]>, SourceError> {
        match self {
            Self::Couch(couch) => Ok(Some([couch.place("accounts").await?, couch.place("webhooks").await?])),
            Self::Crossbar(_) => Ok(None),
        }
    }

    /// What has changed in a feed (0: accounts, 1: hooks) since a place, at the latest after `wait`.
    pub async fn changes(&self, feed: usize, since: &Value, wait: Duration) -> Result<Changes, SourceError> {
        match self {
            Self::Couch(couch) => {
                couch.changes(["accounts", "webhooks"].get(feed).unwrap_or(&"accounts"), since, wait).await
            }
            Self::Crossbar(_) => {
                tokio::time::sleep(wait).await;
                Ok(Changes { documents: Vec::new(), next: since.clone() })
            }
        }
    }
}
