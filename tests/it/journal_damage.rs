//! The journal under power cuts and damage: every answered change is found, or its loss is reported.
#![expect(clippy::unwrap_used, reason = "a state that cannot be made should stop the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use switchhook::disk::Disk;
use switchhook::model::{Clock, HookId};
use switchhook::state::{Expect, Kind, OpenError, OpenedState, State, StateOptions, Write};
use switchhook::tasks::{Stop, Tasks};
use tempfile::TempDir;

use crate::cut_disk::{CutDisk, Tear};

const HOOKS: u128 = 4;
const CHANGES: usize = 8;

fn options(dir: &Path) -> StateOptions {
    let mut options = StateOptions::new(dir);
    // Small enough that segments roll and the journal is compacted within a few changes.
    (options.segment_bytes, options.compact_min_bytes, options.compact_factor) = (800, 2500, 1);
    (options.reserve_bytes, options.master_api_key) = (0, Some("k".repeat(64)));
    options
}

/// An open state and its tasks.
struct Running {
    state: State,
    tasks: Tasks,
    stop: Stop,
    reported: bool,
}

impl Running {
    async fn open(disk: &CutDisk, dir: &Path) -> Result<Self, OpenError> {
        let (tasks, stop) = (Tasks::new(), Stop::new());
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let clock = Clock::new(|| 1_760_000_000_000_000);
        let OpenedState { state, task, mut changes, recovered, .. } =
            State::open(disk, options(dir), clock, &tasks).await?;
        drop(tasks.spawn("state", task.run(stop.clone())));
        drop(tasks.spawn("changes", async move { while changes.recv().await.is_some() {} }));
        let reported = recovered.cut_bytes > 0
            || !recovered.damage.is_empty()
            || !state.journal().health().damage.is_empty();
        Ok(Self { state, tasks, stop, reported })
    }

    /// Writes hooks, each twice, until the power is cut; returns the number of answered changes.
    async fn write(&self) -> usize {
        let master = self.state.settings().master;
        for change in 0..CHANGES as u128 {
            let doc = json!({
                "name": format!("change {change}"), "uri": "http://192.0.2.1/", "hook": "all", "http_verb": "post",
                "enabled": true, "pvt_account_id": master,
            });
            let doc = doc.as_object().cloned();
            let write =
                Write { kind: Kind::Hook, id: HookId(change % HOOKS).to_string(), doc, expect: Expect::Any };
            if self.state.write(vec![write]).await.is_err() {
                return usize::try_from(change).unwrap();
            }
        }
        CHANGES
    }

    /// For each hook, the number of its last visible change.
    fn seen(&self) -> Vec<Option<u128>> {
        let number = |id| {
            let hook = self.state.hook(HookId(id))?;
            hook.name.strip_prefix("change ")?.parse().ok()
        };
        (0..HOOKS).map(number).collect()
    }

    async fn close(self) {
        self.stop.cancel();
        drop(self.state);
        self.tasks.all_ended().await;
    }
}

/// In a memory file system, if there is one, because the index syncs often.
fn temp_dir() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The least that must be visible of each hook after this number of answered changes.
fn least(answered: usize) -> Vec<Option<u128>> {
    let last = |hook: u128| (0..answered as u128).rev().find(|change| change % HOOKS == hook);
    (0..HOOKS).map(last).collect()
}

/// Cuts the power at every `step`th operation.
async fn cut_everywhere(tear: Tear, keeps_index: bool, step: usize) {
    let (disk, dir) = (CutDisk::default(), temp_dir());
    let running = Running::open(&disk, dir.path()).await.unwrap();
    assert_eq!(running.write().await, CHANGES);
    assert!(running.state.journal().first() > 0, "it was compacted");
    running.close().await;
    let all = disk.operations();
    for cut in (0..all).step_by(step) {
        let (disk, dir) = (CutDisk::default(), temp_dir());
        disk.cut_at(cut);
        let mut answered = 0;
        if let Ok(running) = Running::open(&disk, dir.path()).await {
            answered = running.write().await;
            running.close().await;
        }
        disk.power_on(tear);
        if !keeps_index {
            drop(std::fs::remove_dir_all(dir.path().join("state")));
        }
        let running = Running::open(&disk, dir.path()).await.unwrap();
        for (seen, least) in running.seen().into_iter().zip(least(answered)) {
            assert!(seen >= least, "cut {cut} {tear:?}: {seen:?}, answered {least:?}");
        }
        assert_eq!(running.write().await, CHANGES, "cut {cut}: life goes on");
        running.close().await;
    }
}

#[tokio::test]
async fn every_answered_change_survives_a_power_cut() {
    cut_everywhere(Tear::Nothing, true, 7).await;
}

#[tokio::test]
async fn an_answered_change_survives_a_power_cut_with_a_lost_index_and_torn_writes() {
    cut_everywhere(Tear::FirstHalf, false, 7).await;
}

#[tokio::test]
#[ignore = "some minutes: cargo nextest run --run-ignored only -E 'test(journal_damage)'"]
async fn every_answered_change_survives_a_power_cut_at_every_single_operation() {
    for tear in [Tear::Nothing, Tear::FirstHalf, Tear::SecondHalf, Tear::All] {
        for keeps_index in [true, false] {
            cut_everywhere(tear, keeps_index, 1).await;
        }
    }
}

#[tokio::test]
async fn a_journal_with_a_flipped_byte_loses_only_what_it_reports() {
    flip_everywhere(61).await;
}

#[tokio::test]
#[ignore = "some minutes: cargo nextest run --run-ignored only -E 'test(journal_damage)'"]
async fn a_journal_with_any_byte_flipped_loses_what_it_reports_and_nothing_else() {
    flip_everywhere(1).await;
}

/// Flips every `step`th byte, one at a time.
async fn flip_everywhere(step: usize) {
    let (disk, dir) = (CutDisk::default(), temp_dir());
    let running = Running::open(&disk, dir.path()).await.unwrap();
    assert_eq!(running.write().await, CHANGES);
    running.close().await;
    let names: Vec<PathBuf> = disk.names();
    let journal = |name: &&PathBuf| name.parent() == Some(&dir.path().join("journal"));
    for name in names.iter().filter(journal) {
        let bytes = disk.bytes(name);
        for at in (0..bytes.len()).step_by(step) {
            let hurt = CutDisk::default();
            for other in &names {
                hurt.put(other, disk.bytes(other));
            }
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x11;
            hurt.put(name, flipped);
            drop(std::fs::remove_dir_all(dir.path().join("state")));
            let what = format!("{} byte {at}", name.display());
            let opened = Running::open(&hurt, dir.path()).await;
            // Without its settings the state cannot be opened, and the error says so.
            let Ok(running) = opened else { continue };
            let (seen, least) = (running.seen(), least(CHANGES));
            assert!(running.reported || seen == least, "{what}: {seen:?}, and nothing is reported");
            assert!(seen.iter().zip(&least).all(|(seen, least)| seen <= least), "{what}: {seen:?}");
            running.close().await;
        }
    }
}
