//! Opening: the journal first, then the index over it, made again when it is not what the journal says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::allowance::Allowance;
use super::document::{Entry, Kind, key_hash};
use super::first_start::{self, FirstKey, MASTER_KEY, SYSTEM, Settings};
use super::handle::State;
use super::index::{Index, IndexError, Mark};
use super::journal::{self, JournalError, Known};
use super::kept::{self, Keeper, Sizes};
use super::options::Options;
use super::orphans::Orphans;
use super::owner::StateTask;
use super::shared::Shared;
use super::view::{Change, View};
use super::write::{Command, Write, WriteError};
use crate::disk::Disk;
use crate::log;
use crate::model::{AccountId, Clock};
use crate::tasks::{Stop, Tasks, ThreadError};

/// Orphans that one write removes.
const REMOVED_AT_ONCE: usize = 64;
/// A day: retention goes by whole segments.
const SEGMENT_AGE_US: u64 = 24 * 3_600_000_000;

/// Why the state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be opened.
    #[error("journal in {dir}: {error}")]
    Journal {
        /// Where.
        dir: PathBuf,
        /// Why.
        error: log::OpenError,
    },
    /// The audit trail cannot be opened.
    #[error("audit trail in {dir}: {error}")]
    Trail {
        /// Where.
        dir: PathBuf,
        /// Why.
        error: log::OpenError,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] JournalError),
    /// The index cannot be used even when made anew.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A writer's thread cannot be had.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// A file cannot be written or moved.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The first start could not write what it made.
    #[error("first start: {0}")]
    FirstStart(#[from] WriteError),
    /// The stored settings are unreadable.
    #[error("the program's settings in the journal are unreadable")]
    Settings,
    /// The data directory has another master account.
    #[error(
        "accounts.master_id is {asked}, but the master account of this data directory is {stored}: it is made by the \
         first start and cannot change; leave accounts.master_id out, or name a new data_dir"
    )]
    Master {
        /// As configured.
        asked: AccountId,
        /// As stored.
        stored: AccountId,
    },
    /// The index speaks of a journal that is not there.
    #[error(
        "{} holds nothing, but the index beside it knows of its records: all accounts, hooks and keys are gone. Put \
         journal/ back, or restore a backup (switchhook restore), or name another data_dir to begin from nothing",
        .0.display()
    )]
    JournalLost(PathBuf),
    /// The thread that opens files ended early.
    #[error("opening the state was interrupted")]
    Interrupted,
}

/// An open state.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub state: State,
    /// To be run; without it no write is answered.
    pub task: StateTask,
    /// What changes from now on. It must be drained: a full feed holds up writes.
    pub changes: mpsc::Receiver<Change>,
    /// The master account's API key, if it was made now: to be shown this once.
    pub first_key: Option<FirstKey>,
    /// Why the index was made again, if it was.
    pub rebuilt: Option<String>,
    /// What the journal's recovery found.
    pub recovered: log::Recovered,
}

struct Files {
    journal: log::Opened,
    trail: log::Opened,
    kept: log::Opened,
    index: Index,
    view: View,
    orphans: Orphans,
    rebuilt: Option<String>,
}

impl State {
    /// Opens journal and index, starts the journal's writer, and does what the first start has to do.
    pub async fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Opened, OpenError> {
        let (opening, files_on) = ((options.clone(), clock.clone()), Arc::clone(&disk));
        let files = tasks.spawn_blocking(move || open_files(files_on, &opening.0, opening.1));
        let files = files.await.map_err(|_| OpenError::Interrupted)??;
        let Files { journal, trail, kept, index, view, orphans, rebuilt } = files;
        let log::Opened { writer, appender, reader, recovered } = journal;
        // The writers end when the owner task, which holds the only appenders, has ended.
        for (name, writer) in
            [("journal", writer), ("audit-trail", trail.writer), ("audit-kept", kept.writer)]
        {
            let written = tasks.thread(name, || Ok(()))?.run(move |()| {
                if let Err(reason) = writer.run(Stop::new()) {
                    tracing::error!(%reason, "no more changes: the {name} takes none: {reason}");
                }
            });
            drop(written);
        }

        let allowance = Allowance::new(options.limits.clone(), options.max_record_bytes.into());
        let shared = Arc::new(Shared::new(index, view, reader, allowance));
        let (commands, asked) = mpsc::channel(options.queue);
        let (feed, changes) = mpsc::channel(options.changes);
        let sizes = Sizes::of(options.audit_max_bytes, options.segment_bytes);
        let keeper = Keeper {
            first: (trail.appender.clone(), trail.reader.clone()),
            share: sizes.kept / 100 * options.audit_max_tenant_percent.min(100),
            kept: (kept.appender, kept.reader.clone()),
            sizes,
        };
        let mut task = StateTask {
            commands: asked,
            journal: appender,
            trail: trail.appender,
            keeper,
            shared: Arc::clone(&shared),
            changes: feed,
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
        Ok(Opened { state, task, changes, first_key, rebuilt, recovered })
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
            // The file first: a key that is stored but written nowhere could never be used.
            first_start::write_key_file(&dir, &key).map_err(|error| OpenError::File { path: dir, error })?;
            self.write_now(vec![write]).await?;
            first_key = Some(FirstKey(key));
        }
        Ok((settings, first_key))
    }

