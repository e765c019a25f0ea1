//! Mistakes with, and attacks on, the data directory: before the first start, at runtime, and between two starts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::app::call_event;
use crate::support::look::events_of;
use crate::support::process::{Ended, Process, run};
use crate::support::wait::eventually_true;

const WITHIN: Duration = Duration::from_secs(60);

/// Starts the program on a directory that it must refuse; returns how it ended.
async fn refused(dir: &Path, words: &[&str]) {
    let ended = Process::spawn_serve(dir, &[]).ended(WITHIN).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    for word in words.iter().copied().chain([dir.to_str().unwrap()]) {
        assert!(last.contains(word), "{word}: {}", ended.stderr);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_mistyped_data_directory_keeps_its_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let (file, shared) = (dir.path().join("file"), dir.path().join("shared"));
    fs::write(&file, "precious").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let page = shared.join("www/index.html");
    fs::create_dir_all(page.parent().unwrap()).unwrap();
    fs::write(&page, "<p>").unwrap();
    for path in [&shared, page.parent().unwrap(), &page] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    refused(&file, &["is not a directory"]).await;
    assert_eq!((mode(&file), fs::read_to_string(&file).unwrap().as_str()), (0o644, "precious"));
    refused(&shared, &["is not a data directory", "'www'", "new or empty"]).await;
    for path in [&shared, page.parent().unwrap(), &page] {
        assert_eq!(mode(path), 0o755, "{}", path.display());
    }
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 1, "nothing was made there");
}

#[tokio::test]
async fn a_volumes_root_and_a_directory_with_other_files_are_accepted_as_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["lost+found", ".snapshot"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("README.md"), "a note").unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    process.api().await.publish(&events_of("call", 0..1)).await;
}

#[tokio::test]
async fn a_second_process_is_refused_even_after_the_lock_file_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::serve(dir.path(), &[]).await;
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    refused(dir.path(), &["is in use by another process"]).await;
    first.api().await.publish(&events_of("call", 0..1)).await;
    drop(first);
    Process::serve(dir.path(), &[]).await;
}

#[tokio::test]
async fn a_pipe_or_link_in_place_of_the_lock_file_is_refused_without_waiting_or_following_it() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("LOCK");
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    refused(dir.path(), &["LOCK is not a plain file"]).await;
    fs::remove_file(&lock).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    symlink(&elsewhere, &lock).unwrap();
    refused(dir.path(), &["LOCK is not a plain file"]).await;
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn a_log_directory_that_links_to_a_world_writable_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    for path in [&data, &other] {
        fs::create_dir(path).unwrap();
    }
    symlink(&other, data.join("events")).unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o777)).unwrap();
    refused(&data, &["events points to", "chmod go-w"]).await;
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);

    fs::set_permissions(&other, Permissions::from_mode(0o755)).unwrap();
    let process = Process::serve(&data, &[]).await;
    process.api().await.publish(&events_of("call", 0..1)).await;
    assert!(fs::read_dir(&other).unwrap().count() > 0, "a disk of its own for the events");
}

#[tokio::test]
async fn no_event_is_acknowledged_after_its_log_file_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    api.publish(&events_of("call", 0..3)).await;
    fs::remove_dir_all(dir.path().join("events")).unwrap();
    let event = json!({"data": call_event("CHANNEL_CREATE", "lost", 9)});
    // The process may end before it responds.
    let answer = api.try_call("PUT", "/v2/account/events", Some(event)).await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 503), "{answer:?}");
    let Ended { code, stderr, .. } = process.ended(WITHIN).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.lines().last().unwrap().contains("deleted beneath the program"), "{stderr}");
}

#[tokio::test]
async fn a_change_is_refused_after_the_journal_was_deleted_and_readiness_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let hook = json!({"data": {"name": "lost", "hook": "all", "uri": "http://127.0.0.1:1/"}});
    assert_eq!(api.own("PUT", "/webhooks", Some(hook)).await.status, 503);
    let ready = api.call("GET", "/health/ready", None).await;
    assert_eq!((ready.status, &ready.body["faults"][0]["what"]), (503, &json!("journal")), "{ready:?}");
    // Deliveries continue, because they need no change of a document.
    api.publish(&events_of("call", 0..3)).await;
}

