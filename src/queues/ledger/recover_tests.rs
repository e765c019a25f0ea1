//! Recovery from single records and from checkpoints of some partitions and of all.

use super::*;
use crate::model::{OwnFault, Response, TransportError};

fn failed(offset: u64, tries: u16) -> LedgerRecord {
    LedgerRecord::Attempt(AttemptRecord {
        queue: Id(1),
        offset,
        attempt: tries,
        tries,
        tries_left: 1,
        outcome: Outcome::Retry,
        ending: Ending::Failed(TransportError::Refused.into()),
        duration_us: 1,
        due_us: Some(99),
        generation: Some(1),
        sent: None,
        phases: crate::model::Phases::default(),
    })
}

fn recovered(records: impl IntoIterator<Item = LedgerRecord>) -> RecoveredQueue {
    let mut recovered = Recovered::default();
    for (time_us, record) in (1..).zip(records) {
        let written = LedgerRecord::decode(&record.encode()).unwrap();
        let mut reading = Reading { partitions: Partitions::ALL, is_replay: |_| false, checkpoint: None };
        recovered.apply(written, (Id(1).tag(), time_us), &mut reading);
    }
    recovered.queues.remove(&Id(1)).unwrap()
}

#[test]
fn neither_our_own_faults_nor_a_receiver_that_asks_for_time_count_after_a_restart() {
    let busy = Response { status: 429, retry_after_ms: Some(1_000), ..Response::default() };
    let with = |ending| match failed(5, 1) {
        LedgerRecord::Attempt(attempt) => LedgerRecord::Attempt(AttemptRecord { ending, ..attempt }),
        other => other,
    };
    let queue = recovered([with(Ending::Ours(OwnFault::NoFile)), with(Ending::Answered(busy)), failed(6, 1)]);
    assert_eq!(queue.image.failures, [3]);
}

/// Reads these records, each with the tag under which it is filed.
fn read(records: &[(u64, LedgerRecord)], is_replay: impl Fn(Id) -> bool) -> Recovered {
    let mut recovered = Recovered::default();
    let mut reading = Reading { partitions: Partitions::ALL, is_replay, checkpoint: None };
    for (tag, record) in records {
        recovered.apply(record.clone(), (*tag, 1), &mut reading);
    }
    recovered
}

fn checkpoint(covers: Partitions, router: u64, images: Vec<QueueImage>) -> Vec<(u64, LedgerRecord)> {
    let back = images.len() as u64 + 1;
    let begin = LedgerRecord::CheckpointBegin { router, covers, held: Vec::new() };
    let images = images.into_iter().map(|image| LedgerRecord::CheckpointQueue(Box::new(image)));
    let all = std::iter::once(begin).chain(images).chain([LedgerRecord::CheckpointEnd { back }]);
    all.map(|record| (0, LedgerRecord::decode(&record.encode()).unwrap())).collect()
}

fn image(queue: Id, partition: Option<Partition>, next: u64) -> QueueImage {
    QueueImage { queue, partition, next, ..QueueImage::default() }
}

/// Two hooks of different partitions, and a replay of the second whose id is in the partition of the first.
fn two_hooks_and_a_replay() -> [Id; 3] {
    let (one, other) = (Id(1), Id(2));
    let replay = (3..100_000).map(Id).find(|id| Partition::of(*id) == Partition::of(one)).unwrap();
    assert_ne!(Partition::of(one), Partition::of(other));
    [one, other, replay]
}

