//! The index over the journal, and the only file that uses sled.
//!
//! No promise depends on the index. Opening reads every entry and compares a digest of all entries with the stored one.
//! A mismatch, like a panic of the library, becomes an error here, and the caller rebuilds the index.

use std::any::Any;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::document::{JournalEntry, Kind, sha256};
use super::keys;
use crate::model::{AccountId, HookId};

/// The library's cache. It takes up to twice this, and a page that is not in it comes from the system's page cache.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
const MARK_BYTES: usize = 57;
/// The version of the layout of entries (`keys.rs`). An index with another layout is rebuilt.
const LAYOUT: u8 = 2;

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// An error of the library.
    #[error("index: {0}")]
    Sled(#[from] sled::Error),
    /// An error of the file system.
    #[error("index files: {0}")]
    Io(#[from] std::io::Error),
    /// The library panicked.
    #[error("index panicked: {0}")]
    Panicked(String),
    /// The index failed before and is no longer used.
    #[error("index failed: {0}")]
    Failed(String),
    /// The content of the index is inconsistent.
    #[error("index is damaged: {0}")]
    Damaged(&'static str),
}

impl IndexError {
    /// Whether the only cause is a full disk.
    pub(super) fn is_disk_full(&self) -> bool {
        let (Self::Io(error) | Self::Sled(sled::Error::Io(error))) = self else { return false };
        matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// How far the journal has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The first offset that has not been applied.
    pub(super) next: u64,
    /// The hash of the last applied record, to recognise another journal.
    pub(super) last: [u8; 32],
    /// A digest of all entries: the XOR of their hashes.
    digest: u128,
}

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    db: sled::Db,
    dir: PathBuf,
    live_bytes: AtomicU64,
}

/// Calls the library and turns its panics into errors.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    // Safe to go on after a panic: the owner task gives the index up when a change of documents fails, and reads
    // leave nothing half-made.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(IndexError::Panicked(text_of(&*panic))))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason").to_owned()
}

impl Index {
    /// Opens the index in `dir`, or creates it. Reads and checks all entries, and returns the documents.
    pub(super) fn open(dir: &Path) -> Result<(Self, Mark, Vec<JournalEntry>), IndexError> {
        guarded(|| {
            let db = sled::Config::new()
                .path(dir)
                .cache_capacity(CACHE_BYTES)
                .mode(sled::Mode::LowSpace)
                // Synced only by `checkpoint`: what a crash loses here is applied again from the journal.
                .flush_every_ms(None)
                .open()?;
            let index = Self { db, dir: dir.to_owned(), live_bytes: AtomicU64::new(0) };
            let mark = index.mark()?;
            let documents = index.read_all(mark.digest)?;
            Ok((index, mark, documents))
        })
    }

    /// All documents, checked as in `open`.
    pub(super) fn documents(&self) -> Result<Vec<JournalEntry>, IndexError> {
        guarded(|| self.read_all(self.mark()?.digest))
    }

    fn read_all(&self, expected: u128) -> Result<Vec<JournalEntry>, IndexError> {
        let mut digest = 0;
        let mut bytes = 0;
        let mut documents = Vec::new();
        for pair in self.db.iter() {
            let (key, value) = pair?;
            if &*key == keys::MARK {
                continue;
            }
            digest ^= digest_of(&key, &value);
            bytes += value.len() as u64;
            if let Some(kind) = keys::kind_of(&key) {
                let id = key.get(2..).and_then(|id| std::str::from_utf8(id).ok());
                let id = id.ok_or(IndexError::Damaged("a key is not text"))?.to_owned();
                documents.push(JournalEntry { kind, id, doc: Some(parse(&value)?) });
            }
        }
        self.live_bytes.store(bytes, Ordering::Relaxed);
        if digest == expected {
            Ok(documents)
        } else {
            Err(IndexError::Damaged("entries were lost or changed"))
        }
    }

    fn mark(&self) -> Result<Mark, IndexError> {
        let Some(bytes) = self.db.get(keys::MARK)? else { return Ok(Mark::default()) };
        Mark::decode(&bytes).ok_or(IndexError::Damaged("the mark is unreadable or of another version"))
    }

    /// Applies a record of the journal and moves the mark, atomically.
    pub(super) fn apply(
        &self,
        entries: &[JournalEntry],
        next: u64,
        last: [u8; 32],
    ) -> Result<(), IndexError> {
        guarded(|| {
            let mut mark = Mark { next, last, ..self.mark()? };
            // A record may contain a document twice. The later version counts.
            // For each document, the former derived entries are removed before the new ones are set, as most keys are
            // in both.
            let mut changes = std::collections::BTreeMap::new();
            for entry in entries {
                let key = keys::document(entry.kind, &entry.id);
                if let Some(before) = self.pending_or_stored(&changes, &key)? {
                    let derived = keys::derived(entry.kind, &entry.id, &parse(&before)?);
                    changes.extend(derived.into_iter().map(|(key, _)| (key, None)));
                }
                if let Some(doc) = &entry.doc {
                    let derived = keys::derived(entry.kind, &entry.id, doc);
                    changes.extend(derived.into_iter().map(|(key, value)| (key, Some(value))));
                }
                let value = entry.doc.as_ref().map(serde_json::to_vec).transpose();
                changes.insert(key, value.map_err(|_| IndexError::Damaged("a document is not JSON"))?);
            }
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                if let Some(before) = self.db.get(&key)? {
                    // A second XOR takes the former entry out of the digest, without reading any other.
                    mark.digest ^= digest_of(&key, &before);
                    self.count(0, before.len() as u64);
                }
                self.count(value.as_ref().map_or(0, Vec::len) as u64, 0);
                match value {
                    Some(value) => {
                        mark.digest ^= digest_of(&key, &value);
                        batch.insert(key, value);
                    }
                    None => batch.remove(key),
                }
            }
            batch.insert(keys::MARK, mark.encode());
            Ok(self.db.apply_batch(batch)?)
        })
    }

    fn pending_or_stored(
        &self,
        pending: &std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, IndexError> {
        match pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.db.get(key)?.map(|value| value.to_vec())),
        }
    }

    fn count(&self, more: u64, less: u64) {
        self.live_bytes.fetch_add(more, Ordering::Relaxed);
        self.live_bytes.fetch_sub(less, Ordering::Relaxed);
    }

    /// The size of all stored values in bytes.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// A document.
    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<Option<Map<String, Value>>, IndexError> {
        guarded(|| self.db.get(keys::document(kind, id))?.map(|bytes| parse(&bytes)).transpose())
    }

    /// All documents of a kind, in order of their ids.
    pub(super) fn all(&self, kind: Kind) -> Result<Vec<Map<String, Value>>, IndexError> {
        guarded(|| {
            let found = self.db.scan_prefix(keys::document(kind, ""));
            found.map(|pair| parse(&pair?.1)).collect()
        })
    }

    /// At most `most` documents of a kind, from an id on (existing or not), by rising or falling ids.
    pub(super) fn some(
        &self,
        kind: Kind,
        from: Option<&str>,
        ascending: bool,
        most: usize,
    ) -> Result<Vec<Map<String, Value>>, IndexError> {
        let (first, last) = (keys::document(kind, ""), keys::document(kind, "\u{10ffff}"));
        let from = from.map(|id| keys::document(kind, id));
        let (start, end) =
            if ascending { (from.unwrap_or(first), last) } else { (first, from.unwrap_or(last)) };
        guarded(|| {
            let range = self.db.range(start..=end);
            let pairs: Vec<_> =
                if ascending { range.take(most).collect() } else { range.rev().take(most).collect() };
            pairs.into_iter().map(|pair| parse(&pair?.1)).collect()
        })
    }

    /// The documents of a kind that an account owns, in order of their ids, without deleted ones.
    pub(super) fn owned(
        &self,
        kind: Kind,
        account: AccountId,
    ) -> Result<Vec<Map<String, Value>>, IndexError> {
        guarded(|| {
            let pairs = self.db.scan_prefix(keys::owned(kind, account));
            pairs.filter_map(|pair| self.owned_behind(kind, pair).transpose()).collect()
        })
    }

    /// At most `most` hooks of an account, from an id on (existing or not), by rising or falling ids.
    pub(super) fn hooks_from(
        &self,
        account: AccountId,
        from: Option<HookId>,
        ascending: bool,
        most: usize,
    ) -> Result<Vec<Map<String, Value>>, IndexError> {
        let (start, end) = if ascending {
            (from.unwrap_or(HookId(0)), HookId(u128::MAX))
        } else {
            (HookId(0), from.unwrap_or(HookId(u128::MAX)))
        };
        guarded(|| {
            let key = |id: HookId| keys::one_owned(Kind::Hook, account, &id.to_string());
            let range = self.db.range(key(start)..=key(end));
            let pairs: Vec<_> =
                if ascending { range.take(most).collect() } else { range.rev().take(most).collect() };
            pairs.into_iter().filter_map(|pair| self.owned_behind(Kind::Hook, pair).transpose()).collect()
        })
    }

    /// The document that an entry of `owned` refers to.
    fn owned_behind(
        &self,
        kind: Kind,
        pair: sled::Result<(sled::IVec, sled::IVec)>,
    ) -> Result<Option<Map<String, Value>>, IndexError> {
        let (key, _) = pair?;
        let id = keys::id_in(&key).ok_or(IndexError::Damaged("an owned document's key is cut"))?;
        self.db.get(keys::document(kind, id))?.map(|bytes| parse(&bytes)).transpose()
    }

    /// The document whose id is stored under `key`.
    pub(super) fn behind(&self, kind: Kind, key: &[u8]) -> Result<Option<Map<String, Value>>, IndexError> {
        guarded(|| {
            let Some(id) = self.db.get(key)? else { return Ok(None) };
            let id = std::str::from_utf8(&id).map_err(|_| IndexError::Damaged("an id is not text"))?;
            self.db.get(keys::document(kind, id))?.map(|bytes| parse(&bytes)).transpose()
        })
    }

    /// Makes the applied changes durable. The library's `flush` does not survive a power cut, so its files are synced.
    pub(super) fn checkpoint(&self) -> Result<(), IndexError> {
        guarded(|| {
            self.db.flush()?;
            sync_files(&self.dir)
        })
    }
}

fn sync_files(dir: &Path) -> Result<(), IndexError> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            fs::File::open(&path)?.sync_data()?;
        }
    }
    Ok(fs::File::open(dir)?.sync_all()?)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, IndexError> {
    serde_json::from_slice(bytes).map_err(|_| IndexError::Damaged("a document is unreadable"))
}

fn digest_of(key: &[u8], value: &[u8]) -> u128 {
    // With the length, no other division of the same bytes into key and value has this hash.
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    let hash = sha256(&[&length, key, value].concat());
    hash.first_chunk().map_or(0, |half: &[u8; 16]| u128::from_be_bytes(*half))
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        [&[LAYOUT], &self.next.to_be_bytes()[..], &self.last, &self.digest.to_be_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MARK_BYTES] = bytes.try_into().ok()?;
        let (_, bytes) = bytes.split_first().filter(|(layout, _)| **layout == LAYOUT)?;
        let (next, rest) = bytes.split_first_chunk::<8>()?;
        let (last, digest) = rest.split_first_chunk::<32>()?;
        Some(Self {
            next: u64::from_be_bytes(*next),
            last: *last,
            digest: u128::from_be_bytes(digest.try_into().ok()?),
        })
    }
}
