//! Checks of the data directory before anything in it is opened: it must be a data directory, no other process may
//! use it, and nothing may be missing from it.
//!
//! Permissions are narrowed (`private`) only in a directory that has passed `check`: a mistyped `data_dir` must not
//! change the permissions of `/srv` or `/dev/null`.

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
/// Logs whose records refer to accounts and hooks, which only the journal has.
const DEPENDENT: [&str; 2] = ["events", "ledger"];
/// The directories that the program creates.
const DIRECTORIES: [&str; 6] = ["events", "ledger", JOURNAL, "audit", "audit-kept", "state"];
const ASIDE: &str = "state.aside-";
/// A directory that file systems create at the root of a volume.
const VOLUMES_OWN: &str = "lost+found";
/// The permissions of the group and of others to write. With one of them, other users can replace files in a directory.
const OTHERS_WRITE: u32 = 0o022;

/// Why a data directory is refused.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The name belongs to a file or a device.
    #[error("data_dir {} is not a directory; choose a directory for the program alone", .0.display())]
    NoDirectory(PathBuf),
    /// It contains directories that the program does not create.
    #[error(
        "data_dir {} is not a data directory: it contains '{found}'; choose a new or empty directory",
        dir.display()
    )]
    Foreign {
        /// The data directory.
        dir: PathBuf,
        /// The unknown directory.
        found: String,
    },
    /// A part of it is a symbolic link to a directory that other users can change.
    #[error(
        "{} points to {}, which other users can change; give that directory to the user that runs the \
         program (chown) and run chmod go-w on it",
        link.display(), target.display()
    )]
    Exposed {
        /// The symbolic link.
        link: PathBuf,
        /// The directory that it points to.
        target: PathBuf,
    },
    /// Another process uses it.
    #[error("data_dir {} is in use by another process; stop it or choose another data_dir", .0.display())]
    InUse(PathBuf),
    /// The lock file is not a plain file.
    #[error("{} is not a plain file; remove it", .0.display())]
    Lock(PathBuf),
    /// The journal is lost, but other logs exist.
    #[error(
        "{} is empty, but {log}/ beside it is not: all accounts, hooks and keys are lost. Put journal/ back, restore a \
         backup (switchhook restore), or use another data_dir to start without data",
        journal.display()
    )]
    JournalLost {
        /// The directory of the journal.
        journal: PathBuf,
        /// A log with records.
        log: &'static str,
    },
    /// A part of it cannot be read or created.
    #[error("data_dir {}: {error}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |error| DataDirError::File { path, error }
}

/// The metadata of a path, following symbolic links; `None` if nothing exists there.
fn look(path: &Path) -> Result<Option<Metadata>, DataDirError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Checks a data directory without changing anything. A missing directory passes, a directory that the program has used
/// passes, and any other directory without foreign subdirectories passes too. Returns the owner of the directory if it
/// is neither this process's user nor root.
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
            // For example the snapshots of file servers.
            || name.starts_with('.');
        if !is_known && entry.file_type().map_err(at(&entry.path()))?.is_dir() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Refuses a link to a place where other users could replace files. An operator may put a log on another disk by a
/// link.
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

/// A data directory that belongs to this process until this value is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// The lock of the directory itself. It holds even when somebody deletes the lock file.
    _dir: Option<File>,
}

/// Creates the directory if it is missing, and locks it for this process.
pub(super) fn lock(dir: &Path) -> Result<Lock, DataDirError> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let in_use = || DataDirError::InUse(dir.to_owned());
    let opened = File::open(dir).map_err(at(dir))?;
    let held = match opened.try_lock() {
        Ok(()) => Some(opened),
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        // Not every file system can lock directories.
        Err(TryLockError::Error(_)) => None,
    };
    let path = dir.join(LOCK);
    if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
        return Err(DataDirError::Lock(path));
    }
    // These flags neither follow a link nor wait at a pipe that somebody puts here.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|error| at(&path)(error.into()))?);
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file, _dir: held }),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Refuses a directory that has lost its whole journal. A first start that was interrupted passes, because events are
/// only accepted once the journal has the master account.
pub(super) fn intact(dir: &Path) -> Result<(), DataDirError> {
    let has = |name: &str| {
        let log = dir.join(name);
        has_records(&OsDisk, &log).map_err(at(&log))
    };
    let journal = dir.join(JOURNAL);
    if has(JOURNAL)? {
        if has("events")? && !dir.join("ledger").exists() {
            let dir = dir.display();
            tracing::error!(%dir, "ledger/ is missing: every hook gets all stored events since its creation again");
        }
        // The first start writes entries, and the last segment is never removed.
        if !has("audit")? {
            let dir = dir.display();
            tracing::error!(%dir, "audit/ is missing or empty: earlier changes are no longer on record");
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