    /// Removes what a deleted account has left, and names what has no account for another reason.
    async fn settle_orphans(&mut self, orphans: Orphans) -> Result<(), OpenError> {
        for (account, documents) in orphans.missing {
            tracing::warn!(
                account.id = %account, documents,
                "{documents} hooks, users or keys name the account {account}, which does not exist; they stay. To have or \
                 to delete them, let the master account make the account again with this id"
            );
        }
        let found = orphans.removals.len();
        // Nobody takes changes from the feed yet: they must have room there. The next start goes on.
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
        self.commit(vec![Command::Write { writes, by: None, told: true, reply }]).await;
        answer.await.map_err(|_| WriteError::Unavailable("no answer".into()))?.map(|_| ())
    }
}

fn open_files(disk: Arc<dyn Disk>, options: &Options, clock: Clock) -> Result<Files, OpenError> {
    let dir = options.data_dir.join("journal");
    let limits = log::Options {
        segment_bytes: options.segment_bytes,
        segment_age_us: u64::MAX,
        max_age_us: None,
        max_bytes: None,
        // What lies between this and the reserve for changes is for what cleans up.
        reserve_bytes: options.reserve_bytes / 8,
        max_record_bytes: options.max_record_bytes,
        queue: 4,
        batch_bytes: options.max_record_bytes as usize,
        at_least: 0,
        cache_bytes: 256 << 10,
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
        // Nothing is wrong with it, and another one would find no room either.
        Err(Unusable::Index(error)) if error.is_disk_full() => return Err(error.into()),
        Err(reason) => {
            let reason = reason.to_string();
            let aside = set_aside(&index_dir, now_us)
                .map_err(|error| OpenError::File { path: index_dir.clone(), error })?;
            tracing::warn!(%reason, aside = ?aside, "the index is made again from the journal: {reason}");
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

/// Both parts of the audit trail.
fn open_trail(
    disk: &Arc<dyn Disk>,
    options: &Options,
    clock: &Clock,
) -> Result<(log::Opened, log::Opened), OpenError> {
    let sizes = Sizes::of(options.audit_max_bytes, options.segment_bytes);
    let limits = log::Options {
        segment_bytes: sizes.segment,
        segment_age_us: SEGMENT_AGE_US,
        max_age_us: Some(options.audit_max_age_us),
        max_bytes: Some(sizes.first_at_most),
        // Full before the journal is, so that an entry is not written for a change that then has no room.
        reserve_bytes: options.reserve_bytes / 4,
        // A document before and after a change.
        max_record_bytes: options.max_record_bytes.saturating_mul(3),
        queue: 4,
        batch_bytes: 1 << 20,
        at_least: 0,
        cache_bytes: 1 << 20,
    };
    let open = |name: &str, limits: log::Options| {
        let dir = options.data_dir.join(name);
        log::open(Arc::clone(disk), &dir, limits, clock.clone())
            .map_err(|error| OpenError::Trail { dir, error })
    };
    let of_kept = kept::options(&limits, sizes);
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

/// Opens the index and applies what it has not seen of the journal yet.
fn open_index(dir: &Path, journal: &log::Reader) -> Result<(Index, Vec<Entry>), Unusable> {
    let (index, mark, documents) = Index::open(dir)?;
    if mark == Mark::default() {
        if journal.end() > 0 {
            return Err(Unusable::Missing);
        }
        return Ok((index, documents));
    }
    match journal::known_at(journal, mark.next.saturating_sub(1))? {
        Known::Hash(hash) if hash == mark.last => {}
        // The index is whole and the journal is not: believe the index.
        Known::Damaged => {}
        Known::Hash(_) | Known::Outside => return Err(Unusable::Foreign),
    }
    if mark.next == journal.end() {
        return Ok((index, documents));
    }
    apply_from::<Unusable>(&index, journal, mark.next)?;
    let documents = index.documents()?;
    Ok((index, documents))
}

fn rebuild(dir: &Path, journal: &log::Reader) -> Result<(Index, Vec<Entry>), OpenError> {
    let (index, _, _) = Index::open(dir)?;
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

/// Moves an unusable index out of the way, under another name; an earlier one that was moved goes.
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
