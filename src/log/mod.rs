//! An append-only log of tagged records in segment files: the one place where events become durable.
//!
//! The log stores bytes with a tag and a time; it knows nothing about events. It promises:
//!
//! - Once an append is answered with its offsets, the records are synced to disk. They survive `kill -9` and power
//!   loss and are read back in order until retention removes their segment.
//! - A read returns a record exactly as it was appended or not at all: every read checks the record's checksum. No
//!   payload can contain bytes that pass for a record, wherever a read begins.
//! - Damage is always reported, with file, position and lost offsets, and reading continues at the next sound record.
//!   The log only ever cuts a torn tail of the last segment, and it reports the cut.
//! - After a failed write or sync the log accepts nothing until it is reopened. A full disk is not a failure: appends
//!   are refused with `AppendError::Full` and work again once there is space.
//!
//! One `Writer` owns the files. `Appender`s send it batches; all batches that arrive during one sync share the
//! next one. `Reader`s never change a file. The layers, from the bottom: `record` (format), `salt`, `scan` (bytes to
//! records), `begin`, `postings`, `sparse` and `index` (positions of records), `store` (the list of segments),
//! `recover`, `writer`, `reader`.

mod appender;
mod begin;
mod bytes;
mod cache;
mod damage;
mod index;
pub mod inspect;
mod names;
mod options;
mod postings;
mod reader;
mod record;
mod recover;
mod retention;
mod salt;
mod scan;
mod shares;
mod sparse;
mod store;
mod tags;
mod times;
mod typed;
mod writer;

#[cfg(test)]
mod log_tests;

pub use appender::{AppendError, Appender, Sequence, Synced};
pub use damage::{Damage, LogHealth, ReadError};
pub use options::{LogOptions, NewRecord, Record};
pub use reader::{Batch, LogStats, Reader, SegmentRange};
pub use recover::{OpenError, OpenedLog, Recovered, open};
pub use typed::ReaderOf;
pub use writer::{RunError, Writer};
