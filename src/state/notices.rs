//! Notices: what is to be told of changes, as events. A notice stands in the change's own record of the journal, so
//! that it is on disk when the change is. Whoever tells them follows the journal from a position that is kept in a
//! file, and moves it when they are told; after a crash that is a little behind, and some are told again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::document::{self, Entry, Kind, is_deleted};
use super::first_start::random_id;
use super::handle::State;
use super::journal::{self, JournalError};
use super::shared::Shared;
use crate::kazoo::{self, OwnDocument, Sender};

const POSITION: &str = "notices";
const READ_RECORDS: usize = 256;
const READ_BYTES: usize = 1 << 20;

/// One event to be logged: its body, with a `Msg-ID` that never changes.
pub type Notice = Map<String, Value>;

/// What is told of a change; none of what is the program's own affair.
pub(super) fn of(entry: &Entry, before: Option<&Map<String, Value>>, node: &str) -> Option<Notice> {
    if !matches!(entry.kind, Kind::Account | Kind::Hook | Kind::User) {
        return None;
    }
    let after = entry.doc.as_ref();
    let is_there = |doc: Option<&Map<String, Value>>| doc.is_some_and(|doc| !is_deleted(doc));
    let action = match (is_there(before), is_there(after)) {
        (false, true) => "doc_created",
        (true, true) => "doc_edited",
        (true, false) => "doc_deleted",
        (false, false) => return None,
    };
    let doc = after.or(before)?;
    let account = match entry.kind {
        Kind::Account => entry.id.parse().ok()?,
        _ => document::owner(doc)?,
    };
    let is_soft_deleted = after.is_some_and(is_deleted);
    let told = OwnDocument { action, account, id: &entry.id, doc, is_soft_deleted };
    let msg_id = random_id().to_string();
    Some(kazoo::own_document_event(told, Sender { app: "switchhook", node, msg_id: &msg_id }))
}

/// The notices of a journal, and how far they have been told. Cheap to clone; one task at a time may tell them.
#[derive(Debug, Clone)]
pub struct Notices {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl State {
    /// The notices, and from where on they are to be told. The first time that is the journal's end: what was
    /// before is not told. From now on compaction keeps what is not told. Blocking.
    pub fn notices(&self, data_dir: &Path) -> io::Result<(Notices, u64)> {
        let notices = Notices { shared: Arc::clone(&self.shared), path: data_dir.join(POSITION) };
        let end = *self.shared.applied.borrow();
        let from = match fs::read_to_string(&notices.path) {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                tracing::warn!(path = %notices.path.display(), "not a position: all changes that are kept are told again");
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => end,
            Err(error) => return Err(error),
        };
        // A journal that lost its end goes on with offsets that were told of other changes.
        let from = end.min(from);
        notices.told(from)?;
        Ok((notices, from))
    }
}

impl Notices {
    /// Before which position there are notices that may be told: whoever is told of a change must find it.
    #[must_use]
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// Some notices from a position on, in order, and the next position. Blocking.
    pub fn read(&self, from: u64) -> Result<(Vec<Notice>, u64), JournalError> {
        let end = *self.shared.applied.borrow();
        let batch = self.shared.journal.read(from, READ_RECORDS, READ_BYTES)?;
        let mut notices = Vec::new();
        for record in batch.records.iter().filter(|record| record.offset < end) {
            notices.extend(journal::decode(record)?.notices);
        }
        Ok((notices, batch.next.min(end).max(from)))
    }

    /// Remembers, on disk, that everything before a position was told. Blocking.
    pub fn told(&self, next: u64) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{next}")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        self.shared.told.store(next, Ordering::Relaxed);
        Ok(())
    }
}
