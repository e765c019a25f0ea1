//! The ledger: records of attempts and settlements, and checkpoints. They are written, counted, and read after a restart.

pub(in crate::queues) mod attempt_codec;
pub(in crate::queues) mod attempt_record;
mod before;
pub(in crate::queues) mod checkpoints;
pub(in crate::queues) mod codec;
pub(in crate::queues) mod failing;
pub(in crate::queues) mod filed;
mod filing;
pub(in crate::queues) mod logs;
pub(in crate::queues) mod recent;
pub(in crate::queues) mod record;
pub(in crate::queues) mod recorded;
pub(in crate::queues) mod recover;
pub(in crate::queues) mod recovered_queue;
pub(in crate::queues) mod revisions;
pub(in crate::queues) mod tally;
pub(in crate::queues) mod writer;
