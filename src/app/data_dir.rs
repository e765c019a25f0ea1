//! The data directory, before anything in it is opened: that it is one, that no other process works on it, and that it
//! still has what it had.
//!
//! Permissions are narrowed (`private`) only in a directory that passed `check`: a mistyped `data_dir` must not take
//! the permissions of `/srv` or `/dev/null` away.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use crate::disk::OsDisk;
use crate::log::inspect::has_records;

const LOCK: &str = "LOCK";
const JOURNAL: &str = "journal";
/// What speaks of accounts and hooks that only the journal has.
const DEPENDENT: [&str; 2] = ["events", "ledger"];
/// The directories that the program makes.
const DIRECTORIES: [&str; 6] = ["events", "ledger", JOURNAL, "audit", "audit-kept", "state"];
const ASIDE: &str = "state.aside-";
/// What file systems keep at the root of a volume.
const VOLUMES_OWN: &str = "lost+found";
/// Who has one of these permissions of a directory can replace what is in it.
const OTHERS_WRITE: u32 = 0o022;

/// Why a data directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or a device has this name.
    #[error("data_dir {} is no directory; name a directory of the program's own", .0.display())]
    NoDirectory(PathBuf),
    /// It holds directories of somebody else.
    #[error(
        "data_dir {} is no data directory: it holds '{found}'; name a new or empty directory",
        dir.display()
    )]
    Foreign {
        /// Where.
        dir: PathBuf,
        /// The directory that is not ours.
        found: String,
    },
    /// A part of it lies where other users can change it.
    #[error(
        "{} leads to {}, which other users can change; give that directory to the user that runs the \
         program (chown) and run chmod go-w on it",
        link.display(), target.display()
    )]
    Exposed {
        /// The symbolic link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Another process works on it.
    #[error("data_dir {} is in use by another process; stop it or choose another data_dir", .0.display())]
    InUse(PathBuf),
    /// The lock is something else than a plain file.
    #[error("{} is no plain file; remove it", .0.display())]
    Lock(PathBuf),
    /// Accounts, hooks and keys are gone while events of them are there.
    #[error(
        "{} holds nothing, but {log}/ beside it does: all accounts, hooks and keys are gone. Put journal/ back, or \
         restore a backup (switchhook restore), or name another data_dir to begin from nothing",
        journal.display()
    )]
    JournalLost {
        /// Where it should be.
        journal: PathBuf,
        /// A log that has records.
        log: &'static str,
    },
    /// A part of it cannot be looked at or made.
    #[error("data_dir {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |error| DataDirError::File { path, error }
}

/// What is there under a name, if anything; a symbolic link is followed.
fn look(path: &Path) -> Result<Option<Metadata>, DataDirError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Changes nothing. A directory that is missing, or that the program has worked on, passes; so does one that holds
/// no directory of somebody else. Answers the user that it belongs to when that is neither this process's nor root.
pub fn check(dir: &Path) -> Result<Option<u32>, DataDirError> {
    let Some(meta) = look(dir)? else { return Ok(None) };
    if !meta.is_dir() {
        return Err(DataDirError::NoDirectory(dir.to_owned()));
    }
    for name in DIRECTORIES {
        not_exposed(&dir.join(name))?;
    }
    if !dir.join(JOURNAL).is_dir()
        && let Some(found) = foreign_directory(dir)?
    {
        return Err(DataDirError::Foreign { dir: dir.to_owned(), found });
    }
    Ok(Some(meta.uid()).filter(|owner| *owner != 0 && *owner != geteuid().as_raw()))
}

fn foreign_directory(dir: &Path) -> Result<Option<String>, DataDirError> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_known = DIRECTORIES.contains(&name.as_str())
            || name.starts_with(ASIDE)
            || name == VOLUMES_OWN
            // Snapshots and the like of file servers.
            || name.starts_with('.');
        if !is_known && entry.file_type().map_err(at(&entry.path()))?.is_dir() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// An operator may put a log on another disk by a link, but not where somebody else can replace its files.
fn not_exposed(path: &Path) -> Result<(), DataDirError> {
    if !path.is_symlink() {
        return Ok(());
    }
    let target = fs::canonicalize(path).map_err(at(path))?;
    let meta = fs::metadata(&target).map_err(at(&target))?;
    let is_ours = meta.uid() == geteuid().as_raw() || meta.uid() == 0;
    if is_ours && meta.mode() & OTHERS_WRITE == 0 {
        Ok(())
    } else {
        Err(DataDirError::Exposed { link: path.to_owned(), target })
    }
}

/// A data directory that is this process's until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// The directory itself: a lock that stays when somebody deletes the file.
    _dir: Option<File>,
}

/// Makes the directory if it is missing, and takes it for this process.
pub(super) fn lock(dir: &Path) -> Result<Lock, DataDirError> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let in_use = || DataDirError::InUse(dir.to_owned());
    let opened = File::open(dir).map_err(at(dir))?;
    let held = match opened.try_lock() {
        Ok(()) => Some(opened),
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        // Not every file system locks directories.
        Err(TryLockError::Error(_)) => None,
    };
    let path = dir.join(LOCK);
    if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
        return Err(DataDirError::Lock(path));
    }
    // A link or a pipe that is put there now is neither followed nor waited for.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|error| at(&path)(error.into()))?);
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file, _dir: held }),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Refuses a directory that has lost all of its journal. A first start that was cut short passes: events are taken only
/// when the journal has the master account.
pub(super) fn intact(dir: &Path) -> Result<(), DataDirError> {
    let has = |name: &str| {
        let log = dir.join(name);
        has_records(&OsDisk, &log).map_err(at(&log))
    };
    let journal = dir.join(JOURNAL);
    if has(JOURNAL)? {
        if has("events")? && !dir.join("ledger").exists() {
            let dir = dir.display();
            tracing::error!(%dir, "ledger/ is gone: every hook gets all kept events since its creation again");
        }
        // The first start leaves entries, and the last segment always stays.
        if !has("audit")? {
            let dir = dir.display();
            tracing::error!(%dir, "audit/ is gone or empty: who changed what before now is not known any more");
        }
        return Ok(());
    }
    for log in DEPENDENT {
        if has(log)? {
            return Err(DataDirError::JournalLost { journal, log });
        }
    }
    Ok(())
}
