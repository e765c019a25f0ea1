//! The contents of payloads never count as records, and one copy of the salt is enough to read a log.
#![expect(clippy::unwrap_used, reason = "a log that cannot be made should stop the test")]

use std::path::{Path, PathBuf};

use switchhook::disk::Disk;
use switchhook::log::{Damage, LogOptions, NewRecord, inspect};

use crate::cut_disk::{CutDisk, Tear};
use crate::open_log::{DIR, OpenLog, block_on, expected};

/// Sizes of a segment's header and a record's.
const HEADERS: (usize, usize) = (36, 33);
const OWN: u64 = 1;
const OTHERS: u64 = 2;

fn salt() -> PathBuf {
    Path::new(DIR).join("salt")
}

fn segment(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}.log"))
}

fn reopened(disk: &CutDisk) -> OpenLog {
    OpenLog::new(disk, &LogOptions::default())
}

/// Segments at 0, 10, 20 and 30, the last one with 5 records.
fn four_segments() -> CutDisk {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions { segment_bytes: 600, ..LogOptions::default() });
    for _ in 0..7 {
        log.append(5).unwrap();
    }
    log.close().unwrap();
    disk
}

fn in_order(mut damage: Vec<Damage>) -> Vec<Damage> {
    damage.sort_by_key(|damage| (damage.file.clone(), damage.position));
    damage
}

fn zero(disk: &CutDisk, first: u64, count: usize) {
    let mut bytes = disk.bytes(&segment(first));
    bytes[..count].fill(0);
    disk.put(&segment(first), bytes);
}

/// A complete record with the number 1 in the documented format, with checksums that start from `start`.
fn image(start: &[u8]) -> Vec<u8> {
    let payload = b"never published";
    let rest = [&1u32.to_le_bytes()[..], &7u64.to_le_bytes(), &OTHERS.to_le_bytes(), &[0]].concat();
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let checksum = |bytes: &[&[u8]]| crc32c::crc32c_append(crc32c::crc32c(start), &bytes.concat());
    let head = [&len[..], &checksum(&[&len, &rest, payload]).to_le_bytes(), &rest].concat();
    [&head[..], &checksum(&[&head]).to_le_bytes(), payload].concat()
}

/// The tags that are read after a payload contained the image of a record and `hurt` damaged the segment. `start`
/// makes the image's checksum start from the log's salt; `hurt` gets the start and end of the record around the
/// image.
fn tags_read(start: impl Fn(&[u8]) -> Vec<u8>, hurt: impl Fn(&mut Vec<u8>, usize, usize)) -> Vec<u64> {
    let disk = CutDisk::default();
    let log = reopened(&disk);
    let record = |payload: Vec<u8>| NewRecord { tag: OWN, flags: 0, time_us: 7, payload: payload.into() };
    let begin = HEADERS.0 + HEADERS.1 + 5;
    let bytes = [image(&start(&disk.bytes(&segment(0))[28..32])), vec![b'.'; 20]].concat();
    let end = begin + HEADERS.1 + bytes.len();
    block_on(log.appender.append(vec![record(b"first".to_vec()), record(bytes), record(b"last".to_vec())]))
        .unwrap();
    log.close().unwrap();
    let mut bytes = disk.bytes(&segment(0));
    hurt(&mut bytes, begin, end);
    disk.put(&segment(0), bytes);
    let log = reopened(&disk);
    assert!(log.recovered.cut_bytes > 0 || !log.reader.health().damage.is_empty(), "and it is reported");
    let (mut tags, mut next) = (Vec::new(), 0);
    while next < log.reader.end() {
        let batch = log.reader.read(next, 10, 1000).unwrap();
        next = batch.next;
        tags.extend(batch.records.iter().map(|record| record.tag));
    }
    tags
}

#[test]
fn a_record_inside_a_payload_is_never_read_as_one_after_damage_in_front_of_it() {
    let first = 0u64.to_le_bytes();
    // An outsider may know the format, the offset and the salts of other logs.
    for guess in [vec![], vec![0; 4], vec![0xff; 4], vec![1, 2, 3, 4], 0u32.to_be_bytes().to_vec()] {
        let start = |_: &[u8]| [&first[..], &guess].concat();
        for at in 0..HEADERS.1 {
            let tags = tags_read(start, |bytes, begin, _| bytes[begin + at] ^= 0x55);
            assert_eq!(tags, [OWN, OWN], "byte {at}");
        }
        let tags = tags_read(start, |bytes, _, end| bytes.truncate(end - 1));
        assert_eq!(tags, [OWN], "a torn tail");
    }
    // With the right salt the image would be accepted: only the salt prevents it.
    let start = |salt: &[u8]| [&first[..], salt].concat();
    assert_eq!(tags_read(start, |bytes, begin, _| bytes[begin] ^= 0x55), [OWN, OTHERS, OWN]);
    assert_eq!(tags_read(start, |bytes, _, end| bytes.truncate(end - 1)), [OWN, OTHERS]);
}

