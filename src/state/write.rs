//! What can be asked of the owner task, and why it may be refused.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::document::Kind;
use super::index::IndexError;
use super::limits::LimitError;
use crate::log;
use crate::model::{AccountId, Actor};

/// What must be true of the stored document for a write to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no document of that id (a soft-deleted one counts as one).
    Absent,
    /// The same for an id that somebody gave; besides, nothing of another kind has the id, and it shares no shortened or
    /// derived form with an id in use. A soft-deleted account does not count as one.
    Free,
    /// The stored document has this revision.
    Rev(String),
}

/// One document's write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its new content; `None` removes it.
    pub doc: Option<Map<String, Value>>,
    /// What must be true before.
    pub expect: Expect,
}

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The stored document is not what was expected.
    #[error("document '{id}' has changed")]
    Conflict {
        /// Which one.
        id: String,
    },
    /// The id collides with one in use, or with one derived from it.
    #[error("id '{id}' collides with an id in use")]
    IdTaken {
        /// Which one.
        id: String,
    },
    /// There is no such document.
    #[error("document '{id}' does not exist")]
    Missing {
        /// Which one.
        id: String,
    },
    /// The account that would own the document does not exist or was deleted.
    #[error("account {0} does not exist")]
    NoOwner(AccountId),
    /// The change is larger than a record may be.
    #[error("change is too large: {0}")]
    TooLarge(String),
    /// The change would break a limit of the account.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The disk is below its reserve.
    #[error("no room on disk")]
    Full,
    /// The journal refuses, or the owner task has ended.
    #[error("state cannot be written: {0}")]
    Unavailable(String),
    /// The index failed; what the journal holds is safe, and a restart makes the index again.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl WriteError {
    /// Whether the same write may succeed when it is made again after a fresh read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Conflict { .. } => true,
            Self::IdTaken { .. }
            | Self::Missing { .. }
            | Self::NoOwner(_)
            | Self::TooLarge(_)
            | Self::Limit(_)
            | Self::Full
            | Self::Unavailable(_)
            | Self::Index(_) => false,
        }
    }
}

impl WriteError {
    /// The same refusal for another writer of the same batch.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Conflict { id } => Self::Conflict { id: id.clone() },
            Self::IdTaken { id } => Self::IdTaken { id: id.clone() },
            Self::Missing { id } => Self::Missing { id: id.clone() },
            Self::NoOwner(account) => Self::NoOwner(*account),
            Self::TooLarge(reason) => Self::TooLarge(reason.clone()),
            Self::Limit(limit) => Self::Limit(limit.clone()),
            Self::Full => Self::Full,
            Self::Unavailable(reason) => Self::Unavailable(reason.clone()),
            Self::Index(error) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<log::AppendError> for WriteError {
    fn from(error: log::AppendError) -> Self {
        match error {
            log::AppendError::Full => Self::Full,
            log::AppendError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            log::AppendError::Poisoned(_) | log::AppendError::Closed => Self::Unavailable(error.to_string()),
        }
    }
}

/// A change of a document in place.
pub(super) type Edit = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

/// Who asked; `None`: the program itself.
pub(super) type By = Option<Arc<Actor>>;

/// A document as it was written.
pub(super) type Written = Map<String, Value>;

/// Work for the owner task.
pub(super) enum Command {
    Write {
        writes: Vec<Write>,
        by: By,
        /// Whether events tell of the changes.
        told: bool,
        reply: oneshot::Sender<Result<Vec<Written>, WriteError>>,
    },
    Update {
        kind: Kind,
        id: String,
        edit: Edit,
        by: By,
        reply: oneshot::Sender<Result<Vec<Written>, WriteError>>,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write { .. } => "Write",
            Self::Update { .. } => "Update",
        })
    }
}
