//! An append-only log of tagged records in segment files: the one place where events become durable.
//!
//! It knows bytes, tags and times, nothing of events. What it promises:
//!
//! - An append that was answered with its offsets is on disk, synced, and is read back in order for ever
//!   (until retention removes its segment), through `kill -9` and power loss.
//! - A record is returned as it was appended or not at all: every read checks the record's checksum. No payload can
//!   hold bytes that pass for a record, wherever a read begins.
//! - Damage is never passed over silently: it is reported with file, position and the offsets lost, and
//!   reading goes on at the next sound record. Only a torn tail of the last segment is ever cut, and that is
//!   reported too.
//! - After a failed write or sync nothing is accepted any more, until the log is opened anew. A full disk is
//!   not a failure: appends are refused with `AppendError::Full` and work again once there is room.
//!
//! One `Writer` owns the files. `Appender`s hand it batches; whatever waits while one sync runs shares the
//! next. `Reader`s never change a file. The layers, from the bottom: `record` (format), `salt`, `scan` (bytes to
//! records), `postings`, `sparse` and `index` (where records lie), `store` (which segments there are),
//! `recover`, `writer`, `reader`.

mod appender;
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
mod writer;

#[cfg(test)]
mod log_tests;

pub use appender::{AppendError, Appender, Synced};
pub use damage::{Damage, Health, ReadError};
pub use options::{NewRecord, Options, Record};
pub use reader::{Batch, LogStats, Reader, SegmentRange};
pub use recover::{OpenError, Opened, Recovered, open};
pub use writer::{RunError, Writer};
