//! Switchhook: a durable, ordered webhook delivery engine for KAZOO events.

pub mod kazoo;
pub mod model;
pub mod tasks;