#[test]
fn two_logs_have_two_salts() {
    let salt_of = |disk: CutDisk| {
        reopened(&disk).close().unwrap();
        disk.bytes(&salt())
    };
    assert_ne!(salt_of(CutDisk::default()), salt_of(CutDisk::default()));
}

#[test]
fn a_lost_first_sector_costs_only_the_records_in_it() {
    let disk = CutDisk::default();
    let log = reopened(&disk);
    log.append(60).unwrap();
    log.close().unwrap();
    zero(&disk, 0, 512);
    let mut start = HEADERS.0;
    let hit = (0..60).take_while(|offset| {
        let is_hit = start < 512;
        start += HEADERS.1 + expected(*offset).payload.len();
        is_hit
    });
    let hit = hit.count() as u64;
    let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
    let log = reopened(&disk);
    let all = log.read_all();
    assert_eq!(all.records, (hit..60).map(expected).collect::<Vec<_>>());
    assert_eq!(in_order(report.damage.clone()), in_order(log.reader.health().damage));
    assert_eq!(report.damage.iter().map(|d| d.offsets.clone()).collect::<Vec<_>>(), [0..0, 0..hit]);
    assert_eq!(log.append(1).unwrap(), 60..61);
}

#[test]
fn one_sound_header_is_enough_to_read_every_segment() {
    for sound in [0, 10, 20, 30] {
        let disk = four_segments();
        let kept = disk.bytes(&salt());
        Disk::remove(&disk, &salt()).unwrap();
        for first in [0, 10, 20, 30].into_iter().filter(|first| *first != sound) {
            zero(&disk, first, HEADERS.0);
        }
        let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
        assert_eq!((report.records, report.damage.len()), (35, 3));
        let log = reopened(&disk);
        assert_eq!(log.read_all().records.len(), 35);
        assert_eq!(log.reader.read_tags(&[0, 1, 2], 0, 35, 100, 100_000).unwrap().records.len(), 35);
        assert_eq!(disk.bytes(&salt()), kept, "and the file is made again");
    }
}

#[test]
fn the_salt_file_alone_is_enough_and_is_rewritten_when_missing_or_damaged() {
    let disk = four_segments();
    for first in [0, 10, 20, 30] {
        zero(&disk, first, HEADERS.0);
    }
    assert_eq!(inspect::verify(&disk, Path::new(DIR)).unwrap().records, 35);
    assert_eq!(reopened(&disk).read_all().records.len(), 35);
    let kept = four_segments();
    let bytes = kept.bytes(&salt());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        for file in [flipped, bytes[..at].to_vec()] {
            for (cut, tear) in [(0, Tear::All), (1, Tear::FirstHalf), (2, Tear::SecondHalf), (9, Tear::All)] {
                kept.put(&salt(), file.clone());
                kept.cut_at(cut);
                drop(OpenLog::try_open(
                    std::sync::Arc::new(kept.clone()),
                    Path::new(DIR),
                    &LogOptions::default(),
                ));
                kept.power_on(tear);
                assert_eq!(inspect::verify(&kept, Path::new(DIR)).unwrap().records, 35);
                let log = reopened(&kept);
                assert_eq!((log.read_all().records.len(), &kept.bytes(&salt())), (35, &bytes));
                log.close().unwrap();
            }
        }
    }
}

#[test]
fn a_log_without_a_copy_of_its_salt_reports_the_loss_keeps_the_bytes_and_accepts_appends() {
    let disk = four_segments();
    for first in [0, 10, 20, 30] {
        zero(&disk, first, HEADERS.0);
    }
    let mut damaged = disk.bytes(&salt());
    damaged[0] ^= 1;
    disk.put(&salt(), damaged);
    let last = disk.bytes(&segment(30));
    // The largest number of records that the last segment could contain.
    let end = 30 + ((last.len() - HEADERS.0) / HEADERS.1) as u64;
    let report = inspect::verify(&disk, Path::new(DIR)).unwrap();
    assert_eq!((report.records, report.torn_bytes), (0, 0));
    for round in 0..3 {
        let log = reopened(&disk);
        let all = log.read_all();
        let lost: Vec<u64> = all.damaged.iter().flat_map(|damage| damage.offsets.clone()).collect();
        assert_eq!(lost, (0..end).collect::<Vec<_>>());
        if round == 0 {
            assert_eq!(in_order(log.reader.health().damage), in_order(report.damage.clone()));
        }
        assert_eq!(log.append(1).unwrap(), end + round..end + round + 1, "no offset is given twice");
        assert_eq!(log.read_all().records.len() as u64, round + 1);
        log.close().unwrap();
        assert_eq!(disk.bytes(&segment(30)), last);
    }
}
