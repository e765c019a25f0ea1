//! The owner task, the one place that changes documents.
//!
//! All commands that wait are committed together: checked against the stored documents, entered in the audit trail,
//! written to the journal with one sync, applied to the index and the view, passed to the queues, and then answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::audit;
use super::audit_kept::TrailParts;
use super::document::{self, JournalEntry, Kind, is_deleted};
use super::index::{Index, IndexError};
use super::options::StateOptions;
use super::shared::Shared;
use super::view::Change;
use super::write::{By, Edit, Expect, StateRequest, Write, WriteError, Written};
use super::{compact, journal, notices};
use crate::disk::Disk;
use crate::log::{Appender, NewRecord};
use crate::model::{AccountId, Clock, DocumentId};
use crate::tasks::{Stop, Tasks};

const MOST_AT_ONCE: usize = 256;

/// Documents as earlier commands of the same commit leave them.
pub(super) type Overlay = HashMap<(Kind, String), Option<Map<String, Value>>>;

/// The task that makes every change. `State` sends it commands.
#[derive(Debug)]
pub struct StateTask {
    pub(super) commands: mpsc::Receiver<StateRequest>,
    pub(super) journal: Appender,
    pub(super) trail: Appender,
    pub(super) trail_parts: TrailParts,
    pub(super) shared: Arc<Shared>,
    pub(super) feeds: Vec<mpsc::Sender<Change>>,
    pub(super) clock: Clock,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: StateOptions,
    pub(super) tasks: Tasks,
    pub(super) since_checkpoint: u64,
}

impl StateTask {
    /// One more feed of all changes that are made from now on. It must be drained: a full feed holds up writes.
    #[must_use]
    pub fn follow(&mut self) -> mpsc::Receiver<Change> {
        let (feed, changes) = mpsc::channel(self.options.changes);
        self.feeds.push(feed);
        changes
    }
}

/// The changes of a checked command.
#[derive(Default)]
pub(super) struct Checked {
    entries: Vec<JournalEntry>,
    /// The stored document before each change.
    before: Vec<Option<Written>>,
    written: Vec<Written>,
}

impl Checked {
    pub(super) fn push(&mut self, entry: JournalEntry, before: Option<Written>) {
        self.written.push(entry.doc.clone().unwrap_or_default());
        self.entries.push(entry);
        self.before.push(before);
    }
}

/// The account that an entry deletes.
fn deleted_account(entry: &JournalEntry, before: Option<&Written>) -> Option<AccountId> {
    let was_there = before.is_some_and(|doc| !is_deleted(doc));
    let is_gone = entry.doc.as_ref().is_none_or(is_deleted);
    (entry.kind == Kind::Account && was_there && is_gone).then(|| entry.id.parse().ok()).flatten()
}

/// A command that is ready for the journal.
struct Prepared {
    entries: Vec<JournalEntry>,
    written: Vec<Written>,
    hash: [u8; 32],
    reply: oneshot::Sender<Result<Vec<Written>, WriteError>>,
}

/// The result of an edit.
enum Edited {
    Same(Written),
    New(Write),
}

impl StateTask {
    /// Runs until `stop` is cancelled, then finishes the waiting commands and syncs the index.
    pub async fn run(mut self, stop: Stop) {
        loop {
            let mut batch = Vec::with_capacity(MOST_AT_ONCE);
            let received = tokio::select! {
                received = self.commands.recv_many(&mut batch, MOST_AT_ONCE) => received,
                // The sleep begins again after each batch. While changes keep coming, `keep_house` syncs by their
                // number instead.
                () = tokio::time::sleep(self.options.checkpoint_idle), if self.since_checkpoint > 0 => {
                    self.checkpoint().await;
                    continue;
                }
                // Closing refuses new commands. Those that wait are still received, and then nothing is.
                () = stop.cancelled(), if !self.commands.is_closed() => {
                    self.commands.close();
                    continue;
                }
            };
            if received == 0 {
                break;
            }
            self.commit(batch).await;
            self.keep_house().await;
        }
        self.checkpoint().await;
    }

    /// Commits a batch of commands and answers each of them.
    pub(super) async fn commit(&mut self, batch: Vec<StateRequest>) {
        let (prepared, records, entries) = self.prepare(batch);
        if prepared.is_empty() {
            return;
        }
        // The trail comes first, because no change may be made without its entry.
        let traced = self.trail.append(entries).await;
        let written = match traced {
            Ok(_) => self.journal.append(records).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(offsets) => {
                for (offset, prepared) in offsets.zip(prepared) {
                    self.apply(offset, prepared).await;
                }
            }
            Err(error) => {
                let error = WriteError::from(error);
                for prepared in prepared {
                    answer(prepared.reply, Err(error.again()));
                }
            }
        }
    }

