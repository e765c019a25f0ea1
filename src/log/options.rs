//! The options of a log, the records that go in and the records that come out.

use std::time::Duration;

use bytes::Bytes;

/// Sizes and limits of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment is closed when the next batch would make it larger than this. Default: 64 MiB; capped at 1 GiB.
    pub segment_bytes: u64,
    /// A segment older than this is closed before the next append. Default: 1 hour.
    pub segment_age_us: u64,
    /// Closed segments whose records are all older than this are removed. Default: no limit.
    pub max_age_us: Option<u64>,
    /// The oldest closed segments are removed while all segments together are larger than this. Default: no limit.
    pub max_bytes: Option<u64>,
    /// Appends are refused while the file system has less free space than this. Default: 0.
    pub reserve_bytes: u64,
    /// Largest payload. Default: 8 MiB; capped at 64 MiB.
    pub max_record_bytes: u32,
    /// Capacity of the writer's queue of requests; when it is full, `Appender::submit` waits. Default: 256.
    pub queue: usize,
    /// The writer combines waiting requests into one sync until they reach this size. Default: 1 MiB.
    pub batch_bytes: usize,
    /// A request that finds the writer idle waits this long for others, so that one sync serves them all. A busy writer
    /// gathers what comes during a sync and never waits. Default: 0.
    pub gather: Duration,
    /// Another log refers to offsets up to this one, so they must not be reused. When this log ends earlier, it
    /// starts a segment here and reports the missing offsets as damage. Default: 0.
    pub at_least: u64,
    /// Memory for cached parts of the indexes of closed segments. Default: 8 MiB.
    pub cache_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_age_us: 3_600_000_000,
            max_age_us: None,
            max_bytes: None,
            reserve_bytes: 0,
            max_record_bytes: 8 << 20,
            queue: 256,
            batch_bytes: 1 << 20,
            gather: Duration::ZERO,
            at_least: 0,
            cache_bytes: 8 << 20,
        }
    }
}

/// A record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The key by which `read_tags` finds the record.
    pub tag: u64,
    /// Free for the caller.
    pub flags: u8,
    /// Microseconds since 1970.
    pub time_us: u64,
    /// The bytes.
    pub payload: Bytes,
}

/// A record as it was appended, with its offset, which has the type `O` if it is known which log the record is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<O = u64> {
    /// The record's number in the log.
    pub offset: O,
    /// From `NewRecord`.
    pub time_us: u64,
    /// From `NewRecord`.
    pub tag: u64,
    /// From `NewRecord`.
    pub flags: u8,
    /// From `NewRecord`.
    pub payload: Bytes,
}
