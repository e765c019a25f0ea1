//! What is odd in a KAZOO, or does not fit here: reported, never fatal.

use serde::{Deserialize, Serialize};

/// Characters of an id or a text that are kept.
const LONGEST: usize = 400;

/// A kind of oddity, by a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OddKind {
    /// The account's parent is not there: the account is left out.
    Orphan,
    /// The trees of an account and its parent disagree: it is being moved, or a move was interrupted.
    HalfMoved,
    /// The account stands below itself: it is left out.
    Circle,
    /// Another account than the master account stands below nobody: it is left out with all below it.
    SecondRoot,
    /// Only a part of the account's document is in `accounts`.
    Stub,
    /// The two fields that say whether the account is enabled contradict each other.
    EnabledContradicts,
    /// The account has no name: it is shown by its id.
    NoName,
    /// Another account has the realm: this one is imported without.
    RealmTwice,
    /// The realm is no host name: the account is imported without.
    RealmOdd,
    /// The account of the hook is not there: the hook is left out.
    HookOfGone,
    /// The hook asks for an event that nobody knows: it is left out.
    UnknownFamily,
    /// The hook has no usable URI: it is left out.
    NoUri,
    /// The hook's URI is refused here: the hook is imported, and its deliveries fail until that is mended.
    UriRefused,
    /// The hook would not pass the API's checks: it is imported as it is.
    HookOdd,
    /// The hook belongs to another account than here: it is left as it is.
    OwnerChanged,
    /// The account has more of something than the configuration allows: all are imported.
    OverLimit,
    /// The document is too large: it is left out.
    TooLarge,
    /// The id is no id of 32 hex digits, or collides with another one here: the document is left out.
    IdRefused,
    /// A document in CouchDB has conflicting revisions.
    Conflicts,
    /// The limits of the system differ between zones or nodes: those of `default` count.
    LimitsDiffer,
    /// A part of the KAZOO could not be read.
    NotRead,
    /// Missing in KAZOO, and kept because the deletion is not confirmed, or too much would go at once.
    Kept,
    /// The change was refused here.
    NotApplied,
}

/// One oddity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Odd {
    /// What.
    pub what: OddKind,
    /// The account, hook or user.
    pub id: String,
    /// For a person, with the remedy where there is one. Holds no secret.
    pub text: String,
}

impl Odd {
    /// An oddity of a document.
    pub fn new(what: OddKind, id: impl std::fmt::Display, text: impl Into<String>) -> Self {
        // What is no id may be of any length.
        let id = id.to_string().chars().take(LONGEST).collect();
        Self { what, id, text: text.into().chars().take(LONGEST).collect() }
    }
}
