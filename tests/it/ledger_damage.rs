//! The ledger under power cuts and damage: an unsettled delivery never counts as settled, and an acknowledged
//! settlement is never forgotten unless the damage is reported.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a ledger that cannot be made should stop the test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchhook::log::{LogOptions, NewRecord, ReaderOf};
use switchhook::model::{EventOffset, HookId, QueueId, TransportError};
use switchhook::queues::{
    AttemptRecord, CHECKPOINT_END_TAG, CHECKPOINT_TAG, Ending, LaneKey, LedgerRecord, Outcome, Partition,
    Partitions, QueueImage, Recovered, Settlement, recover,
};

use crate::cut_disk::{CutDisk, Tear};
use crate::open_log::{DIR, OpenLog, block_on};

const QUEUES: u64 = 3;
const EVENTS: u64 = 36;

/// Deliveries that must not be repeated, as queue and offset.
type Settled = BTreeSet<(QueueId, u64)>;

/// Batches of records in the engine's form, each with the deliveries that are settled once it is on disk.
fn script() -> Vec<(Vec<NewRecord>, Settled)> {
    let mut settled = Settled::new();
    let mut batches = Vec::new();
    for offset in 0..EVENTS {
        let queue = QueueId(1 + u128::from(offset % QUEUES));
        let mut records = Vec::new();
        let mut push = |tag, record: LedgerRecord| {
            records.push(NewRecord { tag, flags: 0, time_us: offset, payload: record.encode().into() });
        };
        match offset % 5 {
            // Never attempted.
            0 => {}
            1 => push(queue.tag(), attempt(queue, offset, Outcome::Retry)),
            2 => {
                settled.insert((queue, offset));
                push(
                    queue.tag(),
                    LedgerRecord::Settled { queue, offset: EventOffset(offset), how: Settlement::Skipped },
                );
            }
            _ => {
                settled.insert((queue, offset));
                push(queue.tag(), attempt(queue, offset, Outcome::Delivered));
            }
        }
        // An old delivery that an image may name.
        if let Some(old) = offset.checked_sub(15).filter(|old| old % 5 == 1) {
            let queue = QueueId(1 + u128::from(old % QUEUES));
            settled.insert((queue, old));
            push(queue.tag(), attempt(queue, old, Outcome::Dead));
        }
        batches.push((records, settled.clone()));
        if offset % 7 == 6 {
            // Now of all partitions, now of some: as programs with one shard and with two leave it.
            let covers = match offset / 7 {
                0 => Partitions::ALL,
                1 | 3 => first_queue(),
                _ => Partitions::ALL.without(first_queue()),
            };
            batches.push((checkpoint(offset, covers, &settled), settled.clone()));
        }
    }
    batches
}

fn attempt(queue: QueueId, offset: u64, outcome: Outcome) -> LedgerRecord {
    LedgerRecord::Attempt(AttemptRecord {
        queue,
        offset: EventOffset(offset),
        attempt: 1,
        tries: 1,
        tries_left: 1,
        generation: Some(1),
        sent: None,
        outcome,
        ending: Ending::Failed(TransportError::Refused.into()),
        duration_us: 1,
        due: None,
        phases: switchhook::model::Phases::default(),
    })
}

fn first_queue() -> Partitions {
    [Partition::of(HookId(1))].into_iter().collect()
}

fn checkpoint(offset: u64, covers: Partitions, settled: &Settled) -> Vec<NewRecord> {
    let begin = LedgerRecord::CheckpointBegin { router: EventOffset(offset + 1), covers, held: Vec::new() };
    let mut records = vec![(CHECKPOINT_TAG, begin)];
    let queues = (1..=QUEUES)
        .map(|n| QueueId(n.into()))
        .filter(|queue| covers.contains(Partition::of(queue.as_hook())));
    for queue in queues {
        let own = (0..=offset).filter(|o| QueueId(1 + u128::from(o % QUEUES)) == queue);
        let open = own.filter(|o| !settled.contains(&(queue, *o)));
        let entries =
            open.map(|o| (EventOffset(o), LaneKey(7), switchhook::queues::Past::default())).collect();
        let image = QueueImage {
            queue,
            partition: Some(Partition::of(queue.as_hook())),
            next: EventOffset(offset + 1),
            entries,
            ..QueueImage::default()
        };
        records.push((CHECKPOINT_TAG, LedgerRecord::CheckpointQueue(Box::new(image))));
    }
    records.push((CHECKPOINT_END_TAG, LedgerRecord::CheckpointEnd { back: records.len() as u64 }));
    let record = |(tag, record): (u64, LedgerRecord)| NewRecord {
        tag,
        flags: 0,
        time_us: offset,
        payload: record.encode().into(),
    };
    records.into_iter().map(record).collect()
}

