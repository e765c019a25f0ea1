//! Copies one log while the program may be writing to it.
//!
//! A closed segment never changes, and the last one only grows. So a copy in order is the log as it was at some
//! moment, except for a torn record at its end, which is cut. If retention removes segments meanwhile, the copy is
//! repeated.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{BackupError, make_empty, sync_dir};

/// Most repetitions. Each one means that the log removed segments during one copy.
const TRIES: usize = 10;
const SALT: &str = "salt";

/// Copies all segments, indexes and the salt into a new directory.
pub(super) fn log(from: &Path, to: &Path) -> Result<(), BackupError> {
    for _ in 0..TRIES {
        make_empty(to)?;
        if once(from, to)? {
            return sync_dir(to);
        }
        fs::remove_dir_all(to).map_err(BackupError::file(to))?;
    }
    Err(BackupError::Restless(from.to_owned()))
}

/// Copies the log once; false when a segment was removed meanwhile.
fn once(from: &Path, to: &Path) -> Result<bool, BackupError> {
    for name in segments(from)? {
        if !file(&from.join(&name), &to.join(&name))? {
            return Ok(false);
        }
        // A missing index does no harm: it will be rebuilt.
        let index = Path::new(&name).with_extension("index");
        file(&from.join(&index), &to.join(&index))?;
    }
    // A missing salt does no harm: the segments contain it too.
    file(&from.join(SALT), &to.join(SALT))?;
    Ok(true)
}

/// The names of a log's segments, oldest first.
fn segments(dir: &Path) -> Result<Vec<String>, BackupError> {
    let entries = fs::read_dir(dir).map_err(BackupError::file(dir))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(BackupError::file(dir))?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "log") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Copies and syncs a file; false when it no longer exists.
fn file(from: &Path, to: &Path) -> Result<bool, BackupError> {
    let mut source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(BackupError::file(from))?,
    };
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(BackupError::file(to))?;
    io::copy(&mut source, &mut target).map_err(BackupError::file(to))?;
    target.sync_all().map_err(BackupError::file(to))?;
    Ok(true)
}

/// Cuts the part of the last record that had been written when it was copied.
pub(super) fn cut_torn_tail(dir: &Path, bytes: u64) -> Result<(), BackupError> {
    let Some(last) = segments(dir)?.pop().map(|name| dir.join(name)).filter(|_| bytes > 0) else {
        return Ok(());
    };
    let cut = |path: &PathBuf| {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(file.metadata()?.len().saturating_sub(bytes))?;
        file.sync_all()
    };
    cut(&last).map_err(BackupError::file(&last))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::disk::OsDisk;
    use crate::log::inspect::verify;
    use crate::log::{LogOptions, NewRecord, OpenedLog, open};
    use crate::model::Clock;
    use crate::tasks::{Stop, Tasks};

    /// A log of tiny segments that keeps 20 of them, written as fast as possible.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_copy_made_while_segments_come_and_go_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("events"), dir.path().join("copy"));
        let options = LogOptions { segment_bytes: 4096, max_bytes: Some(80 << 10), ..LogOptions::default() };
        let OpenedLog { writer, appender, reader, .. } =
            open(Arc::new(OsDisk), &source, options, Clock::system()).unwrap();
        let (tasks, stop) = (Tasks::new(), Stop::new());
        let stopped = stop.clone();
        let writing = tasks.spawn_blocking(move || writer.run(stopped));
        let stopped = stop.clone();
        let appending = tasks.spawn("append", async move {
            while !stopped.is_cancelled() {
                let payload = Bytes::from(vec![7; 900]);
                let record = NewRecord { tag: 1, flags: 0, time_us: 1, payload };
                drop(appender.append(vec![record; 3]).await);
            }
        });
        let mut copied = 0;
        while copied < 20 || reader.first() == 0 {
            let end = reader.end();
            let target = target.clone();
            let source = source.clone();
            let made = tasks.spawn_blocking(move || {
                let made = log(&source, &target);
                let report = verify(&OsDisk, &target);
                (made, report, target)
            });
            let (made, report, target) = made.await.unwrap();
            if !matches!(made, Err(BackupError::Restless(_))) {
                made.unwrap();
                assert!(target.join(SALT).is_file());
                let report = report.unwrap();
                assert!(report.is_sound(), "{:?}", report.damage);
                assert!(first(&target) + report.records >= end, "what was there before is in it");
                cut_torn_tail(&target, report.torn_bytes).unwrap();
                assert_eq!(verify(&OsDisk, &target).unwrap().torn_bytes, 0);
                copied += 1;
            }
            fs::remove_dir_all(&target).ok();
        }
        stop.cancel();
        appending.await.unwrap();
        writing.await.unwrap().unwrap();
    }

    fn first(dir: &Path) -> u64 {
        segments(dir).unwrap()[0].trim_end_matches(".log").parse().unwrap()
    }
}
