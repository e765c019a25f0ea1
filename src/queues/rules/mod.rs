//! The rules: decisions that follow from plain facts. Nothing in this folder reads a log, a clock or a random source. Time
//! and random numbers are arguments, and every rule has its own tests.

pub(in crate::queues) mod fate;
pub(in crate::queues) mod pace;
pub(in crate::queues) mod partitions;
pub(in crate::queues) mod permits;
pub(in crate::queues) mod policy;
pub(in crate::queues) mod replay;
pub(in crate::queues) mod router;
pub(in crate::queues) mod trial;
pub(in crate::queues) mod verdict;
