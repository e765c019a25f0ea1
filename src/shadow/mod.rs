//! `switchhook shadow …`: compares what this program would have delivered with what a running KAZOO has delivered, and
//! changes the mode from the command line.
//!
//! It asks both systems over their APIs and changes nothing in either, but for the mode where that is asked for. `seen`,
//! `compare` and `report` are pure; `command` and `replay` ask, through `remote`.

mod command;
mod compare;
mod replay;
mod report;
mod seen;

pub use command::{ShadowError, Verdict, run};
