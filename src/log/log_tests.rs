//! The log as a whole on the real file system: append, read, roll, reopen.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::disk::OsDisk;
use crate::model::Clock;

struct Running {
    appender: Appender,
    reader: Reader,
    recovered: Recovered,
    writer: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn open(dir: &std::path::Path, options: &Options) -> Self {
        let opened = open(Arc::new(OsDisk), dir, options.clone(), Clock::system()).expect("opens");
        let Opened { writer, appender, reader, recovered } = opened;
        let writer = std::thread::spawn(move || writer.run(CancellationToken::new()));
        Self { appender, reader, recovered, writer }
    }

    fn append(&self, records: Vec<NewRecord>) -> std::ops::Range<u64> {
        run(self.appender.append(records)).expect("appends")
    }

    fn close(self) {
        drop(self.appender);
        self.writer.join().expect("no panic").expect("ends well");
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

fn records(from: u64, count: u64) -> Vec<NewRecord> {
    (from..from + count)
        .map(|n| NewRecord {
            tag: n % 3,
            flags: (n % 251) as u8,
            time_us: n * 10,
            payload: format!("record {n} {}", "x".repeat((n % 90) as usize)).into(),
        })
        .collect()
}

fn same(record: &Record, n: u64) -> bool {
    let expected = &records(n, 1)[0];
    record.offset == n
        && record.tag == expected.tag
        && record.flags == expected.flags
        && record.time_us == expected.time_us
        && record.payload == expected.payload
}

fn read_all(reader: &Reader) -> Vec<Record> {
    let (mut all, mut next) = (Vec::new(), 0);
    while next < reader.end() {
        let batch = reader.read(next, 100, 3000).expect("reads");
        assert_eq!(batch.damaged, []);
        assert!(!batch.records.is_empty());
        next = batch.next;
        all.extend(batch.records);
    }
    all
}

fn small_segments() -> Options {
    Options { segment_bytes: 4096, cache_bytes: 10_000, ..Options::default() }
}

#[test]
fn what_was_appended_is_read_in_order_before_and_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let log = Running::open(dir.path(), &small_segments());
        assert_eq!(log.recovered.records, round * 200);
        for batch in 0..20 {
            let from = round * 200 + batch * 10;
            assert_eq!(log.append(records(from, 10)), from..from + 10);
        }
        let all = read_all(&log.reader);
        assert_eq!(all.len() as u64, (round + 1) * 200);
        assert!(all.iter().zip(0..).all(|(record, n)| same(record, n)));
        assert!(log.reader.stats().segments > 3);
        log.close();
    }
}

#[test]
fn every_record_is_found_by_its_offset_and_by_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = Running::open(dir.path(), &small_segments());
    log.append(records(0, 10));
    for n in 1..100 {
        log.append(records(n * 10, 10));
    }
    for n in 0..1000 {
        assert!(same(&log.reader.get(n).unwrap().unwrap(), n), "{n}");
        assert_eq!(log.reader.offset_at_time(n * 10).unwrap(), n);
        assert_eq!(log.reader.offset_at_time(n * 10 + 1).unwrap(), n + 1);
    }
    assert_eq!(log.reader.get(1000).unwrap(), None);
    log.close();
}

#[test]
fn tags_are_read_in_order_in_both_directions_within_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let log = Running::open(dir.path(), &small_segments());
    for n in 0..100 {
        log.append(records(n * 10, 10));
    }
    for tags in [vec![0], vec![1, 2], vec![2, 2, 0], vec![7], vec![]] {
        let wanted: Vec<u64> = (100..900).filter(|n| tags.contains(&(n % 3))).collect();
        let (mut found, mut next) = (Vec::new(), 100);
        while next < 900 {
            let batch = log.reader.read_tags(&tags, next, 900, 7, 400).unwrap();
            assert!(batch.records.len() <= 7 && batch.next > next);
            next = batch.next;
            found.extend(batch.records);
        }
        assert_eq!(next, 900);
        assert!(found.iter().all(|record| same(record, record.offset)));
        assert_eq!(found.iter().map(|record| record.offset).collect::<Vec<_>>(), wanted);
        let back = log.reader.read_tags_back(&tags, 900, 50).unwrap();
        let newest: Vec<u64> = (0..900).rev().filter(|n| tags.contains(&(n % 3))).take(50).collect();
        assert_eq!(back.iter().map(|record| record.offset).collect::<Vec<_>>(), newest);
    }
    log.close();
}