    /// Checks the commands. Returns the changes to make, with their records for the journal and for the audit trail.
    fn prepare(&mut self, batch: Vec<StateRequest>) -> (Vec<Prepared>, Vec<NewRecord>, Vec<NewRecord>) {
        let mut overlay = Overlay::new();
        let mut prepared = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        let mut trail = Vec::with_capacity(batch.len());
        for command in batch {
            let (checked, by, mirrored, reply) = match command {
                StateRequest::Write { writes, by, mirrored, reply } => {
                    // The KAZOO has accepted these documents already, so our limits do not apply to them.
                    let limited = if mirrored.is_none() { &by } else { &None };
                    (self.check(&overlay, writes, limited), by, mirrored, reply)
                }
                StateRequest::Update { kind, id, edit, by, reply } => {
                    match self.edited(&overlay, kind, id, edit) {
                        Ok(Edited::Same(doc)) => {
                            answer(reply, Ok(vec![doc]));
                            continue;
                        }
                        Ok(Edited::New(write)) => (self.check(&overlay, vec![write], &by), by, None, reply),
                        Err(error) => (Err(error), by, None, reply),
                    }
                }
            };
            let now_us = self.clock.now_us();
            let encoded = checked.and_then(|checked| {
                let (payload, hash) = self.encode(&checked, mirrored.is_none())?;
                let charged = if mirrored.is_none() { &by } else { &None };
                let changes = checked.entries.iter().zip(&checked.before);
                let record = |(entry, before): (&JournalEntry, &Option<Written>)| {
                    let tenant = self.tenant_charged(charged, entry, before.as_ref());
                    let who = audit::who(by.as_deref(), mirrored);
                    audit::record(entry, before.as_ref(), &who, tenant, now_us)
                };
                // Removing a soft-deleted document needs no entry, because its deletion already has one.
                let is_change = |(entry, before): &(&JournalEntry, &Option<Written>)| {
                    entry.doc.is_some() || !before.as_ref().is_some_and(is_deleted)
                };
                let traces: Vec<NewRecord> = changes.filter(is_change).map(record).collect();
                let traced: usize = traces.iter().map(|record| record.payload.len()).sum();
                // Last of all checks, so that a refused change costs nothing.
                self.charge(charged, payload.len() + traced)?;
                Ok((checked, payload, hash, traces))
            });
            match encoded {
                Ok((Checked { entries, written, .. }, payload, hash, traces)) => {
                    trail.extend(traces);
                    // Later commands of this batch are checked against these documents, although they are not on
                    // disk yet.
                    let keyed = entries.iter().map(|e| ((e.kind, e.id.clone()), e.doc.clone()));
                    overlay.extend(keyed);
                    records.push(NewRecord { tag: 0, flags: 0, time_us: now_us, payload });
                    prepared.push(Prepared { entries, written, hash, reply });
                }
                Err(error) => answer(reply, Err(error)),
            }
        }
        (prepared, records, trail)
    }

    /// The write for an edit, unless the edit changes nothing.
    fn edited(&self, overlay: &Overlay, kind: Kind, id: String, edit: Edit) -> Result<Edited, WriteError> {
        let before = self.current(overlay, kind, &id)?;
        let Some(before) = before else { return Err(WriteError::Missing { id }) };
        let mut doc = before.clone();
        edit(&mut doc);
        if doc == before {
            return Ok(Edited::Same(doc));
        }
        Ok(Edited::New(Write { kind, id, doc: Some(doc), expect: Expect::Any }))
    }

    /// The journal record of a change, with its notices if the change is `announced`.
    fn encode(&self, checked: &Checked, announced: bool) -> Result<(bytes::Bytes, [u8; 32]), WriteError> {
        let changes = checked.entries.iter().zip(&checked.before).filter(|_| announced);
        let notices: Vec<_> = changes
            .filter_map(|(entry, before)| notices::of(entry, before.as_ref(), &self.options.node))
            .collect();
        let (payload, hash) =
            journal::encode(&checked.entries, &notices).map_err(|e| WriteError::TooLarge(e.to_string()))?;
        let most = self.options.max_record_bytes as usize;
        if payload.len() > most {
            return Err(WriteError::TooLarge(format!("{} bytes, at most {most}", payload.len())));
        }
        Ok((payload, hash))
    }

