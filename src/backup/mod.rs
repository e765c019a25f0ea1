//! `switchhook backup` and `switchhook restore`: a consistent copy of a data directory, made while the program
//! runs on it or not, and the way back.
//!
//! Everything that was acknowledged before a backup began is in it. It needs nothing of the running program:
//! segments only grow, and what may vanish (by retention or compaction) is noticed. The order makes the copy
//! consistent: the ledger and the journal speak of events, so the events come last and hold whatever they name.

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

/// Written last: a directory without it is no whole backup.
const MANIFEST: &str = "backup.json";
/// In the order of the copy; see above.
const LOGS: [&str; 5] = ["ledger", "journal", "audit", KEPT, "events"];
/// Data directories of earlier versions have none. It is copied after `audit`, from which entries go there: so a copy may have
/// an entry twice, and misses none.
const KEPT: &str = "audit-kept";
const KEY_FILE: &str = "master.key";
const NOTICES: &str = "notices";
const VERSION: u32 = 1;
/// Permissions of a directory: everybody may put files into it; only a file's owner may remove it.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Why there is no backup, or no way back from it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A copy cannot be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no log where one should be.
    #[error("{} is no data directory: {missing}/ is missing", dir.display())]
    NoData {
        /// Where.
        dir: PathBuf,
        /// Which log.
        missing: &'static str,
    },
    /// One of the two directories lies within the other.
    #[error("{} lies within {}: what becomes of one becomes of both; name a directory outside of it", inner.display(), outer.display())]
    Within {
        /// Where the copy should go.
        inner: PathBuf,
        /// Where it comes from.
        outer: PathBuf,
    },
    /// Other users can change what is written there.
    #[error(
        "other users can change {}, and with it a backup, which holds secrets; name a directory of your own, below one \
         that others cannot change (chmod o-w)",
        .0.display()
    )]
    Exposed(PathBuf),
    /// Something is there already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Segments kept vanishing while they were copied.
    #[error("{} changed faster than it could be copied; try again", .0.display())]
    Restless(PathBuf),
    /// It was not completed, or is of a later version.
    #[error("{} is no complete backup: {reason}", dir.display())]
    Incomplete {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The restored state cannot be opened or changed.
    #[error("restored state: {0}")]
    State(String),
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }
}

/// What `backup.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    made: String,
    program: String,
    logs: Vec<Copied>,
}

/// One log of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its name.
    pub log: String,
    /// Sound records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Places of damage, copied as they are; a line each.
    pub damage: Vec<String>,
}

impl Copied {
    fn of(log: &str, report: &Report) -> Self {
        let damage = report.damage.iter().map(ToString::to_string).collect();
        Self { log: log.to_owned(), records: report.records, bytes: report.bytes, damage }
    }
}

/// Copies the data directory to `to`, which must be new or empty. Blocking.
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
    // Before the journal: a change that it has not seen told is told again, and recognised.
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

/// Whether a log is to be copied: all of them, but for one that earlier versions do not have.
fn is_there(dir: &Path, log: &str) -> bool {
    log != KEPT || dir.join(log).is_dir()
}

fn copy_file(name: &str, from: &Path, to: &Path) -> Result<(), BackupError> {
    let path = from.join(name);
    match fs::read(&path) {
        Ok(bytes) => write_private(&to.join(name), &bytes),
        // No key when it is configured, no notices before the first start of this version.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BackupError::file(&path)(error)),
    }
}

/// An empty directory that does not lie within the other one: a backup in its data directory would be lost with it.
fn make_apart(dir: &Path, from: &Path) -> Result<(), BackupError> {
    let outer = fs::canonicalize(from).map_err(BackupError::file(from))?;
    // What is there of the way to it; the rest is made.
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

/// A directory that only its owner can enter, with nothing in it.
fn make_empty(dir: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(BackupError::file(dir))?;
    let mut listed = fs::read_dir(dir).map_err(BackupError::file(dir))?;
    if listed.next().is_some() { Err(BackupError::NotEmpty(dir.to_owned())) } else { Ok(()) }
}

/// A file that only its owner can read, on disk with its name.
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
