//! The state: accounts, hooks, users, keys and settings, as documents in a journal with an index over it.
//!
//! Promise: a write is answered when it is on disk. The index can always be rebuilt from the journal, so no promise
//! depends on it.

mod accounts;
mod admit;
mod allowance;
mod api_keys;
mod audit;
mod audit_kept;
mod audit_page;
mod called;
mod compact;
mod document;
mod first_start;
mod handle;
mod hooks;
mod ids;
mod index;
mod journal;
mod keys;
mod limits;
mod mirror;
mod notices;
mod open;
mod options;
mod orphans;
mod owner;
mod removal;
mod revoked;
mod shared;
mod tenants;
mod users;
mod view;
mod write;

#[cfg(test)]
mod tests;

pub use accounts::TreeError;
pub use api_keys::ApiKey;
pub use audit_page::{AuditPage, AuditQuery};
pub use document::{Kind, hex, is_deleted, key_hash, owner};
pub use first_start::{FirstKey, Settings, new_api_key, random_id};
pub use handle::State;
pub use hooks::{is_auto_disabled, starts_from_now};
pub use index::IndexError;
pub use journal::JournalError;
pub use limits::{DocumentLimits, LimitError};
pub use mirror::{MIRRORED, Mirror, is_mirrored};
pub use notices::{Notice, Notices};
pub use open::{OpenError, OpenedState};
pub use options::StateOptions;
pub use owner::StateTask;
pub use view::Change;
pub use write::{Expect, MirroredBy, Write, WriteError};
