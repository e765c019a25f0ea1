//! Notices: events that announce changes of documents. The notice of a change is part of the change's own record in the
//! journal, so it is on disk if the change is. A task logs notices as events and then moves its position, which is
//! stored in a file. After a crash the position may be a little behind, and some notices are logged again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use tokio::sync::watch;

use super::document::{self, JournalEntry, Kind, is_deleted};
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

/// The notice of a change; `None` for documents of the program itself.
pub(super) fn of(entry: &JournalEntry, before: Option<&Map<String, Value>>, node: &str) -> Option<Notice> {
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
    let document = OwnDocument { action, account, id: &entry.id, doc, is_soft_deleted };
    // Drawn once and stored with the change: if the notice is logged again after a crash, the id shows that it is
    // the same.
    let msg_id = random_id().to_string();
    Some(kazoo::own_document_event(document, Sender { app: "switchhook", node, msg_id: &msg_id }))
}

/// The notices of a journal, and the position up to which they are logged. Cheap to clone; only one task may log them.
#[derive(Debug, Clone)]
pub struct Notices {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl State {
    /// The notices, and the position at which logging them begins (blocking). The first time this is the journal's end:
    /// earlier changes are not announced. From now on, compaction keeps notices that are not logged.
    pub fn notices(&self, data_dir: &Path) -> io::Result<(Notices, u64)> {
        let notices = Notices { shared: Arc::clone(&self.shared), path: data_dir.join(POSITION) };
        let end = *self.shared.applied.borrow();
        let from = match fs::read_to_string(&notices.path) {
            Ok(text) => text.trim().parse().unwrap_or_else(|_| {
                tracing::warn!(path = %notices.path.display(), "the file holds no position: all notices in the journal are logged again");
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => end,
            Err(error) => return Err(error),
        };
        // A journal that lost its end uses offsets again, so a position behind its end means nothing.
        let from = end.min(from);
        notices.set_announced(from)?;
        Ok((notices, from))
    }
}

impl Notices {
    /// The journal's offset before which all changes have been applied. Later notices must wait: the receiver of a
    /// notice must be able to read the changed document.
    #[must_use]
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// The next notices from a position on, in order, and the following position. Blocking.
    pub fn read(&self, from: u64) -> Result<(Vec<Notice>, u64), JournalError> {
        let end = *self.shared.applied.borrow();
        let batch = self.shared.journal.read(from, READ_RECORDS, READ_BYTES)?;
        let mut notices = Vec::new();
        for record in batch.records.iter().filter(|record| record.offset < end) {
            notices.extend(journal::decode(record)?.notices);
        }
        Ok((notices, batch.next.min(end).max(from)))
    }

    /// Stores on disk that all notices before `next` have been logged. Blocking.
    pub fn set_announced(&self, next: u64) -> io::Result<()> {
        // Written beside and renamed, so that a power cut leaves the old position or the new one, and never a cut
        // number.
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        writeln!(file, "{next}")?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        self.shared.announced.store(next, Ordering::Relaxed);
        Ok(())
    }
}
