//! `switchhook shadow …`: compares what this program would have delivered with what a running KAZOO has delivered, and
//! changes the mode from the command line.
//!
//! It asks both systems over their APIs and changes nothing, except the mode on request. `seen`, `compare` and
//! `report` are pure; only `source` sends requests.

mod command;
mod compare;
mod replay;
mod report;
mod seen;
mod source;

pub use command::{ShadowError, Verdict, run};
