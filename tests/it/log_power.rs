//! The log's promises under power cuts, and on failing and full disks.

use std::path::Path;

use switchhook::log::{AppendError, LogOptions, RunError, Sequence};

use crate::cut_disk::{CutDisk, Tear};
use crate::open_log::{DIR, OpenLog, block_on, new_record};

fn options() -> LogOptions {
    LogOptions { segment_bytes: 500, max_bytes: Some(1800), ..LogOptions::default() }
}

/// Appends batches until all are done or the power is cut. Returns the number of acknowledged records and the oldest
/// offset that retention left.
fn work(log: &OpenLog) -> (u64, u64) {
    let mut acknowledged = log.reader.end();
    for batch in 0..24 {
        match log.append(batch % 4 + 1) {
            Ok(range) => acknowledged = range.end,
            Err(_) => break,
        }
    }
    (acknowledged, log.reader.first())
}

fn check(log: &OpenLog, acknowledged: u64, first: u64, tear: Tear) {
    let all = log.read_all();
    assert!(log.reader.first() <= first, "nothing is removed that retention had left");
    assert!(log.reader.end() >= acknowledged, "every acknowledged record is there");
    let lost: Vec<u64> = all.damaged.iter().flat_map(|damage| damage.offsets.clone()).collect();
    assert!(lost.iter().all(|offset| *offset >= acknowledged), "lost {lost:?} of {acknowledged}");
    assert!(lost.is_empty() || tear == Tear::SecondHalf);
    let kept = log.reader.end() - log.reader.first();
    assert_eq!((all.records.len() + lost.len()) as u64, kept, "no offset is missing");
}

fn operations_of_the_work() -> u64 {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &options());
    assert!(log.reader.stats().segments == 1);
    let (acknowledged, first) = work(&log);
    assert!(acknowledged == 60 && first > 0, "the work rolls and removes segments");
    assert_eq!(log.close(), Ok(()));
    disk.operations()
}

#[test]
fn an_acknowledged_append_survives_a_power_cut_at_every_operation() {
    let all = operations_of_the_work();
    assert!(all > 80, "{all} operations");
    for tear in [Tear::Nothing, Tear::FirstHalf, Tear::SecondHalf, Tear::All] {
        for cut in 0..=all {
            let disk = CutDisk::default();
            disk.cut_at(cut);
            let opened = OpenLog::try_open(std::sync::Arc::new(disk.clone()), Path::new(DIR), &options());
            let (acknowledged, first) = opened.as_ref().map_or((0, 0), work);
            disk.power_on(tear);
            let log = OpenLog::new(&disk, &options());
            check(&log, acknowledged, first, tear);
            // The log accepts appends again, and they survive the next cut.
            let (acknowledged, first) = work(&log);
            assert!(acknowledged >= 60);
            log.close().expect("ends well");
            disk.power_on(Tear::Nothing);
            check(&OpenLog::new(&disk, &options()), acknowledged, first, tear);
        }
    }
}

#[test]
fn a_power_cut_while_recovering_from_a_power_cut_loses_nothing() {
    let all = operations_of_the_work();
    for cut in 4..=all {
        for second in 0..8 {
            let disk = CutDisk::default();
            let log = OpenLog::new(&disk, &options());
            disk.cut_at(cut - 4);
            let (acknowledged, first) = work(&log);
            disk.power_on(Tear::FirstHalf);
            disk.cut_at(second);
            drop(OpenLog::try_open(std::sync::Arc::new(disk.clone()), Path::new(DIR), &options()));
            disk.power_on(Tear::FirstHalf);
            check(&OpenLog::new(&disk, &options()), acknowledged, first, Tear::FirstHalf);
        }
    }
}

#[test]
fn after_a_failed_sync_the_log_refuses_until_it_is_reopened() {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &options());
    log.append(3).unwrap();
    disk.fail_next_sync();
    assert!(matches!(log.append(2), Err(AppendError::Poisoned(_))));
    assert!(matches!(log.append(2), Err(AppendError::Poisoned(_))));
    assert!(log.reader.health().poisoned.is_some());
    assert_eq!(log.read_all().records.len(), 3, "what is durable can still be read");
    assert!(matches!(log.close(), Err(RunError::Poisoned(_))));
    let log = OpenLog::new(&disk, &options());
    assert_eq!(log.reader.end(), 3, "what was not synced is not taken for durable");
    assert_eq!(log.append(2).unwrap(), 3..5);
}

