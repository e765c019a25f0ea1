//! Logs of format version 2 stay readable.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use switchhook::disk::OsDisk;
use switchhook::log::{LogOptions, inspect};

use crate::open_log::{OpenLog, expected};

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/log-v2")
}

/// Was run once to write the fixture of version 2; version 1 was never released. A later version gets its own
/// directory.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture_of_version_2() {
    assert!(!fixture().exists(), "what version 2 wrote is not to be written again");
    let options = LogOptions { segment_bytes: 400, ..LogOptions::default() };
    let log = OpenLog::try_open(Arc::new(OsDisk), &fixture(), &options).unwrap();
    for _ in 0..6 {
        log.append(3).unwrap();
    }
    log.close().unwrap();
}

#[test]
fn a_directory_of_version_2_opens_reads_and_grows() {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let stat = inspect::stat(&OsDisk, dir.path()).unwrap();
    assert_eq!(stat.len(), 3);
    // Indexes are not part of the format: the fixture's have an earlier version and are rebuilt.
    assert!(stat.iter().all(|segment| segment.version == Some(2) && !segment.indexed));
    assert!(inspect::verify(&OsDisk, dir.path()).unwrap().is_sound());
    let log = OpenLog::try_open(Arc::new(OsDisk), dir.path(), &LogOptions::default()).unwrap();
    let all = log.read_all();
    assert_eq!(all.records, (0..18).map(expected).collect::<Vec<_>>());
    assert_eq!(all.damaged, []);
    let tagged = log.reader.read_tags(&[2], 0, 18, 100, 10_000).unwrap();
    assert_eq!(tagged.records.len(), 6);
    assert_eq!(log.append(2).unwrap(), 18..20);
    assert_eq!(log.read_all().records.len(), 20);
    log.close().unwrap();
    let stat = inspect::stat(&OsDisk, dir.path()).unwrap();
    assert!(stat.iter().any(|segment| segment.indexed), "a rebuilt index is written");
}