#[tokio::test]
async fn a_data_directory_without_its_journal_is_not_initialised_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    api.hook(json!({"uri": "http://127.0.0.1:1/"})).await;
    api.publish(&events_of("call", 0..3)).await;
    process.kill();
    let (journal, aside) = (dir.path().join("journal"), dir.path().join(".journal"));
    fs::rename(&journal, &aside).unwrap();
    refused(dir.path(), &["journal is empty", "switchhook restore"]).await;
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    refused(dir.path(), &["journal is empty", "switchhook restore"]).await;

    // After the journal is put back, everything is there.
    drop(fs::remove_dir_all(&journal));
    fs::rename(&aside, &journal).unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let hooks = process.api().await.own("GET", "/webhooks", None).await;
    assert_eq!(hooks.data().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_start_without_the_ledger_says_that_events_will_be_delivered_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    process.api().await.publish(&events_of("call", 0..3)).await;
    assert_eq!(process.said("ledger/ is missing"), 0);
    process.kill();
    fs::remove_dir_all(dir.path().join("ledger")).unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    assert_eq!(process.said("ledger/ is missing"), 1, "{}", process.stderr());
}

#[tokio::test]
async fn a_backup_inside_the_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    drop(Process::serve(&data, &[]).await);
    let [from, to] = [&data, &copy].map(|path| path.to_str().unwrap().to_owned());
    for inner in
        [format!("{from}/backup"), format!("{from}/events/deep/er"), format!("{to}/../data/events/x")]
    {
        let ended = run(&["backup", &inner, "--data-dir", &from]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is inside"), "{ended:?}");
    }
    assert_eq!(run(&["backup", &to, "--data-dir", &from]).await.code, Some(0));
    let ended = run(&["restore", &to, &format!("{to}/data")]).await;
    assert!(ended.stderr.contains("is inside"), "{ended:?}");
    assert!(!data.join("backup").exists() && !copy.join("data").exists());
}

/// An event of some size.
fn large(number: u64) -> serde_json::Value {
    let mut event = call_event("CHANNEL_CREATE", "c", number);
    event["Custom-Channel-Vars"] = json!({"Filling": "x".repeat(30_000)});
    event
}

/// The first offset of a segment, which is its name.
fn first_offset(segment: &Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn segments(log: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(log).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_lost_oldest_segment_is_reported_and_one_that_retention_removed_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["log.segment_bytes=65536", "retention.max_bytes=1048576"].map(str::to_owned);
    let mut process = Process::serve(dir.path(), &more).await;
    let api = process.api().await;
    for number in 0..45 {
        api.publish(&[large(number)]).await;
    }
    let missing = "the start of a log is missing";
    process.kill();
    let mut process = Process::serve(dir.path(), &more).await;
    assert_eq!(process.said(missing), 0, "retention took it: {}", process.stderr());
    process.kill();

    let oldest = segments(&dir.path().join("events"));
    assert!(oldest.len() > 5 && !oldest[0].ends_with("00000000000000000000.log"), "{oldest:?}");
    // The program may have been killed while it removed segments, so a missing segment before the log's begin is no
    // loss.
    let first = loop {
        let begin = fs::read(dir.path().join("events/begin")).unwrap();
        if let Some(first) = begin.first_chunk() {
            break u64::from_le_bytes(*first);
        }
        // The program was killed while it wrote the file.
        Process::serve(dir.path(), &more).await.kill();
    };
    for path in oldest.iter().filter(|path| first_offset(path) <= first) {
        fs::remove_file(path).unwrap();
    }
    let process = Process::serve(dir.path(), &more).await;
    eventually_true("the loss is said", WITHIN, || process.said(missing) == 1).await;
    let ready = process.api().await.call("GET", "/health/ready", None).await;
    assert!(ready.body["notices"].to_string().contains("is damaged at byte 0: offsets"), "{ready:?}");
}

#[tokio::test]
async fn a_lost_audit_trail_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    assert_eq!(process.said("audit/ is missing"), 0, "{}", process.stderr());
    process.kill();
    fs::remove_dir_all(dir.path().join("audit")).unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    assert_eq!(process.said("audit/ is missing"), 1, "{}", process.stderr());
}

#[tokio::test]
async fn a_backup_is_refused_where_another_user_could_read_or_replace_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(Process::serve(&data, &[]).await);
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o777)).unwrap();
    let backup =
        async |to: &Path| run(&["backup", to.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]).await;
    let ended = backup(&other.join("new")).await;
    assert_eq!(ended.code, Some(1), "below a directory of everybody: {ended:?}");
    assert!(ended.stderr.contains("other users can change"), "{ended:?}");
    if std::os::unix::fs::chown(&other, Some(65534), None).is_ok() {
        let ended = backup(&other).await;
        assert_eq!(ended.code, Some(1), "a directory of another user: {ended:?}");
        assert!(ended.stderr.contains("other users can change"), "{ended:?}");
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0, "nothing was written there");
    }
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o777)).unwrap();
    assert_eq!(backup(&own).await.code, Some(0));
    assert_eq!(mode(&own), 0o700, "narrowed");
}
