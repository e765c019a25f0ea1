//! Opening the state: the journal first, then the index, which is rebuilt when it does not match the journal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::allowance::Allowance;
use super::audit_kept::{self, Sizes, TrailParts};
use super::document::{JournalEntry, Kind, key_hash};
use super::first_start::{self, FirstKey, MASTER_KEY, SYSTEM, Settings};
use super::handle::State;
use super::index::{Index, IndexError, Mark};
use super::journal::{self, JournalError, RecordState};
use super::options::StateOptions;
use super::orphans::Orphans;
use super::owner::StateTask;
use super::shared::Shared;
use super::view::{Change, View};
use super::write::{StateRequest, Write, WriteError};
use crate::disk::Disk;
use crate::log;
use crate::model::{AccountId, Clock};
use crate::tasks::{Stop, Tasks, ThreadError};

/// The most orphans that one write removes.
const REMOVED_AT_ONCE: usize = 64;
/// A day. Retention removes whole segments, so their age limits how exactly `audit_max_age_us` is kept.
const SEGMENT_AGE_US: u64 = 24 * 3_600_000_000;

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be opened.
    #[error("journal in {dir}: {error}")]
    Journal {
        /// The directory of the journal.
        dir: PathBuf,
        /// Why.
        error: log::OpenError,
    },
    /// The audit trail cannot be opened.
    #[error("audit trail in {dir}: {error}")]
    Trail {
        /// The directory of the audit trail.
        dir: PathBuf,
        /// Why.
        error: log::OpenError,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] JournalError),
    /// The index cannot be used even after it was rebuilt.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The thread of a writer cannot be started.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// A file cannot be written or moved.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The documents of the first start could not be written.
    #[error("first start: {0}")]
    FirstStart(#[from] WriteError),
    /// The stored settings cannot be read.
    #[error("the program's settings in the journal are unreadable")]
    Settings,
    /// The data directory already has another master account.
    #[error(
        "accounts.master_id is {asked}, but the master account of this data directory is {stored}: the first start sets it \
         and it cannot change; leave accounts.master_id out, or use another data_dir"
    )]
    Master {
        /// As configured.
        asked: AccountId,
        /// As stored.
        stored: AccountId,
    },
    /// The index was made from a journal that no longer exists.
    #[error(
        "{} is empty, but the index beside it was made from its records: all accounts, hooks and keys are lost. Put \
         journal/ back, restore a backup (switchhook restore), or use another data_dir to start without data",
        .0.display()
    )]
    JournalLost(PathBuf),
    /// The thread that opens files ended early.
    #[error("opening the state was interrupted")]
    Interrupted,
}

/// An open state.
#[derive(Debug)]
pub struct OpenedState {
    /// The handle.
    pub state: State,
    /// The owner task. It must run, otherwise no write is answered.
    pub task: StateTask,
    /// The changes from now on. They must be received: a full channel blocks writes.
    pub changes: mpsc::Receiver<Change>,
    /// The API key of the master account, if it was created now. It is shown only once.
    pub first_key: Option<FirstKey>,
    /// Why the index was rebuilt, if it was.
    pub rebuilt: Option<String>,
    /// What the recovery of the journal found.
    pub recovered: log::Recovered,
}

struct Files {
    journal: log::OpenedLog,
    trail: log::OpenedLog,
    kept: log::OpenedLog,
    index: Index,
    view: View,
    orphans: Orphans,
    rebuilt: Option<String>,
}

