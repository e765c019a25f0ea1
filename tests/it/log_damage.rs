//! Damage in the log never causes a panic or a wrong record, and is never silent.
#![expect(clippy::unwrap_used, reason = "a log that cannot be made should stop the test")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchhook::log::{LogOptions, OpenError, ReadError, inspect};

use crate::cut_disk::CutDisk;
use crate::open_log::{DIR, OpenLog, expected};

fn segment(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}.log"))
}

fn index(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}.index"))
}

/// The bytes of a log of one segment with 12 records, and of its salt.
fn one_segment() -> (Vec<u8>, Vec<u8>) {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions::default());
    for _ in 0..4 {
        log.append(3).unwrap();
    }
    (disk.bytes(&segment(0)), disk.bytes(&salt()))
}

fn salt() -> PathBuf {
    Path::new(DIR).join("salt")
}

/// Three closed segments of 10 records and an active one of 5.
fn four_segments() -> CutDisk {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions { segment_bytes: 600, ..LogOptions::default() });
    for _ in 0..7 {
        log.append(5).unwrap();
    }
    assert_eq!(log.reader.stats().segments, 4);
    log.close().unwrap();
    disk
}

fn reopened(disk: &CutDisk) -> OpenLog {
    OpenLog::new(disk, &LogOptions::default())
}

#[test]
fn a_flipped_byte_of_the_last_segment_costs_one_record_and_is_reported() {
    let (clean, salted) = one_segment();
    let mut starts: Vec<usize> = vec![36];
    for offset in 0..12 {
        starts.push(starts[offset] + 33 + expected(offset as u64).payload.len());
    }
    assert_eq!(starts[12], clean.len());
    for at in 0..clean.len() {
        for flip in [0x01, 0x80, 0xff] {
            let disk = CutDisk::default();
            let mut bytes = clean.clone();
            bytes[at] ^= flip;
            disk.put(&segment(0), bytes);
            disk.put(&salt(), salted.clone());
            let log = reopened(&disk);
            let read: BTreeSet<u64> = log.read_all().records.iter().map(|r| r.offset).collect();
            let hit = starts.partition_point(|start| *start <= at).checked_sub(1).map(|n| n as u64);
            let kept = (0..12).filter(|offset| Some(*offset) != hit).collect();
            assert_eq!(read, kept, "byte {at}");
            let health = log.reader.health();
            match hit {
                None => assert!(health.damage[0].offsets.is_empty(), "header"),
                Some(11) => {
                    assert_eq!(log.recovered.cut_bytes, (clean.len() - starts[11]) as u64);
                    assert_eq!((log.reader.end(), health.damage.len()), (11, 0));
                }
                Some(hit) => {
                    assert_eq!(health.damage.len(), 1);
                    assert_eq!(health.damage[0].offsets, hit..hit + 1);
                    assert_eq!(health.damage[0].position, starts[usize::try_from(hit).unwrap()] as u64);
                    assert!(matches!(log.reader.get(hit), Ok(None) | Err(ReadError::Damaged(_))));
                }
            }
            let end = log.reader.end();
            assert_eq!(log.append(1).unwrap(), end..end + 1, "and the log goes on");
        }
    }
}

#[test]
fn a_torn_tail_is_cut_at_every_length_and_reported() {
    let (clean, _) = one_segment();
    for len in 0..clean.len() {
        let disk = CutDisk::default();
        disk.put(&segment(0), clean[..len].to_vec());
        let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
        let log = reopened(&disk);
        let end = log.reader.end();
        assert_eq!(log.read_all().records.len() as u64, end);
        assert_eq!(log.recovered.begun_anew, len < 36);
        if len >= 36 {
            assert_eq!(report.records, end);
            assert_eq!(report.torn_bytes, log.recovered.cut_bytes);
        }
        assert_eq!(log.append(2).unwrap(), end..end + 2);
        log.close().unwrap();
        let log = reopened(&disk);
        assert_eq!((log.recovered.cut_bytes, log.reader.end()), (0, end + 2));
        assert_eq!(log.read_all().damaged, []);
    }
}

