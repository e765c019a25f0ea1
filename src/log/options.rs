//! What a log is opened with, what goes in and what comes out.

use bytes::Bytes;

/// Sizes and limits of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed when the next batch would make it larger. Default: 64 MiB; at most 1 GiB counts.
    pub segment_bytes: u64,
    /// A segment older than this is closed before the next append. Default: 1 hour.
    pub segment_age_us: u64,
    /// Closed segments whose records are all older than this are removed. Default: kept.
    pub max_age_us: Option<u64>,
    /// The oldest closed segments are removed while all segments together are larger. Default: kept.
    pub max_bytes: Option<u64>,
    /// Appends are refused while the file system has less free space. Default: 0.
    pub reserve_bytes: u64,
    /// Largest payload. Default: 8 MiB; at most 64 MiB counts.
    pub max_record_bytes: u32,
    /// Requests that may wait for the writer; more of them wait in `Appender::submit`. Default: 256.
    pub queue: usize,
    /// Requests are gathered into one sync until they have so many bytes. Default: 1 MiB.
    pub batch_bytes: usize,
    /// Offsets below this were given to records, as others remember. When the log ends before, it begins a segment here,
    /// so that they are given to no other record, and reports the missing ones as damage. Default: 0.
    pub at_least: u64,
    /// Memory for parts of closed segments' indexes. Default: 8 MiB.
    pub cache_bytes: usize,
}

impl Default for Options {
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
            at_least: 0,
            cache_bytes: 8 << 20,
        }
    }
}

/// A record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// What `read_tags` finds it by.
    pub tag: u64,
    /// For the caller's use.
    pub flags: u8,
    /// Microseconds since 1970.
    pub time_us: u64,
    /// The bytes.
    pub payload: Bytes,
}

/// A record as it was appended, at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub offset: u64,
    /// From `NewRecord`.
    pub time_us: u64,
    /// From `NewRecord`.
    pub tag: u64,
    /// From `NewRecord`.
    pub flags: u8,
    /// From `NewRecord`.
    pub payload: Bytes,
}
