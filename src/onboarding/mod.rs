//! Moves a KAZOO in: reads its accounts, hooks and failure limits (on request its users), compares them with the stored
//! documents, and writes the differences. `source` reads (CouchDB, crossbar, a file), `plan` compares and is pure,
//! `apply` writes.
//!
//! Promise: data from KAZOO is checked before it has any effect. Secrets in its documents are removed while they are
//! read, a reading that failed or was incomplete deletes nothing, and a document that cannot be imported is reported,
//! and does not stop the import.

mod apply;
mod documents;
mod here;
mod limits;
mod odd;
mod plan;
mod reading;
mod rules;
pub mod source;
pub mod sync;
#[cfg(test)]
mod testing;
mod tree;

pub use apply::{Begin, LogEnds, Outcome, put};
pub use here::{Here, Snapshot};
pub use odd::{Odd, OddKind};
pub use plan::{Counts, Plan, UserChange, plan};
pub use reading::{
    AccountDocument, KazooAccount, KazooHook, KazooLimits, KazooUser, OwnLimits, PasswordHash, Profile,
    Reading,
};
pub use rules::{Rules, Scope};
