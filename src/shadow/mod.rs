//! `switchhook shadow …`: what this program would have delivered against what a running KAZOO has delivered, and the change
//! of the mode from the command line.
//!
//! It asks both systems over their APIs and changes nothing in either, but for the mode where that is asked for. `seen`,
//! `compare` and `report` are pure; `source` alone asks.

mod command;
mod compare;
mod replay;
mod report;
mod seen;
mod source;

pub use command::{ShadowError, Verdict, run};
