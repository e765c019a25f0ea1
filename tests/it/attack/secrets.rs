//! Secrets: no other user of the machine reads what the program keeps.

use std::fs::{Permissions, create_dir, metadata, read_dir, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::process::Process;

/// Everything from `path` downwards that the group or others have a permission for.
fn wider(path: &Path) -> Vec<String> {
    let meta = metadata(path).unwrap();
    let mode = meta.permissions().mode() & 0o777;
    let mut found = Vec::new();
    if mode & 0o077 != 0 {
        found.push(format!("{} {mode:o}", path.display()));
    }
    if meta.is_dir() {
        found.extend(read_dir(path).unwrap().flat_map(|entry| wider(&entry.unwrap().path())));
    }
    found
}

#[tokio::test]
async fn nothing_that_the_program_keeps_is_readable_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // The usual umask of 022 is what tests inherit; a directory of an older version is 0755 with files of 0644.
    create_dir(&data).unwrap();
    set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let old = data.join("master.key.old");
    write(&old, "secret").unwrap();
    set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
    let mut process = Process::serve(&data, &[]).await;
    let api = process.api().await;
    api.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
    assert_eq!(wider(&data), Vec::<String>::new());
    assert!(process.stderr().contains("now they cannot"), "{}", process.stderr());
    process.kill();
}
