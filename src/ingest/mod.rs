//! How events come in: from the broker or over HTTP, into the log, and acknowledged after the sync.
//!
//! Promise: an acknowledged event is on disk. An event that cannot be understood is stored as quarantined, with the
//! reason, so that nothing is lost and nothing blocks the queue. Memory is bounded by the broker's prefetch, the
//! batches under way, and the bytes of HTTP clients that may wait for the disk.

mod acknowledge;
mod batch;
mod checks;
mod consumer;
mod counts;
mod handle;
mod keys;
mod message;
mod own;
mod prepare;
mod renew;
mod session;
mod topology;
mod window;
mod windows;

pub use consumer::{AmqpConsumer, ConsumeError, ConsumerOptions};
pub use counts::Counts;
pub use handle::{Ingest, IngestOptions, Realms, SubmitError, Tenants};
pub use keys::{KeyError, RequestKey, Requests};
pub use prepare::{FromHttp, Incoming, Prepared, RECORD_OVERHEAD};
pub use renew::{Renewal, renew};
pub use topology::{QueueBounds, QueueType, Removal, remove};
pub use windows::KnownCall;