#[test]
fn every_way_of_reading_reports_a_flipped_byte_of_a_closed_segment() {
    let len = four_segments().bytes(&segment(10)).len();
    for at in (0..len).step_by(3) {
        let disk = four_segments();
        let mut damaged = disk.bytes(&segment(10));
        damaged[at] ^= 0x10;
        disk.put(&segment(10), damaged);
        let log = reopened(&disk);
        let all = log.read_all();
        let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
        assert_eq!(report.damage, log.reader.health().damage, "byte {at}");
        assert_eq!(report.damage.len(), 1);
        assert_eq!(report.damage[0].file, segment(10));
        if at < 36 {
            assert_eq!(all.records.len(), 35, "all records survive the header");
            continue;
        }
        let lost = report.damage[0].offsets.clone();
        assert_eq!(lost.end - lost.start, 1);
        assert_eq!((all.records.len(), all.damaged.len()), (34, 1));
        assert!(matches!(log.reader.get(lost.start), Err(ReadError::Damaged(_))));
        for offset in (0..35).filter(|offset| *offset != lost.start) {
            assert_eq!(log.reader.get(offset).unwrap(), Some(expected(offset)));
        }
        let tagged = log.reader.read_tags(&[0, 1, 2], 0, 35, 100, 100_000).unwrap();
        assert_eq!((tagged.records.len(), tagged.damaged.len(), tagged.next), (34, 1, 35));
        let back = log.reader.read_tags_back(&[0, 1, 2], 35, 100).unwrap();
        assert_eq!((back.records.len(), back.damaged.len(), back.next), (34, 1, 0));
        // Reads a few records at a time, so that none is skipped because one near it is damaged.
        let (mut before, mut seen) = (35, BTreeSet::new());
        while before > 0 {
            let back = log.reader.read_tags_back(&[0, 1, 2], before, 4).unwrap();
            seen.extend(back.records.iter().map(|record| record.offset));
            seen.extend(back.damaged.iter().map(|damage| damage.offsets.start));
            assert!(back.next < before);
            before = back.next;
        }
        assert_eq!(seen.len(), 35);
    }
}

#[test]
fn a_truncated_or_missing_closed_segment_is_reported_with_its_offsets() {
    let disk = four_segments();
    let bytes = disk.bytes(&segment(10));
    disk.put(&segment(10), bytes[..bytes.len() - 1].to_vec());
    let all = reopened(&disk).read_all();
    assert_eq!((all.records.len(), all.damaged.len()), (34, 1));
    assert_eq!(all.damaged[0].offsets, 19..20);
    switchhook::disk::Disk::remove(&disk, &segment(10)).unwrap();
    let all = reopened(&disk).read_all();
    assert_eq!(all.records.len(), 25);
    assert_eq!((all.damaged[0].file.clone(), all.damaged[0].offsets.clone()), (segment(0), 10..20));
}

#[test]
fn a_missing_or_damaged_index_is_rebuilt() {
    let clean = four_segments();
    let bytes = clean.bytes(&index(10));
    let mut variants: Vec<Vec<u8>> = (0..bytes.len())
        .map(|at| {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x04;
            damaged
        })
        .collect();
    variants.extend([Vec::new(), bytes[..bytes.len() / 2].to_vec()]);
    for variant in variants {
        let disk = four_segments();
        disk.put(&index(10), variant);
        let log = reopened(&disk);
        for offset in 0..35 {
            assert_eq!(log.reader.get(offset).unwrap(), Some(expected(offset)));
            assert_eq!(log.reader.offset_at_time(1000 + offset * 10).unwrap(), offset);
        }
        for tag in 0..3 {
            let found = log.reader.read_tags(&[tag], 0, 35, 100, 100_000).unwrap();
            let wanted: Vec<_> = (0..35).filter(|offset| offset % 3 == tag).map(expected).collect();
            assert_eq!(found.records, wanted);
        }
        log.append(1).unwrap();
        log.close().unwrap();
        assert_eq!(disk.bytes(&index(10)), bytes, "and written by the writer");
    }
}

#[test]
fn a_segment_of_another_version_is_refused_by_name() {
    // Version 1 had no salt, so its checksum is 4 bytes further forward.
    for (version, checked, first) in [(1, 28, 10), (3, 32, 10), (1, 28, 30), (3, 32, 30)] {
        let disk = four_segments();
        let mut bytes = disk.bytes(&segment(first));
        bytes[8] = version;
        let crc = crc32c::crc32c(&bytes[..checked]).to_le_bytes();
        bytes[checked..checked + 4].copy_from_slice(&crc);
        if first == 30 {
            bytes.truncate(checked + 4);
        }
        disk.put(&segment(first), bytes.clone());
        let opened = OpenLog::try_open(Arc::new(disk.clone()), Path::new(DIR), &LogOptions::default());
        let error = opened.err().unwrap();
        assert!(matches!(&error, OpenError::Version { file, version: v }
            if *file == segment(first) && *v == u32::from(version)));
        assert!(error.to_string().ends_with(&format!("version {version}, which this program does not know")));
        assert_eq!(disk.bytes(&segment(first)), bytes, "and left as it is");
    }
}

#[test]
fn inspecting_a_log_changes_nothing() {
    let disk = four_segments();
    let before = disk.operations();
    let stat = inspect::stat(&disk, Path::new(DIR)).unwrap();
    assert_eq!(
        stat.iter().map(|s| (s.first, s.indexed)).collect::<Vec<_>>(),
        [(0, true), (10, true), (20, true), (30, false)]
    );
    let mut seen = Vec::new();
    let damage = inspect::cat(&disk, Path::new(DIR), 7, |record| {
        seen.push(record);
        if seen.len() < 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    assert_eq!(damage.unwrap(), []);
    assert_eq!(seen, (7..27).map(expected).collect::<Vec<_>>());
    let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
    assert_eq!((report.segments, report.records, report.is_sound()), (4, 35, true));
    assert_eq!(disk.operations(), before);
}
