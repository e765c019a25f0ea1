//! Fuzz targets: functions of bytes from outsiders that fail when a property does not hold. cargo-fuzz runs them
//! (`fuzz/`), and so do the tests, with the seeds and some thousand mutations.
//!
//! No other build contains them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a property that does not hold is to stop the run")]

mod disk;
mod events;
mod hooks;
mod records;
#[cfg(test)]
mod tests;

pub use crate::http::fuzz::{body, query};
pub use crate::live::fuzz::frames;
pub use events::{binding, event, form};
pub use hooks::hook;
pub use records::log;

/// A target: its name, which is also the name of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("event", event),
    ("form", form),
    ("binding", binding),
    ("hook", hook),
    ("log", log),
    ("frames", frames),
    ("query", query),
    ("body", body),
];
