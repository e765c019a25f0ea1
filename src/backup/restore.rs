//! Restores a backup.
//!
//! Events after the backup are lost, but receivers may already have got some of them. The ids of these events must
//! not be used for other events, which a receiver that drops duplicates would then drop. So new events get the id of
//! a new log.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{
    BackupError, Copied, KEY_FILE, LOGS, MANIFEST, Manifest, NOTICES, VERSION, copy, copy_file, is_there,
    make_apart, sync_dir,
};
use crate::disk::OsDisk;
use crate::log::{self, inspect::verify};
use crate::model::{Clock, EventOffset};
use crate::state::{self, State};
use crate::tasks::{Stop, Tasks};

/// Restores a backup into a new or empty data directory.
pub async fn restore(from: &Path, data_dir: &Path, clock: &Clock) -> Result<Vec<Copied>, BackupError> {
    let tasks = Tasks::new();
    let (source, target) = (from.to_owned(), data_dir.to_owned());
    let copied = tasks.spawn_blocking(move || copy_back(&source, &target));
    let copied = copied.await.map_err(|error| BackupError::State(error.to_string()))??;
    renumber(data_dir, clock, &tasks).await?;
    forget_missing_index(data_dir)?;
    Ok(copied)
}

fn copy_back(from: &Path, data_dir: &Path) -> Result<Vec<Copied>, BackupError> {
    let manifest = manifest(from)?;
    make_apart(data_dir, from)?;
    let mut copied = Vec::new();
    for log in LOGS.into_iter().filter(|log| is_there(from, log)) {
        copy::log(&from.join(log), &data_dir.join(log))?;
        let found = Copied::of(log, &verify(&OsDisk, &data_dir.join(log))?);
        let expected = manifest.logs.iter().find(|copied| copied.log == log).map_or(0, |log| log.records);
        if found.records < expected && found.damage.is_empty() {
            let reason = format!("{log} has {} records of {expected}", found.records);
            return Err(BackupError::Incomplete { dir: from.to_owned(), reason });
        }
        copied.push(found);
    }
    copy_file(NOTICES, from, data_dir)?;
    copy_file(KEY_FILE, from, data_dir)?;
    sync_dir(data_dir)?;
    Ok(copied)
}

/// Removes the empty index that was set aside when the index was rebuilt from the journal.
fn forget_missing_index(data_dir: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(data_dir).map_err(BackupError::file(data_dir))? {
        let path = entry.map_err(BackupError::file(data_dir))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.aside-")) {
            fs::remove_dir_all(&path).map_err(BackupError::file(&path))?;
        }
    }
    Ok(())
}

fn manifest(from: &Path) -> Result<Manifest, BackupError> {
    let incomplete = |reason: String| BackupError::Incomplete { dir: from.to_owned(), reason };
    let text = fs::read(from.join(MANIFEST)).map_err(|error| incomplete(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| incomplete(format!("{MANIFEST}: {error}")))?;
    if manifest.version == VERSION {
        Ok(manifest)
    } else {
        Err(incomplete(format!("{MANIFEST} is of version {}", manifest.version)))
    }
}

/// Gives events from the restored end on the id of a new log.
async fn renumber(data_dir: &Path, clock: &Clock, tasks: &Tasks) -> Result<(), BackupError> {
    let failed = |error: &dyn std::fmt::Display| BackupError::State(error.to_string());
    let events = data_dir.join("events");
    let opened = log::open(Arc::new(OsDisk), &events, log::LogOptions::default(), clock.clone());
    let end = opened.map_err(|error| failed(&error))?.reader.end();
    let mut options = state::StateOptions::new(data_dir);
    // When the first key is configured, none may be created; opening does not create one when it is given one.
    options.master_api_key = Some(state::random_id().to_string());
    let opened = State::open(Arc::new(OsDisk), options, clock.clone(), tasks).await;
    let state::OpenedState { state, task, .. } = opened.map_err(|error| failed(&error))?;
    let stop = Stop::new();
    let running = tasks.spawn("state", task.run(stop.clone()));
    let renumbered = state.renumber_from(EventOffset(end)).await;
    stop.cancel();
    running.await.map_err(|error| failed(&error))?;
    drop(state);
    tasks.all_ended().await;
    renumbered.map_err(|error| failed(&error))
}