impl State {
    /// Opens journal and index, starts the writers, and creates the identity on the first start.
    pub async fn open(
        disk: Arc<dyn Disk>,
        options: StateOptions,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<OpenedState, OpenError> {
        let (opening, files_on) = ((options.clone(), clock.clone()), Arc::clone(&disk));
        let files = tasks.spawn_blocking(move || open_files(files_on, &opening.0, opening.1));
        let files = files.await.map_err(|_| OpenError::Interrupted)??;
        let Files { journal, trail, kept, index, view, orphans, rebuilt } = files;
        let log::OpenedLog { writer, appender, reader, recovered } = journal;
        // The owner task holds the only appenders, so the writers end after it.
        for (name, writer) in
            [("journal", writer), ("audit-trail", trail.writer), ("audit-kept", kept.writer)]
        {
            let written = tasks.thread(name, || Ok(()))?.run(move |()| {
                if let Err(reason) = writer.run(Stop::new()) {
                    tracing::error!(%reason, "the {name} failed; changes are refused from now on: {reason}");
                }
            });
            drop(written);
        }

        let allowance = Allowance::new(options.limits.clone(), options.max_record_bytes.into());
        let shared = Arc::new(Shared::new(index, view, reader, allowance));
        let (commands, asked) = mpsc::channel(options.queue);
        let (feed, changes) = mpsc::channel(options.changes);
        let sizes = Sizes::of(options.audit_max_bytes, options.segment_bytes);
        let trail_parts = TrailParts {
            first: (trail.appender.clone(), trail.reader.clone()),
            share: sizes.kept / 100 * options.audit_max_tenant_percent.min(100),
            kept: (kept.appender, kept.reader.clone()),
            sizes,
        };
        let mut task = StateTask {
            commands: asked,
            journal: appender,
            trail: trail.appender,
            trail_parts,
            shared: Arc::clone(&shared),
            feeds: vec![feed],
            clock,
            disk,
            options,
            tasks: tasks.clone(),
            since_checkpoint: 0,
        };
        let (settings, first_key) = task.first_start().await?;
        task.settle_orphans(orphans).await?;
        let settings = Arc::new(settings);
        let master_key = task.options.master_api_key.as_deref().map(key_hash);
        let state = State {
            shared,
            commands,
            settings,
            master_key,
            by: None,
            trail: trail.reader,
            kept: kept.reader,
        };
        Ok(OpenedState { state, task, changes, first_key, rebuilt, recovered })
    }
}

impl StateTask {
    async fn first_start(&mut self) -> Result<(Settings, Option<FirstKey>), OpenError> {
        if self.shared.index()?.get(Kind::Setting, SYSTEM)?.is_none() {
            self.write_now(first_start::identity(self.options.master)).await?;
        }
        let stored = self.shared.index()?.get(Kind::Setting, SYSTEM)?;
        let settings = stored.as_ref().and_then(Settings::from_document).ok_or(OpenError::Settings)?;
        if let Some(asked) = self.options.master.filter(|asked| *asked != settings.master) {
            return Err(OpenError::Master { asked, stored: settings.master });
        }
        let has_key = self.shared.index()?.get(Kind::Key, MASTER_KEY)?.is_some();
        let mut first_key = None;
        if !has_key && self.options.master_api_key.is_none() {
            let (key, write) = first_start::new_api_key(MASTER_KEY, settings.master, Some("master"));
            let dir = self.options.data_dir.clone();
            // The file is written first: a key that is stored but written nowhere could never be used.
            first_start::write_key_file(&dir, &key).map_err(|error| OpenError::File { path: dir, error })?;
            self.write_now(vec![write]).await?;
            first_key = Some(FirstKey(key));
        }
        Ok((settings, first_key))
    }

    /// Removes documents whose account was deleted, and warns of documents whose account is missing.
    async fn settle_orphans(&mut self, orphans: Orphans) -> Result<(), OpenError> {
        for (account, documents) in orphans.missing {
            tracing::warn!(
                account_id = %account, documents,
                "{documents} hooks, users or keys belong to the account {account}, which does not exist; they stay. To use or \
                 delete them, create the account again under this id as the master account"
            );
        }
        let found = orphans.removals.len();
        // Nothing receives from the channel of changes yet, so they must fit into it. The next start removes the rest.
        let most = self.options.changes / 2;
        let mut rest = orphans.removals.into_iter().take(most).peekable();
        while rest.peek().is_some() {
            self.write_now(rest.by_ref().take(REMOVED_AT_ONCE).collect()).await?;
        }
        if found > 0 {
            let count = found.min(most);
            tracing::warn!(
                count,
                found,
                "removed {count} of {found} hooks, users and keys of deleted accounts"
            );
        }
        Ok(())
    }

    async fn write_now(&mut self, writes: Vec<Write>) -> Result<(), WriteError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.commit(vec![StateRequest::Write { writes, by: None, mirrored: None, reply }]).await;
        answer.await.map_err(|_| WriteError::Unavailable("no answer".into()))?.map(|_| ())
    }
}

fn open_files(disk: Arc<dyn Disk>, options: &StateOptions, clock: Clock) -> Result<Files, OpenError> {
    let dir = options.data_dir.join("journal");
    let limits = log::LogOptions {
        segment_bytes: options.segment_bytes,
        segment_age_us: u64::MAX,
        max_age_us: None,
        max_bytes: None,
        // Between this and the reserve for changes, only deleting and disabling are possible.
        reserve_bytes: options.reserve_bytes / 8,
        max_record_bytes: options.max_record_bytes,
        queue: 4,
        batch_bytes: options.max_record_bytes as usize,
        at_least: 0,
        cache_bytes: 256 << 10,
        gather: Duration::ZERO,
    };
    let now_us = clock.now_us();
    let (trail, kept) = open_trail(&disk, options, &clock)?;
    let journal = log::open(disk, &dir, limits, clock).map_err(|error| OpenError::Journal { dir, error })?;
    let index_dir = options.data_dir.join("state");
    let (index, documents, rebuilt) = match open_index(&index_dir, &journal.reader) {
        Ok((index, documents)) => (index, documents, None),
        Err(Unusable::Foreign) if journal.reader.end() == 0 => {
            return Err(OpenError::JournalLost(options.data_dir.join("journal")));
        }
        // The index itself is sound, and a rebuilt one would not fit on the disk either.
        Err(Unusable::Index(error)) if error.is_disk_full() => return Err(error.into()),
        Err(reason) => {
            let reason = reason.to_string();
            let aside = set_aside(&index_dir, now_us)
                .map_err(|error| OpenError::File { path: index_dir.clone(), error })?;
            tracing::warn!(%reason, aside = ?aside, "the index is rebuilt from the journal: {reason}");
            // Nothing but time is lost: every document is in the journal.
            let (index, documents) = rebuild(&index_dir, &journal.reader)?;
            (index, documents, Some(reason))
        }
    };
    let mut view = View::default();
    for document in &documents {
        view.apply(document);
    }
    let orphans = Orphans::among(&documents);
    Ok(Files { journal, trail, kept, index, view, orphans, rebuilt })
}

