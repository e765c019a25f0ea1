//! `switchhook backup` and `switchhook restore`: makes a consistent copy of a data directory, whether the program is
//! running or not, and restores it.
//!
//! A backup contains everything that was acknowledged before it began. It does not need the running program: segments
//! only grow, and it notices when retention or compaction removes one. The order of copying makes the copy
//! consistent: the ledger and the journal refer to events, so the events log is copied last and contains all events
//! they refer to.

mod copy;
mod restore;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::disk::OsDisk;
use crate::log::ReadError;
use crate::log::inspect::{Report, verify};
use crate::model::{Clock, iso8601};

pub use restore::restore;

/// Written last; a directory without this file is not a complete backup.
const MANIFEST: &str = "backup.json";
/// The logs in the order of copying; see above.
const LOGS: [&str; 5] = ["ledger", "journal", "audit", KEPT, "events"];
/// Missing in data directories of earlier versions. Entries move here from `audit`, and this log is copied after it,
/// so a copy may have an entry twice but misses none.
const KEPT: &str = "audit-kept";
const KEY_FILE: &str = "master.key";
const NOTICES: &str = "notices";
const VERSION: u32 = 1;
/// Permissions of a directory: everybody may put files into it; only a file's owner may remove it.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Why a backup or restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A copy could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A log is missing.
    #[error("{} is not a data directory: {missing}/ is missing", dir.display())]
    NoData {
        /// Where.
        dir: PathBuf,
        /// Which log.
        missing: &'static str,
    },
    /// One of the two directories is inside the other.
    #[error(
        "{} is inside {}: losing one would lose both; choose a directory outside of it",
        inner.display(),
        outer.display()
    )]
    Within {
        /// The inner directory.
        inner: PathBuf,
        /// The outer directory.
        outer: PathBuf,
    },
    /// Other users can change what is written there.
    #[error(
        "other users can change {}, and with it a backup, which holds secrets; name a directory of your own, below one \
         that others cannot change (chmod o-w)",
        .0.display()
    )]
    Exposed(PathBuf),
    /// The target directory is not empty.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Segments were removed during every copy.
    #[error("{} changed faster than it could be copied; try again", .0.display())]
    Restless(PathBuf),
    /// The backup is incomplete or of a later version.
    #[error("{} is not a complete backup: {reason}", dir.display())]
    Incomplete {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The restored state could not be opened or changed.
    #[error("restored state: {0}")]
    State(String),
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

/// The contents of `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    made: String,
    program: String,
    logs: Vec<Copied>,
}

/// A log in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its name.
    pub log: String,
    /// Sound records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Damage, which is copied unchanged; one line each.
    pub damage: Vec<String>,
}

impl Copied {
    fn of(log: &str, report: &Report) -> Self {
        let damage = report.damage.iter().map(ToString::to_string).collect();
        Self { log: log.to_owned(), records: report.records, bytes: report.bytes, damage }
    }
}

/// Copies the data directory to `to`, which must be new or empty. Blocks.
pub fn backup(data_dir: &Path, to: &Path, clock: &Clock) -> Result<Vec<Copied>, BackupError> {
    for log in LOGS {
        let path = data_dir.join(log);
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && log == KEPT => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::file(&path)(error));
            }
            Ok(_) | Err(_) => {
                return Err(BackupError::NoData { dir: data_dir.to_owned(), missing: log });
            }
        }
    }
    make_apart(to, data_dir)?;
    // Copied before the journal: a change may be announced again after a restore, and is then recognised as a repeat.
    copy_file(NOTICES, data_dir, to)?;
    let mut logs = Vec::new();
    for log in LOGS.into_iter().filter(|log| is_there(data_dir, log)) {
        copy::log(&data_dir.join(log), &to.join(log))?;
        let report = verify(&OsDisk, &to.join(log))?;
        copy::cut_torn_tail(&to.join(log), report.torn_bytes)?;
        logs.push(Copied::of(log, &report));
    }
    copy_file(KEY_FILE, data_dir, to)?;
    let (made, program) = (iso8601(clock.now_us()), env!("CARGO_PKG_VERSION").to_owned());
    let manifest = Manifest { version: VERSION, made, program, logs };
    let text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    write_private(&to.join(MANIFEST), &text)?;
    Ok(manifest.logs)
}

/// Whether to copy a log. All logs are required, except the one that earlier versions do not have.
fn is_there(dir: &Path, log: &str) -> bool {
    log != KEPT || dir.join(log).is_dir()
}

fn copy_file(name: &str, from: &Path, to: &Path) -> Result<(), BackupError> {
    let path = from.join(name);
    match fs::read(&path) {
        Ok(bytes) => write_private(&to.join(name), &bytes),
        // The key file is missing when the key is configured, and the notices before the first start of this version.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::file(&path)(error)),
    }
}

/// Creates an empty directory outside of the other one. A backup inside its data directory would be lost with it.
fn make_apart(dir: &Path, from: &Path) -> Result<(), BackupError> {
    let outer = fs::canonicalize(from).map_err(BackupError::file(from))?;
    // Resolve the part of the path that exists; the rest will be created.
    let mut whole = PathBuf::new();
    for part in std::path::absolute(dir).map_err(BackupError::file(dir))?.components() {
        if part == Component::ParentDir {
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    let there = whole.ancestors().find_map(|path| fs::canonicalize(path).ok());
    if there.is_some_and(|there| there.starts_with(&outer)) {
        return Err(BackupError::Within { inner: dir.to_owned(), outer: from.to_owned() });
    }
    not_exposed(&whole)?;
    make_empty(dir)
}

/// Refuses a directory that another user has, or in whose place others could put one of theirs. One of this user's own is
/// narrowed.
fn not_exposed(dir: &Path) -> Result<(), BackupError> {
    let look = |path: &Path| match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::file(path)(error)),
    };
    let ours = geteuid().as_raw();
    let is_trusted = |meta: &fs::Metadata| meta.uid() == ours || meta.uid() == 0;
    if let Some(meta) = look(dir)?.filter(fs::Metadata::is_dir) {
        let is_wide = meta.mode() & OTHERS_WRITE != 0;
        if !is_trusted(&meta) || (is_wide && meta.uid() != ours) {
            return Err(BackupError::Exposed(dir.to_owned()));
        }
        if is_wide {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(BackupError::file(dir))?;
        }
    }
    for above in dir.ancestors().skip(1) {
        let Some(meta) = look(above)? else { continue };
        let is_open = meta.mode() & OTHERS_WRITE != 0 && meta.mode() & STICKY == 0;
        return if is_open || !is_trusted(&meta) {
            Err(BackupError::Exposed(above.to_owned()))
        } else {
            Ok(())
        };
    }
    Ok(())
}

/// Creates an empty directory that only its owner can enter.
fn make_empty(dir: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(BackupError::file(dir))?;
    let mut listed = fs::read_dir(dir).map_err(BackupError::file(dir))?;
    if listed.next().is_some() { Err(BackupError::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

/// Writes a file that only its owner can read, and syncs the file and its name.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.map_err(BackupError::file(path))?;
    sync_dir(path.parent().unwrap_or(path))
}

fn sync_dir(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::file(dir))
}
