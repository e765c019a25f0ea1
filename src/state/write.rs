//! Commands of the owner task, and the reasons for refusing them.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::document::Kind;
use super::index::IndexError;
use super::limits::LimitError;
use crate::log;
use crate::model::{AccountId, Actor};

/// A condition on the stored document. A write that does not meet it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// No condition.
    Any,
    /// No document with this id exists. A soft-deleted document counts as existing.
    Absent,
    /// Like `Absent`, for an id that a client chose: the id must also not be in use for another kind, and must share no
    /// shortened or derived form with an id in use. A soft-deleted account does not count as existing.
    Free,
    /// The stored document has this revision.
    Rev(String),
}

/// A write of one document.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The kind of the document.
    pub kind: Kind,
    /// The id of the document.
    pub id: String,
    /// The new content; `None` removes the document.
    pub doc: Option<Map<String, Value>>,
    /// The condition.
    pub expect: Expect,
}

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The stored document does not meet the condition.
    #[error("document '{id}' has changed")]
    Conflict {
        /// The id of the document.
        id: String,
    },
    /// The id, or a form derived from it, collides with an id in use.
    #[error("id '{id}' collides with an id in use")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// The document does not exist.
    #[error("document '{id}' does not exist")]
    Missing {
        /// The id of the document.
        id: String,
    },
    /// The account that would own the document does not exist or was deleted.
    #[error("account {0} does not exist")]
    NoOwner(AccountId),
    /// The change is larger than a record of the journal may be.
    #[error("change is too large: {0}")]
    TooLarge(String),
    /// The change would exceed a limit of the account or tenant.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The disk has less free space than its reserve.
    #[error("no room on disk")]
    Full,
    /// The journal refuses records, or the owner task has ended.
    #[error("state cannot be written: {0}")]
    Unavailable(String),
    /// The index failed. The journal is not affected, and a restart rebuilds the index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl WriteError {
    /// Whether the write may succeed after reading the document again.
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
    /// A copy of this error, for another command of the same batch.
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
            // Errors of the library cannot be copied.
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

/// An edit of a document, made by the owner task.
pub(super) type Edit = Box<dyn FnOnce(&mut Map<String, Value>) + Send>;

/// The actor of a change; `None` for the program itself.
pub(super) type By = Option<Arc<Actor>>;

/// What brings changes of documents that another system owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirroredBy {
    /// An import that a person has started.
    Import,
    /// The sync that follows the other system.
    Sync,
}

impl MirroredBy {
    /// The word for it in the audit trail.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Sync => "sync",
        }
    }
}

/// A document as stored.
pub(super) type Written = Map<String, Value>;

/// A command for the owner task.
pub(super) enum StateRequest {
    Write {
        writes: Vec<Write>,
        by: By,
        /// What brings the changes of another system's documents. No event tells of them, and no limit of accounts holds
        /// for them. `None`: the documents are ours.
        mirrored: Option<MirroredBy>,
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

impl fmt::Debug for StateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write { .. } => "Write",
            Self::Update { .. } => "Update",
        })
    }
}
