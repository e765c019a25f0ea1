//! Event records that are kept in memory between routing and delivery, within one budget for the whole program.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// The bytes of records that may be in memory. A record that does not fit is read from the log again when it is delivered.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// Keeps a copy of a record, if it fits.
    #[must_use]
    pub fn keep(&self, record: &[u8]) -> Option<Kept> {
        // A slice would keep the whole chunk in memory that the record was read with.
        self.admits(record.len()).then(|| self.kept(Bytes::copy_from_slice(record)))
    }

    /// Keeps a record that has its memory to itself, if it fits.
    #[must_use]
    pub fn keep_whole(&self, record: Bytes) -> Option<Kept> {
        self.admits(record.len()).then(|| self.kept(record))
    }

    fn admits(&self, len: usize) -> bool {
        let fits = self.used.fetch_add(len, Ordering::Relaxed) + len <= self.limit;
        if !fits {
            self.used.fetch_sub(len, Ordering::Relaxed);
        }
        fits
    }

    fn kept(&self, bytes: Bytes) -> Kept {
        Kept { bytes, used: self.used.clone() }
    }

    /// Whether half of the budget is used: then little is read ahead, so that every hook's next records fit.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.used() >= self.limit / 2
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// A kept record. Its bytes go back to the budget when it is dropped.
#[derive(Debug)]
pub struct Kept {
    bytes: Bytes,
    used: Arc<AtomicUsize>,
}

impl Kept {
    /// The record. Its bytes go back to the budget.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        self.used.fetch_sub(bytes.len(), Ordering::Relaxed);
        bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