/// The events that a restarted program would not deliver again.
fn settled_by(recovered: &Recovered) -> Settled {
    let is_settled = |queue: QueueId, offset: u64| {
        let routed = recovered.routed(Partition::of(queue.as_hook())).is_some_and(|routed| offset < routed.0);
        let Some(known) = recovered.queues.get(&queue) else { return routed };
        let waits = known.image.entries.iter().any(|(o, _, _)| *o == EventOffset(offset));
        let seen = if known.placed { offset < known.image.next.0 } else { routed };
        known.image.settled.contains(&EventOffset(offset)) || (seen && !waits)
    };
    let own = (0..EVENTS).map(|offset| (QueueId(1 + u128::from(offset % QUEUES)), offset));
    own.filter(|(queue, offset)| is_settled(*queue, *offset)).collect()
}

/// Writes the script until the power is cut; returns the number of acknowledged batches.
fn write(log: &OpenLog) -> usize {
    let written = |(records, _): &(Vec<NewRecord>, Settled)| {
        records.is_empty() || block_on(log.appender.append(records.clone())).is_ok()
    };
    script().iter().take_while(|batch| written(batch)).count()
}

fn options(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes, ..LogOptions::default() }
}

#[test]
fn an_acknowledged_settlement_survives_a_power_cut_at_every_operation() {
    let (script, options) = (script(), options(700));
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &options);
    assert_eq!(write(&log), script.len());
    assert!(log.reader.stats().segments > 3);
    log.close().unwrap();
    let all = disk.operations();
    let last = &script.last().unwrap().1;
    for tear in [Tear::Nothing, Tear::FirstHalf, Tear::SecondHalf, Tear::All] {
        for cut in 0..=all {
            let disk = CutDisk::default();
            disk.cut_at(cut);
            let opened = OpenLog::try_open(Arc::new(disk.clone()), Path::new(DIR), &options);
            let acknowledged = opened.as_ref().map_or(0, write);
            drop(opened);
            disk.power_on(tear);
            let log = OpenLog::new(&disk, &options);
            let known = settled_by(&recover(&ReaderOf::new(log.reader.clone()), |_| false).unwrap());
            let least = acknowledged.checked_sub(1).map(|batch| script[batch].1.clone()).unwrap_or_default();
            assert!(known.is_superset(&least), "cut {cut} {tear:?}: {:?} repeat", least.difference(&known));
            assert!(known.is_subset(last), "cut {cut} {tear:?}: {:?} are lost", known.difference(last));
        }
    }
}

fn file(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}.log"))
}

/// The ends of records in a segment. A segment cut there looks as if it had never been longer.
fn ends(bytes: &[u8]) -> BTreeSet<usize> {
    let mut ends = BTreeSet::from([36]);
    while let Some(len) = ends.last().and_then(|at| bytes.get(*at..at + 4)) {
        let len = u32::from_le_bytes(len.try_into().unwrap());
        ends.insert(ends.last().unwrap() + 33 + usize::try_from(len).unwrap());
    }
    ends
}

/// Opens a ledger with these bytes instead of one segment's and checks the result.
fn judge(clean: &CutDisk, names: &[PathBuf], hurt: (&Path, &[u8]), what: &str) {
    let is_end = ends(&clean.bytes(hurt.0)).contains(&hurt.1.len());
    let disk = CutDisk::default();
    for name in names {
        let bytes = if name == hurt.0 { hurt.1.to_vec() } else { clean.bytes(name) };
        disk.put(name, bytes);
    }
    let log = OpenLog::new(&disk, &options(1 << 20));
    let recovered = recover(&ReaderOf::new(log.reader.clone()), |_| false).expect("the ledger is read");
    let known = settled_by(&recovered);
    let script = script();
    let last = &script.last().unwrap().1;
    assert!(known.is_subset(last), "{what}: {:?} are lost", known.difference(last));
    let health = log.reader.health();
    let found = &log.recovered;
    let reported =
        found.cut_bytes > 0 || found.begun_anew || !health.damage.is_empty() || recovered.unreadable > 0;
    assert!(
        reported || is_end || known == *last,
        "{what}: {:?} repeat, and nothing says so",
        last.difference(&known)
    );
}

fn damaged(segment_bytes: u64, flips: &[u8]) {
    let disk = CutDisk::default();
    let log = OpenLog::new(&disk, &options(segment_bytes));
    assert_eq!(write(&log), script().len());
    log.close().unwrap();
    let names = disk.names();
    for name in names.iter().filter(|name| name.extension().is_some_and(|e| e == "log")) {
        let bytes = disk.bytes(name);
        for at in 0..bytes.len() {
            for flip in flips {
                let mut hurt = bytes.clone();
                hurt[at] ^= flip;
                judge(&disk, &names, (name, &hurt), &format!("{} byte {at}", name.display()));
            }
            let cut = (name.as_path(), &bytes[..at]);
            judge(&disk, &names, cut, &format!("{} cut to {at}", name.display()));
        }
    }
}

#[test]
fn any_byte_of_a_ledger_of_one_segment_may_be_flipped_or_missing() {
    damaged(1 << 20, &[0xff]);
    let disk = CutDisk::default();
    drop(OpenLog::new(&disk, &options(1 << 20)));
    assert_eq!(disk.names(), [file(0), Path::new(DIR).join("begin"), Path::new(DIR).join("salt")]);
}

#[test]
fn any_byte_of_a_ledger_of_several_segments_may_be_flipped_or_missing() {
    damaged(700, &[0x80]);
}
