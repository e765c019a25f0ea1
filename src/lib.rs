//! Switchhook: a durable, ordered webhook delivery engine for KAZOO events.

pub mod disk;
pub mod ingest;
pub mod kazoo;
pub mod log;
pub mod model;
pub mod tasks;
