//! The sources of a reading: KAZOO's CouchDB, its API (crossbar), or a file with an earlier reading.
//!
//! Promise: a reading is complete or an error. This program never writes to a KAZOO, and no answer makes it take more
//! memory than its bounds allow.

mod client;
mod couch;
mod couch_feed;
mod couch_pages;
mod crossbar;
mod crossbar_api;
mod file;
mod resume;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use client::{Answer, Ask, Client, Credentials, Manner, SourceError};
pub use couch::Couch;
pub use couch_feed::Changes;
pub use crossbar_api::Crossbar;
pub use file::{load, save};
pub use resume::{KEPT_S, Resume};

use super::reading::Reading;
use crate::model::{AccountId, DocumentId, HookId};
use crate::state::Kind;

/// The limits of a reading.
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
    /// Checks the numbers of accounts and hooks.
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

/// The largest text of all accounts and hooks of a reading, in bytes. 100,000 accounts with a hook each have about 50
/// MiB.
const MOST_KEPT: usize = 128 << 20;

/// Checks the size of a reading.
fn fits(bytes: usize) -> Result<(), SourceError> {
    if bytes > MOST_KEPT { Err(SourceError::TooMuch(MOST_KEPT)) } else { Ok(()) }
}

/// The names of the two limits.
const ACCOUNTS: &str = "accounts";
const HOOKS: &str = "hooks";

/// The error for more accounts or hooks than the limits allow.
fn too_many(what: &'static str, most: usize) -> SourceError {
    let key = if what == HOOKS { "kazoo.sync.max_hooks" } else { "kazoo.sync.max_accounts" };
    SourceError::TooMany { what, most, key }
}

/// The present step of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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

/// An account of a reading whose details are still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The account.
    pub account: AccountId,
    /// Whether its failure limits are wanted. Its hooks always are, unless the lists had them.
    pub limits: bool,
}

/// Where the details of some accounts stand among those of all.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Gets the progress.
    pub progress: &'a dyn Progress,
    /// Accounts whose details have been read before.
    pub before: usize,
    /// Accounts whose details are to be read in all.
    pub of: usize,
}

impl Part<'_> {
    fn at(&self, stage: Stage, done: usize) {
        self.progress.at(stage, self.before + done, Some(self.of));
    }
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Part from {} of {}", self.before, self.of)
    }
}

/// Gets the progress of a reading.
pub trait Progress: Send + Sync {
    /// `done` of `of` documents; `of` is `None` if the total is unknown.
    fn at(&self, stage: Stage, done: usize, of: Option<usize>);
}

/// Ignores the progress.
impl Progress for () {
    fn at(&self, _stage: Stage, _done: usize, _of: Option<usize>) {}
}

/// Whether a document that a reading did not have is really gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// KAZOO has confirmed it for this document.
    Yes,
    /// The document exists, or the reader may not know.
    No,
    /// The account's copy in `accounts` is missing, but its database exists.
    OnlyHalf,
}

/// A KAZOO to read from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Its database.
    Couch(Couch),
    /// Its API.
    Crossbar(Crossbar),
}

impl Source {
    /// Reads everything, `step` accounts at a time. `resume` has what an interrupted reading has read, and keeps each step
    /// that is read now.
    pub async fn read(
        &self,
        users: bool,
        step: usize,
        progress: &dyn Progress,
        mut resume: Option<&mut Resume>,
    ) -> Result<Reading, SourceError> {
        let mut reading = self.lists(progress).await?;
        let want = |account: &AccountId| Want { account: *account, limits: true };
        let mut wants: Vec<_> = reading.accounts.keys().map(want).collect();
        let of = wants.len();
        if let Some(resume) = &mut resume {
            wants = resume.give(&mut reading, wants);
        }
        let mut before = of - wants.len();
        progress.at(Stage::Limits, before, Some(of));
        for step in wants.chunks(step.max(1)) {
            self.details(step, &mut reading, Part { progress, before, of }).await?;
            if let Some(resume) = &mut resume {
                resume.keep(step, &reading, !self.lists_hooks())?;
            }
            before += step.len();
        }
        if let Self::Couch(couch) = self
            && users
        {
            let read = couch.users(&mut reading, progress).await;
            read.map_err(|error| self.with_remedy(error))?;
        }
        reading.is_complete = true;
        Ok(reading)
    }

    /// Reads what lists have: all accounts, and from CouchDB all hooks. The reading is not complete yet.
    pub async fn lists(&self, progress: &dyn Progress) -> Result<Reading, SourceError> {
        let read = match self {
            Self::Couch(couch) => couch.lists(progress).await,
            Self::Crossbar(crossbar) => crossbar.lists(progress).await,
        };
        read.map_err(|error| self.with_remedy(error))
    }

    /// Adds to a refusal what the operator can do about it.
    fn with_remedy(&self, error: SourceError) -> SourceError {
        let SourceError::Refused { url, status, reason } = error else { return error };
        let remedy = match (self, status) {
            (Self::Couch(_), 401) => {
                "; the name or password is wrong or missing (--couch-credentials-file, \
                 kazoo.sync.couch_credentials_file)"
            }
            (Self::Couch(_), 403) => "; make the user a member of this database",
            (Self::Crossbar(_), 401) => {
                "; the API key is unknown there (--api-key-file, kazoo.sync.api_key_file)"
            }
            (Self::Crossbar(_), 403) => "; the API key must be that of KAZOO's master account",
            _ => "",
        };
        SourceError::Refused { url, status, reason: format!("{reason}{remedy}") }
    }

    /// Whether the lists have all hooks. Otherwise hooks are details of their accounts.
    #[must_use]
    pub fn lists_hooks(&self) -> bool {
        matches!(self, Self::Couch(_))
    }

    /// Reads what takes a request for each account, and adds it to a reading. After an error, a part of it may have
    /// been added.
    pub async fn details(
        &self,
        wants: &[Want],
        reading: &mut Reading,
        part: Part<'_>,
    ) -> Result<(), SourceError> {
        let read = match self {
            Self::Couch(couch) => couch.details(wants, reading, part).await,
            Self::Crossbar(crossbar) => crossbar.details(wants, reading, part).await,
        };
        read.map_err(|error| self.with_remedy(error))
    }

    /// Reads some accounts and hooks again; the caller may name a hook's account. The answer does not contain
    /// missing ones.
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

    /// Asks whether an account, or a hook of an account, is really gone.
    pub async fn gone(
        &self,
        kind: Kind,
        id: DocumentId,
        owner: Option<AccountId>,
    ) -> Result<Gone, SourceError> {
        match self {
            Self::Couch(couch) => couch.gone(kind, id).await,
            Self::Crossbar(crossbar) => crossbar.gone(kind, id, owner).await,
        }
    }

    /// The present positions in the feeds of changes of accounts and hooks; `None`: the source has no feeds.
    pub async fn places(&self) -> Result<Option<[Value; 2]>, SourceError> {
        match self {
            Self::Couch(couch) => Ok(Some([couch.place("accounts").await?, couch.place("webhooks").await?])),
            Self::Crossbar(_) => Ok(None),
        }
    }

    /// The changes in a feed (0: accounts, 1: hooks) since a position; the answer comes after at most `wait`.
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
