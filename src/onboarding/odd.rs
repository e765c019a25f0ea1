//! Names what is odd in a KAZOO, or cannot be imported. It is reported, and never stops an import.

use serde::{Deserialize, Serialize};

/// The largest number of characters of an id or a text.
const LONGEST: usize = 400;

/// A kind of oddity, with a stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddKind {
    /// The account's parent does not exist: the account is left out.
    Orphan,
    /// The trees of an account and its parent disagree: it is being moved, or a move was interrupted.
    HalfMoved,
    /// The account is its own ancestor: it is left out.
    Circle,
    /// The account has no parent and is not the master account: it is left out with its descendants.
    SecondRoot,
    /// The database `accounts` has only a part of the account's document.
    Stub,
    /// The two fields for whether the account is enabled contradict each other.
    EnabledContradicts,
    /// The account has no name: its id is used instead.
    NoName,
    /// Another account has the realm: this account is imported without a realm.
    RealmTwice,
    /// The realm is not a host name: the account is imported without a realm.
    RealmOdd,
    /// The account of the hook does not exist: the hook is left out.
    HookOfGone,
    /// The hook asks for an unknown event type: it is left out.
    UnknownFamily,
    /// The hook has no usable URI: it is left out.
    NoUri,
    /// The hook's URI is refused here: the hook is imported, and its deliveries fail until the URI is corrected.
    UriRefused,
    /// The hook would not pass the API's checks: it is imported unchanged.
    HookOdd,
    /// The hook belongs to another account here: it is not changed.
    OwnerChanged,
    /// The account has more hooks than the configuration allows: all of them are imported.
    OverLimit,
    /// The document is too large: it is left out.
    TooLarge,
    /// The id does not have 32 hex digits, or another document here has it: the document is left out.
    IdRefused,
    /// A document in CouchDB has conflicting revisions.
    Conflicts,
    /// The limits of the system differ between zones or nodes: those of `default` are used.
    LimitsDiffer,
    /// A part of the KAZOO could not be read.
    NotRead,
    /// The document is missing in KAZOO, and kept because the deletion is not confirmed, or too many would be
    /// deleted at once.
    Kept,
    /// The change was refused here.
    NotApplied,
}

/// One oddity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Odd {
    /// The kind.
    pub what: OddKind,
    /// The account, hook or user.
    pub id: String,
    /// An explanation for a person, with the remedy if there is one. Contains no secret.
    pub text: String,
}

impl Odd {
    /// Creates an oddity of a document.
    pub fn new(what: OddKind, id: impl std::fmt::Display, text: impl Into<String>) -> Self {
        // An invalid id may have any length.
        let id = id.to_string().chars().take(LONGEST).collect();
        Self { what, id, text: text.into().chars().take(LONGEST).collect() }
    }
}
