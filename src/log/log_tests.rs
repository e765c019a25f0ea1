//! The log as a whole on the real file system: append, read, roll, reopen.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

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
    fn open(dir: &std::path::Path, options: &LogOptions) -> Self {
        let opened = open(Arc::new(OsDisk), dir, options.clone(), Clock::system()).expect("opens");
        let OpenedLog { writer, appender, reader, recovered } = opened;
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

fn small_segments() -> LogOptions {
    LogOptions { segment_bytes: 4096, cache_bytes: 10_000, ..LogOptions::default() }
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
        assert_eq!(back.records.iter().map(|record| record.offset).collect::<Vec<_>>(), newest);
    }
    log.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_writer_finishes_what_is_queued_and_then_the_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(Arc::new(OsDisk), dir.path(), LogOptions::default(), Clock::system()).unwrap();
    let stop = CancellationToken::new();
    let mut queued = Vec::new();
    for n in 0..20 {
        queued.push(opened.appender.submit(records(n * 5, 5)).await.unwrap());
    }
    stop.cancel();
    let (writer, end) = (opened.writer, opened.reader.subscribe());
    let ended = tokio::task::spawn_blocking(move || writer.run(stop)).await.unwrap();
    assert_eq!(ended, Ok(()));
    for (n, synced) in (0..).zip(queued) {
        assert_eq!(synced.await.unwrap(), Ok(n * 5..n * 5 + 5));
    }
    assert_eq!(*end.borrow(), 100);
    assert_eq!(opened.appender.append(records(100, 1)).await, Err(AppendError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_does_nothing_gives_no_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(Arc::new(OsDisk), dir.path(), LogOptions::default(), Clock::system()).unwrap();
    let (writer, appender, stop) = (opened.writer, opened.appender, CancellationToken::new());
    let silent = tokio::time::timeout(std::time::Duration::from_millis(20), appender.ping()).await;
    assert!(silent.is_err());
    let stopped = stop.clone();
    let running = tokio::task::spawn_blocking(move || writer.run(stopped));
    assert_eq!(appender.ping().await, Ok(()));
    stop.cancel();
    assert_eq!(running.await.unwrap(), Ok(()));
}

#[test]
fn a_record_above_the_limit_is_refused_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = Running::open(dir.path(), &LogOptions { max_record_bytes: 100, ..LogOptions::default() });
    let record = |len: usize| NewRecord { tag: 1, flags: 0, time_us: 0, payload: vec![7; len].into() };
    assert_eq!(
        run(log.appender.append(vec![record(1), record(101)])),
        Err(AppendError::TooLarge { bytes: 101, max: 100 })
    );
    assert_eq!(log.append(vec![record(100)]), 0..1);
    assert_eq!(log.append(vec![]), 1..1);
    log.close();
}

#[test]
fn records_larger_than_every_buffer_are_read_whole_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let log = Running::open(dir.path(), &LogOptions { segment_bytes: 3 << 20, ..LogOptions::default() });
    let record = |n: u64| {
        let byte = u8::try_from(n).unwrap();
        let payload = vec![byte; 700_000 + usize::from(byte)].into();
        NewRecord { tag: n % 2, flags: 0, time_us: n, payload }
    };
    for n in 0..10 {
        log.append(vec![record(n)]);
    }
    for n in 0..10 {
        let payload = record(n).payload;
        assert_eq!(log.reader.get(n).unwrap().unwrap().payload, payload);
        assert_eq!(log.reader.read(n, 10, 100).unwrap().records[0].payload, payload);
        assert_eq!(log.reader.read_tags(&[n % 2], n, 10, 1, 100).unwrap().records[0].payload, payload);
    }
    log.close();
}

#[test]
fn appends_that_follow_each_other_closely_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let log = Running::open(
        dir.path(),
        &LogOptions { gather: Duration::from_millis(100), ..LogOptions::default() },
    );
    // A writer that has not gone to sleep yet serves the first at once; so this is tried more than once.
    let shared = (0..20).any(|round| {
        let before = log.reader.syncs().count;
        let first = run(log.appender.submit(records(2 * round, 1))).unwrap();
        // Once the writer has taken the first, only its wait keeps the second from a separate sync.
        while log.appender.waiting() > 0 {
            std::thread::yield_now();
        }
        let second = run(log.appender.submit(records(2 * round + 1, 1))).unwrap();
        assert!(run(first).unwrap().is_ok() && run(second).unwrap().is_ok());
        log.reader.syncs().count == before + 1
    });
    assert!(shared);
    log.close();
}