#[test]
fn a_full_disk_refuses_and_resumes_by_itself() {
    let disk = CutDisk::default();
    let options = LogOptions { segment_bytes: 300, ..LogOptions::default() };
    let log = OpenLog::new(&disk, &options);
    log.append(4).unwrap();
    for free in 0..120 {
        disk.set_free(Some(free));
        let end = log.reader.end();
        while log.append(1).is_ok() {}
        assert_eq!(log.append(1), Err(AppendError::Full));
        assert!(log.reader.health().full && AppendError::Full.is_temporary());
        assert!(log.read_all().records.len() as u64 >= end, "what is there can be read");
        disk.set_free(None);
        let end = log.reader.end();
        assert_eq!(log.append(1).unwrap(), end..end + 1);
        assert!(!log.reader.health().full);
    }
    let end = log.reader.end();
    log.close().unwrap();
    disk.power_on(Tear::Nothing);
    let log = OpenLog::new(&disk, &options);
    assert_eq!(log.reader.end(), end);
    assert_eq!(log.read_all().damaged, []);
}

#[test]
fn appends_are_refused_below_the_reserve() {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions { reserve_bytes: 1000, ..options() });
    disk.set_free(Some(1010));
    assert_eq!(log.append(1), Err(AppendError::Full));
    disk.set_free(Some(1100));
    assert_eq!(log.append(1).unwrap(), 0..1);
}

#[test]
fn retention_removes_whole_segments_and_reading_continues_at_the_oldest() {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions { segment_bytes: 500, ..LogOptions::default() });
    for _ in 0..20 {
        log.append(5).unwrap();
    }
    assert_eq!(log.reader.first(), 0);
    let first = block_on(log.appender.retain_from(50)).unwrap();
    assert!(first > 30 && first <= 50, "{first}");
    assert_eq!(log.reader.first(), first);
    assert_eq!(log.reader.get(first - 1).unwrap(), None);
    assert_eq!(log.reader.read(0, 1, 100).unwrap().records[0].offset, first);
    assert_eq!(log.read_all().records.len() as u64, 100 - first);
    let rolled = block_on(log.appender.roll()).unwrap();
    assert_eq!(rolled, 100);
    assert_eq!(block_on(log.appender.retain_from(u64::MAX)).unwrap(), 100, "never the active segment");
    assert_eq!(disk.names().len(), 3, "it, the salt and the begin");
    log.append(1).unwrap();
    log.close().unwrap();
    let log = OpenLog::new(&disk, &options());
    assert_eq!((log.reader.first(), log.reader.end()), (100, 101));
}

#[test]
fn a_full_or_freed_disk_is_noticed_without_appends() {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &LogOptions { reserve_bytes: 1000, ..options() });
    log.append(1).unwrap();
    for (free, full) in [(Some(999), true), (None, false), (Some(0), true), (Some(1000), false)] {
        disk.set_free(free);
        block_on(log.appender.ping()).unwrap();
        assert_eq!(log.reader.health().full, full, "{free:?}");
    }
}

#[test]
fn what_is_behind_a_refused_batch_of_its_sequence_is_refused_too() {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &options());
    let sequence = Sequence::default();
    disk.set_free(Some(0));
    let submit = |number| block_on(log.appender.submit_in(&sequence, vec![new_record(number)])).unwrap();
    assert_eq!(block_on(submit(0)), Ok(Err(AppendError::Full)));
    disk.set_free(None);
    assert_eq!(block_on(submit(1)), Ok(Err(AppendError::Full)), "it would overtake the refused one");
    assert_eq!(log.append(1).unwrap(), 0..1, "another sequence goes on");
    sequence.begin_again();
    assert_eq!((block_on(submit(0)), block_on(submit(1))), (Ok(Ok(1..2)), Ok(Ok(2..3))));
}
