//! What outsiders can hand in, as functions of bytes that fail when a property does not hold: for cargo-fuzz
//! (`fuzz/`), and for the tests, which feed them the seeds and some thousand mutations.
//!
//! Not part of any build but those two.
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

/// A target: its name, which is that of its folder of seeds, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
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
