//! The history: what has become of events and deliveries, read back from both logs for the API.
//!
//! Reads only. The queues decide and write; this room shows what they wrote, and no promise of theirs rests on it.

mod attempts;
mod damaged;
mod dead;
mod deliveries;
mod handle;
mod news;
mod reader;
mod revisions;
mod search;

pub use handle::History;