    pub(super) fn current(
        &self,
        overlay: &Overlay,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Written>, WriteError> {
        match overlay.get(&(kind, id.to_owned())) {
            Some(doc) => Ok(doc.clone()),
            None => Ok(self.shared.index()?.get(kind, id)?),
        }
    }

    fn check(&self, overlay: &Overlay, writes: Vec<Write>, by: &By) -> Result<Checked, WriteError> {
        let now = self.clock.now_us();
        let mut checked = Checked::default();
        // The overlay has what earlier commands leave, and not earlier writes of this command. So the writes of one
        // command must not depend on each other.
        for Write { kind, id, mut doc, expect } in writes {
            let before = self.current(overlay, kind, &id)?;
            let expected = match &expect {
                Expect::Any => true,
                Expect::Absent => before.is_none(),
                Expect::Free => before.as_ref().is_none_or(|doc| kind == Kind::Account && is_deleted(doc)),
                Expect::Rev(rev) => before.as_ref().and_then(document::revision) == Some(rev),
            };
            if !expected {
                return Err(WriteError::Conflict { id });
            }
            if expect == Expect::Free && self.is_taken(overlay, kind, &id)? {
                return Err(WriteError::IdTaken { id });
            }
            if let Some(doc) = &mut doc {
                document::stamp(doc, kind, &id, before.as_ref(), now);
            }
            let entry = JournalEntry { kind, id, doc };
            self.admit(overlay, by, &entry, before.as_ref())?;
            let gone = deleted_account(&entry, before.as_ref());
            let forgotten = self.forgotten_for(&entry, before.as_ref());
            checked.push(entry, before);
            if let Some(account) = gone {
                self.delete_owned(overlay, account, &mut checked)?;
            }
            self.forget(overlay, forgotten, &mut checked)?;
        }
        Ok(checked)
    }

    /// Whether an id that a client chose collides with another id, including ids in this commit.
    fn is_taken(&self, overlay: &Overlay, kind: Kind, id: &str) -> Result<bool, WriteError> {
        let Ok(given) = id.parse::<DocumentId>() else { return Ok(false) };
        let collides = |(of, other): &(Kind, String)| {
            matches!(of, Kind::Account | Kind::Hook | Kind::Replay)
                && other
                    .parse()
                    .is_ok_and(|other: DocumentId| (other == given && *of != kind) || other.collides(given))
        };
        Ok(self.shared.view().is_taken(given, kind)
            || overlay.iter().any(|(key, doc)| doc.is_some() && collides(key))
            || self.current(overlay, Kind::Replay, id)?.is_some())
    }

    async fn apply(&mut self, offset: u64, prepared: Prepared) {
        let Prepared { entries, written, hash, reply } = prepared;
        let applied = self.shared.index().and_then(|index| index.apply(&entries, offset + 1, hash));
        if let Err(error) = applied {
            tracing::error!(%error, "the index failed; a restart rebuilds it from the journal");
            // The change is in the journal already, so it takes effect at the next start although this request fails.
            self.shared.give_up(&error);
            return answer(reply, Err(error.into()));
        }
        self.since_checkpoint += 1;
        for change in self.shared.apply_to_view(&entries) {
            // Waits for a slow engine: a change must be in the channel of every engine before it is answered, so
            // that it applies to every event that is handed in after the answer.
            for feed in &self.feeds {
                // An error: its follower has ended.
                let _ended = feed.send(change.clone()).await.is_err();
            }
        }
        // Last, so that everyone who learns of the change through `applied` can read the changed document.
        self.shared.applied.send_replace(offset + 1);
        answer(reply, Ok(written));
    }

    async fn keep_house(&mut self) {
        if self.since_checkpoint >= self.options.checkpoint_every {
            self.checkpoint().await;
        }
        if compact::is_due(&self.shared, &self.options)
            // A snapshot takes as much room as all documents before it frees any.
            && self.has_room_for(self.shared.index().map_or(u64::MAX, Index::live_bytes))
            && let Err(reason) = compact::run(&self.journal, &self.shared, &self.clock).await
        {
            tracing::warn!(%reason, "the journal could not be compacted");
        }
        self.shrink_trail().await;
    }

    async fn checkpoint(&mut self) {
        // Also if the sync fails, or the idle timer would repeat it every second on a failing disk.
        self.since_checkpoint = 0;
        let shared = Arc::clone(&self.shared);
        let syncing = self.tasks.spawn_blocking(move || shared.index().and_then(Index::checkpoint));
        match syncing.await {
            Ok(Ok(())) => drop(self.shared.checkpoints.fetch_add(1, Ordering::Relaxed)),
            // The index was given up and that was logged then, or the program ends.
            Ok(Err(IndexError::Failed(_))) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the index could not be synced; the next start may take longer");
            }
        }
    }
}

fn answer(
    reply: oneshot::Sender<Result<Vec<Written>, WriteError>>,
    result: Result<Vec<Written>, WriteError>,
) {
    if reply.send(result).is_err() {
        tracing::debug!("the requester of a change has gone; the change remains");
    }
}