#[test]
fn for_each_partition_the_last_checkpoint_counts_that_covers_it_and_what_follows() {
    let [one, other, replay] = two_hooks_and_a_replay();
    let (of_one, of_other) = (Partition::of(one), Partition::of(other));
    let only_one: Partitions = [of_one].into_iter().collect();
    let images =
        [image(one, Some(of_one), 3), image(other, Some(of_other), 4), image(replay, Some(of_other), 5)];
    let mut records = checkpoint(Partitions::ALL, 10, images.to_vec());
    let settled =
        |queue, offset| LedgerRecord::Settled { queue, offset, how: crate::queues::Settlement::Dead };
    records.push((one.tag(), settled(one, 7)));
    records.push((other.tag(), settled(other, 8)));
    records.extend(checkpoint(only_one, 20, Vec::new()));
    records.push((one.tag(), settled(one, 21)));
    let found = read(&records, |_| false);
    assert_eq!((found.routed(of_one), found.routed(of_other)), (Some(20), Some(10)));
    let first = &found.queues[&one];
    assert!(!first.placed && first.settled.contains(&21) && !first.settled.contains(&7), "{first:?}");
    let second = &found.queues[&other];
    assert!(second.placed && second.settled.contains(&8), "{second:?}");
    assert_eq!(found.queues[&replay].image.next, 5, "it is of the other partition, whatever its id");
    let of = found.clone().take_out(only_one, |_| None);
    assert_eq!((of.queues.len(), of.routed(of_one), of.routed(of_other)), (1, Some(20), None));
}

#[test]
fn a_checkpoint_of_an_earlier_version_covers_all_and_gives_way_partition_by_partition() {
    let [one, other, replay] = two_hooks_and_a_replay();
    let (of_one, of_other) = (Partition::of(one), Partition::of(other));
    let begin = LedgerRecord::decode(&[4, 10]).unwrap();
    assert_eq!(
        begin,
        LedgerRecord::CheckpointBegin { router: 10, covers: Partitions::ALL, held: Vec::new() }
    );
    let mut records = vec![(0, begin)];
    for image in [image(one, None, 3), image(other, None, 4), image(replay, None, 5)] {
        let written = LedgerRecord::CheckpointQueue(Box::new(image)).encode();
        assert_eq!(written[0], 5);
        records.push((0, LedgerRecord::decode(&written).unwrap()));
    }
    records.push((1, LedgerRecord::CheckpointEnd { back: 4 }));
    let found = read(&records, |_| false);
    assert_eq!((found.queues.len(), found.routed(of_one), found.routed(of_other)), (3, Some(10), Some(10)));
    let hook_of = |id: Id| (id == replay).then_some(other);
    let own = found.clone().take_out([of_other].into_iter().collect(), hook_of);
    assert_eq!(own.queues.keys().copied().collect::<Vec<_>>(), [other, replay]);
    records.extend(checkpoint([of_one].into_iter().collect(), 20, Vec::new()));
    let found = read(&records, |id| id == replay);
    assert_eq!(found.queues.keys().copied().collect::<Vec<_>>(), [other, replay]);
    assert_eq!((found.routed(of_one), found.routed(of_other)), (Some(20), Some(10)));
}

#[test]
fn an_event_that_waits_is_awaited_by_the_partitions_whose_last_checkpoint_holds_it() {
    let covers = Partitions::share(0, 2);
    let event = |offset, awaited_by| HeldEvent { account: Id(9), offset, bytes: 100, awaited_by };
    let some: Partitions = covers.iter().take(3).collect();
    let begin = |covers, held| LedgerRecord::CheckpointBegin { router: 10, covers, held };
    let end = || (1, LedgerRecord::CheckpointEnd { back: 1 });
    let first = begin(Partitions::ALL, vec![event(5, Partitions::ALL), event(6, Partitions::ALL)]);
    let second = begin(covers, vec![event(6, covers), event(7, some)]);
    for record in [&first, &second] {
        assert_eq!(LedgerRecord::decode(&record.encode()).as_ref(), Ok(record));
    }
    let found = read(&[(0, first), end(), (0, second), end()], |_| false);
    let held: Vec<HeldEvent> = found.held.into_values().collect();
    let rest = Partitions::ALL.without(covers);
    assert_eq!(held, [event(5, rest), event(6, Partitions::ALL), event(7, some)]);
}

#[test]
fn failures_from_before_a_hook_was_enabled_again_do_not_count_after_a_restart() {
    let queue =
        recovered([failed(5, 1), failed(6, 1), LedgerRecord::Refreshed { queue: Id(1) }, failed(6, 1)]);
    assert_eq!(queue.image.failures, [4]);
    assert_eq!(queue.past[&5], Past { attempts: 1, ..Past::default() });
    assert_eq!((queue.past[&6].tries, queue.past[&6].due_us), (1, Some(99)));
}