/// Opens both parts of the audit trail.
fn open_trail(
    disk: &Arc<dyn Disk>,
    options: &StateOptions,
    clock: &Clock,
) -> Result<(log::OpenedLog, log::OpenedLog), OpenError> {
    let sizes = Sizes::of(options.audit_max_bytes, options.segment_bytes);
    let limits = log::LogOptions {
        segment_bytes: sizes.segment,
        segment_age_us: SEGMENT_AGE_US,
        max_age_us: Some(options.audit_max_age_us),
        max_bytes: Some(sizes.first_at_most),
        // Larger than the journal's reserve: if the trail has room for the entry of a change, the journal has room
        // for the change.
        reserve_bytes: options.reserve_bytes / 4,
        // Three times, because an entry holds the document before and after the change.
        max_record_bytes: options.max_record_bytes.saturating_mul(3),
        queue: 4,
        batch_bytes: 1 << 20,
        at_least: 0,
        cache_bytes: 1 << 20,
        gather: Duration::ZERO,
    };
    let open = |name: &str, limits: log::LogOptions| {
        let dir = options.data_dir.join(name);
        log::open(Arc::clone(disk), &dir, limits, clock.clone())
            .map_err(|error| OpenError::Trail { dir, error })
    };
    let of_kept = audit_kept::options(&limits, sizes);
    Ok((open("audit", limits)?, open("audit-kept", of_kept)?))
}

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("index is missing or empty")]
    Missing,
    #[error("index belongs to another journal")]
    Foreign,
}

/// Opens the index and applies the records of the journal that it has not seen.
fn open_index(dir: &Path, journal: &log::Reader) -> Result<(Index, Vec<JournalEntry>), Unusable> {
    let (index, mark, documents) = Index::open(dir)?;
    if mark == Mark::default() {
        if journal.end() > 0 {
            return Err(Unusable::Missing);
        }
        return Ok((index, documents));
    }
    match journal::known_at(journal, mark.next.saturating_sub(1))? {
        RecordState::Hash(hash) if hash == mark.last => {}
        // The index is sound but this record of the journal is damaged: trust the index.
        RecordState::Damaged => {}
        RecordState::Hash(_) | RecordState::Outside => return Err(Unusable::Foreign),
    }
    if mark.next == journal.end() {
        return Ok((index, documents));
    }
    apply_from::<Unusable>(&index, journal, mark.next)?;
    let documents = index.documents()?;
    Ok((index, documents))
}

fn rebuild(dir: &Path, journal: &log::Reader) -> Result<(Index, Vec<JournalEntry>), OpenError> {
    let (index, _, _) = Index::open(dir)?;
    // After a compaction the journal begins with old changes or with the snapshot. Either way, later records win.
    apply_from::<OpenError>(&index, journal, journal.first())?;
    index.checkpoint()?;
    let documents = index.documents()?;
    Ok((index, documents))
}

fn apply_from<E>(index: &Index, journal: &log::Reader, from: u64) -> Result<(), E>
where
    E: From<JournalError> + From<IndexError>,
{
    journal::read_from::<E>(journal, from, |change| {
        Ok(index.apply(&change.entries, change.offset + 1, change.hash)?)
    })
}

/// Moves an unusable index aside under another name, and deletes one that was moved aside earlier.
fn set_aside(dir: &Path, now_us: u64) -> io::Result<Option<PathBuf>> {
    if !dir.exists() {
        return Ok(None);
    }
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|n| n.to_str())) else {
        return Err(io::Error::other("the index has no parent directory"));
    };
    let prefix = format!("{name}.aside-");
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let aside = parent.join(format!("{prefix}{now_us}"));
    fs::rename(dir, &aside)?;
    Ok(Some(aside))
}
