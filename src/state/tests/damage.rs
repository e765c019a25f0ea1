//! Damage to the index's files: all documents are still found.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// A data directory with the documents of two accounts, closed cleanly. Returns the master account's key too.
pub(super) async fn filled(dir: &Path) -> (AccountId, String) {
    let running = Running::open(dir).await;
    let master = running.state.settings().master;
    for id in 0..30 {
        running.state.write(vec![hook(master, id, &format!("hook {id}"))]).await.expect("written");
    }
    running.close().await;
    let key = fs::read_to_string(dir.join("master.key")).expect("the key file is readable");
    (master, key.trim().to_owned())
}

pub(super) async fn all_is_found(
    dir: &Path,
    (master, key): &(AccountId, String),
    what: &str,
) -> Option<String> {
    let running = Running::open(dir).await;
    let state = &running.state;
    assert_eq!(state.settings().master, *master, "{what}");
    assert_eq!(state.all_hooks().len(), 30, "{what}");
    assert_eq!(state.hooks_of(*master).map_or(0, |hooks| hooks.len()), 30, "{what}");
    assert_eq!(account_of(state, key), Some(*master), "{what}");
    state.write(vec![hook(*master, 3, "again")]).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let rebuilt = running.rebuilt.clone();
    running.close().await;
    rebuilt
}

pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let (dirs, mut found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    found.extend(dirs.iter().flat_map(|dir| files(dir)));
    found.sort();
    found
}

#[tokio::test]
async fn a_missing_or_emptied_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let known = filled(dir.path()).await;
    let index = dir.path().join("state");
    assert_eq!(all_is_found(dir.path(), &known, "untouched").await, None);

    fs::remove_dir_all(&index).unwrap();
    assert!(all_is_found(dir.path(), &known, "deleted").await.is_some());
    for path in files(&index) {
        fs::remove_file(path).unwrap();
    }
    assert!(all_is_found(dir.path(), &known, "emptied").await.is_some());
    for path in files(&index) {
        fs::write(path, b"").unwrap();
    }
    assert!(all_is_found(dir.path(), &known, "all files of length 0").await.is_some());
    for path in files(&index) {
        fs::write(path, vec![0x5a; 70_000]).unwrap();
    }
    assert!(all_is_found(dir.path(), &known, "overwritten").await.is_some());
}

#[tokio::test]
async fn one_changed_byte_anywhere_in_the_index_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let known = filled(dir.path()).await;
    let index = dir.path().join("state");
    let mut made_again = 0;
    for part in 0..12_u64 {
        for path in files(&index) {
            // Rebuilding the index may have removed a file of the list.
            let Ok(mut bytes) = fs::read(&path) else { continue };
            // The used part of sled's log is at the beginning of the file; the rest is zeros.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let at = used * usize::try_from(part).unwrap() / 12;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x20;
                fs::write(&path, &bytes).unwrap();
                let what = format!("{} at {at} of {used}", path.display());
                made_again += u32::from(all_is_found(dir.path(), &known, &what).await.is_some());
            }
        }
    }
    assert!(made_again > 0);
}

#[tokio::test]
async fn an_index_that_is_behind_is_brought_up_to_date() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let known = filled(dir.path()).await;
    let (index, old) = (dir.path().join("state"), copy.path().join("state"));
    copy_all(&index, &old);
    let running = Running::open(dir.path()).await;
    running.state.write(vec![hook(known.0, 29, "newer")]).await.unwrap();
    running.close().await;
    fs::remove_dir_all(&index).unwrap();
    copy_all(&old, &index);
    let running = Running::open(dir.path()).await;
    assert_eq!(
        (running.state.hook(HookId(29)).unwrap().name.as_str(), running.rebuilt.as_deref()),
        ("newer", None)
    );
    running.close().await;
}

#[tokio::test]
async fn an_index_of_another_journal_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let known = filled(dir.path()).await;
    filled(other.path()).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    copy_all(&other.path().join("state"), &dir.path().join("state"));
    assert!(all_is_found(dir.path(), &known, "another's").await.is_some());
}

#[tokio::test]
async fn a_copy_of_the_files_at_any_moment_holds_every_answered_write() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    for round in 0..15_u128 {
        let copy = tempfile::tempdir().unwrap();
        running.state.write(vec![hook(master, round, "answered")]).await.unwrap();
        let writes = (0..40).map(|n| running.state.write(vec![hook(master, 1000 + n, "maybe")]));
        let writing = futures_util::future::join_all(writes);
        let (from, to) = (dir.path().to_owned(), copy.path().to_owned());
        let copying = tokio::task::spawn_blocking(move || copy_all(&from, &to));
        let (_, copied) = tokio::join!(writing, copying);
        copied.unwrap();
        let opened = Running::open(copy.path()).await;
        for id in 0..=round {
            assert!(opened.state.hook(HookId(id)).is_some(), "hook {id} in round {round}");
        }
        opened.close().await;
    }
    running.close().await;
}

#[tokio::test]
async fn an_idle_state_needs_no_rebuilding_after_a_kill() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut options = StateOptions::new(dir.path());
    options.checkpoint_idle = std::time::Duration::from_millis(5);
    let running = Running::open_with(options).await;
    let master = running.state.settings().master;
    running.state.write(vec![hook(master, 1, "one")]).await.unwrap();
    while running.state.shared.checkpoints.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    copy_all(dir.path(), copy.path());
    let after = Running::open(copy.path()).await;
    assert_eq!((after.rebuilt.as_deref(), after.state.all_hooks().len()), (None, 1));
    after.close().await;
    running.close().await;
}

pub(super) fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory is made");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
