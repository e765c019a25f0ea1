//! A KAZOO moves in: its accounts, hooks and failure limits, on request its users, are read, compared with what is here,
//! and taken over. `source` reads (CouchDB, crossbar, a file), `plan` compares and is pure, `apply` writes.
//!
//! Held: what KAZOO says decides nothing unchecked. Secrets of its documents are dropped as they are read, nothing is
//! deleted on the strength of a reading that failed or was short, and what does not fit is named, not fatal.

mod apply;
mod documents;
mod here;
mod limits;
mod odd;
mod plan;
mod reading;
pub mod source;
pub mod sync;
mod tree;

pub use apply::{Begin, Outcome, Places, put};
pub use here::{Here, Shown};
pub use odd::{Odd, OddKind};
pub use plan::{Counts, Plan, Rules, UserChange, plan};
pub use reading::{
    Found, KazooAccount, KazooHook, KazooUser, Limits, OwnLimits, PasswordHash, Profile, Reading,
};
