//! The history of events and deliveries, read from both logs for the API.
//!
//! Only reads. The queues decide and write; this room shows what they have written, and no promise of the queues
//! depends on it.

mod attempts;
mod courses;
mod damaged;
mod dead;
mod dead_index;
mod deliveries;
mod handle;
mod news;
mod reader;
mod revisions;
mod search;
mod waiting;

pub use handle::History;
