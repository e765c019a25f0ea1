//! Recovery from single records, and from checkpoints of some or all partitions.

use super::super::record::{AttemptRecord, Ending, Outcome};
use super::*;
use crate::model::{EventOffset, LedgerOffset, Moment, OwnFault, Response, TransportError};
use crate::queues::queue::window::Past;

fn failed(offset: u64, tries: u16) -> LedgerRecord {
    LedgerRecord::Attempt(AttemptRecord {
        queue: QueueId(1),
        offset: EventOffset(offset),
        attempt: tries,
        tries,
        tries_left: 1,
        outcome: Outcome::Retry,
        ending: Ending::Failed(TransportError::Refused.into()),
        duration_us: 1,
        due: Some(Moment::from_micros(99)),
        generation: Some(1),
        sent: None,
        phases: crate::model::Phases::default(),
    })
}

fn recovered(records: impl IntoIterator<Item = LedgerRecord>) -> RecoveredQueue {
    let mut recovered = Recovered::default();
    for (at, record) in (1..).zip(records) {
        let filing = Filing {
            at: LedgerOffset(at),
            partition: Partition::of(HookId(1)),
            written: Moment::from_micros(at),
        };
        let record = LedgerRecord::decode(&record.encode()).unwrap();
        let mut reading = Reading {
            partitions: Partitions::ALL,
            is_replay: |_| false,
            checkpoint: None,
            lately: Lately::default(),
        };
        recovered.apply(record, filing, &mut reading);
    }
    recovered.queues.remove(&QueueId(1)).unwrap()
}

#[test]
fn faults_of_this_machine_and_a_receiver_that_asks_for_time_do_not_count_after_a_restart() {
    let busy = Response { status: 429, retry_after_ms: Some(1_000), ..Response::default() };
    let with = |ending| match failed(5, 1) {
        LedgerRecord::Attempt(attempt) => LedgerRecord::Attempt(AttemptRecord { ending, ..attempt }),
        other => other,
    };
    let queue = recovered([with(Ending::Ours(OwnFault::NoFile)), with(Ending::Answered(busy)), failed(6, 1)]);
    assert_eq!(queue.image.failures, [Moment::from_micros(3)]);
}

/// Reads these records, each with its tag.
fn read(records: &[(u64, LedgerRecord)], is_replay: impl Fn(ReplayId) -> bool) -> Recovered {
    let mut recovered = Recovered::default();
    let mut reading =
        Reading { partitions: Partitions::ALL, is_replay, checkpoint: None, lately: Lately::default() };
    for (tag, record) in records {
        let filing = Filing {
            at: LedgerOffset(0),
            partition: Partition::of_tag(*tag),
            written: Moment::from_micros(1),
        };
        recovered.apply(record.clone(), filing, &mut reading);
    }
    recovered
}

fn checkpoint(covers: Partitions, router: u64, images: Vec<QueueImage>) -> Vec<(u64, LedgerRecord)> {
    let back = images.len() as u64 + 1;
    let begin = LedgerRecord::CheckpointBegin { router: EventOffset(router), covers, held: Vec::new() };
    let images = images.into_iter().map(|image| LedgerRecord::CheckpointQueue(Box::new(image)));
    let all = std::iter::once(begin).chain(images).chain([LedgerRecord::CheckpointEnd { back }]);
    all.map(|record| (0, LedgerRecord::decode(&record.encode()).unwrap())).collect()
}

fn image(queue: QueueId, partition: Option<Partition>, next: u64) -> QueueImage {
    QueueImage { queue, partition, next: EventOffset(next), ..QueueImage::default() }
}

/// The queues of two hooks of different partitions, and of a replay of the second hook whose id is in the partition of the
/// first.
fn two_hooks_and_a_replay() -> [QueueId; 3] {
    let (one, other) = (QueueId(1), QueueId(2));
    let replay = (3..100_000).map(QueueId).find(|id| partition(*id) == partition(one)).unwrap();
    assert_ne!(partition(one), partition(other));
    [one, other, replay]
}

fn partition(queue: QueueId) -> Partition {
    Partition::of(queue.as_hook())
}

#[test]
fn each_partition_is_restored_from_the_last_checkpoint_that_covers_it_and_the_records_after() {
    let [one, other, replay] = two_hooks_and_a_replay();
    let (of_one, of_other) = (partition(one), partition(other));
    let only_one: Partitions = [of_one].into_iter().collect();
    let images =
        [image(one, Some(of_one), 3), image(other, Some(of_other), 4), image(replay, Some(of_other), 5)];
    let mut records = checkpoint(Partitions::ALL, 10, images.to_vec());
    let settled = |queue, offset| LedgerRecord::Settled {
        queue,
        offset: EventOffset(offset),
        how: crate::queues::Settlement::Dead,
    };
    records.push((one.tag(), settled(one, 7)));
    records.push((other.tag(), settled(other, 8)));
    records.extend(checkpoint(only_one, 20, Vec::new()));
    records.push((one.tag(), settled(one, 21)));
    let found = read(&records, |_| false);
    assert_eq!(
        (found.routed(of_one), found.routed(of_other)),
        (Some(EventOffset(20)), Some(EventOffset(10)))
    );
    let first = &found.queues[&one];
    assert!(
        !first.placed && first.settled.contains(&EventOffset(21)) && !first.settled.contains(&EventOffset(7)),
        "{first:?}"
    );
    let second = &found.queues[&other];
    assert!(second.placed && second.settled.contains(&EventOffset(8)), "{second:?}");
    assert_eq!(found.queues[&replay].image.next, EventOffset(5), "its partition is that of its hook");
    let of = found.clone().take_out(only_one, |_| None);
    assert_eq!((of.queues.len(), of.routed(of_one), of.routed(of_other)), (1, Some(EventOffset(20)), None));
}

/// The checkpoint was decided before the hook was made, and got into the ledger after the hook's first settlement.
#[test]
fn a_late_hook_that_a_checkpoint_may_not_know_keeps_only_what_the_ledger_says_it_settled() {
    let settled = |offset| LedgerRecord::Settled {
        queue: QueueId(1),
        offset: EventOffset(offset),
        how: crate::queues::Settlement::Dead,
    };
    let mut records = vec![(QueueId(1).tag(), settled(5)), (QueueId(1).tag(), settled(7))];
    records.extend(checkpoint(Partitions::ALL, 10, Vec::new()));
    records.push((QueueId(1).tag(), settled(8)));
    let found = read(&records, |_| false);
    let mut hook = Hook::new(
        HookId(1),
        AccountId::default(),
        crate::model::Trigger::All,
        "http://h.example/".to_owned(),
    );
    for (is_late, is_newer, known) in [(true, true, &[5, 7, 8][..]), (false, false, &[8])] {
        hook.birth.is_late = is_late;
        let mut recovered = found.clone();
        recovered.queues.values_mut().for_each(RecoveredQueue::finish);
        recovered.remember(&hook);
        let queue = &recovered.queues[&QueueId(1)];
        assert_eq!(
            (recovered.is_newer(&hook), &queue.image.settled),
            (is_newer, &known.iter().copied().map(EventOffset).collect()),
            "late: {is_late}"
        );
        assert!(!queue.placed);
    }
}

#[test]
fn a_checkpoint_of_an_earlier_version_covers_all_and_is_replaced_partition_by_partition() {
    let [one, other, replay] = two_hooks_and_a_replay();
    let (of_one, of_other) = (partition(one), partition(other));
    let begin = LedgerRecord::decode(&[4, 10]).unwrap();
    assert_eq!(
        begin,
        LedgerRecord::CheckpointBegin { router: EventOffset(10), covers: Partitions::ALL, held: Vec::new() }
    );
    let mut records = vec![(0, begin)];
    for image in [image(one, None, 3), image(other, None, 4), image(replay, None, 5)] {
        let written = LedgerRecord::CheckpointQueue(Box::new(image)).encode();
        assert_eq!(written[0], 5);
        records.push((0, LedgerRecord::decode(&written).unwrap()));
    }
    records.push((1, LedgerRecord::CheckpointEnd { back: 4 }));
    let found = read(&records, |_| false);
    assert_eq!(
        (found.queues.len(), found.routed(of_one), found.routed(of_other)),
        (3, Some(EventOffset(10)), Some(EventOffset(10)))
    );
    let hook_of = |id: ReplayId| (id == replay.as_replay()).then_some(other.as_hook());
    let own = found.clone().take_out([of_other].into_iter().collect(), hook_of);
    assert_eq!(own.queues.keys().copied().collect::<Vec<_>>(), [other, replay]);
    records.extend(checkpoint([of_one].into_iter().collect(), 20, Vec::new()));
    let found = read(&records, |id| id == replay.as_replay());
    assert_eq!(found.queues.keys().copied().collect::<Vec<_>>(), [other, replay]);
    assert_eq!(
        (found.routed(of_one), found.routed(of_other)),
        (Some(EventOffset(20)), Some(EventOffset(10)))
    );
}

#[test]
fn a_held_event_is_awaited_by_the_partitions_whose_last_checkpoint_holds_it() {
    let covers = Partitions::share(0, 2);
    let event = |offset, awaited_by| HeldEvent {
        account: AccountId::default(),
        offset: EventOffset(offset),
        bytes: 100,
        awaited_by,
    };
    let some: Partitions = covers.iter().take(3).collect();
    let begin = |covers, held| LedgerRecord::CheckpointBegin { router: EventOffset(10), covers, held };
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
fn failures_before_a_hook_was_enabled_again_do_not_count_after_a_restart() {
    let queue =
        recovered([failed(5, 1), failed(6, 1), LedgerRecord::Refreshed { queue: QueueId(1) }, failed(6, 1)]);
    assert_eq!(queue.image.failures, [Moment::from_micros(4)]);
    assert_eq!(queue.past[&EventOffset(5)], Past { attempts: 1, ..Past::default() });
    assert_eq!(
        (queue.past[&EventOffset(6)].tries, queue.past[&EventOffset(6)].due),
        (1, Some(Moment::from_micros(99)))
    );
}

#[test]
fn a_hook_that_was_made_after_the_last_checkpoint_of_its_partition_is_newer_than_that() {
    let begin = |router| LedgerRecord::CheckpointBegin {
        router: EventOffset(router),
        covers: Partitions::ALL,
        held: Vec::new(),
    };
    let filed =
        |at| Filing { at: LedgerOffset(at), partition: Partition::of_tag(0), written: Moment::default() };
    let mut recovered = Recovered::default();
    let mut reading = Reading {
        partitions: Partitions::ALL,
        is_replay: |_| false,
        checkpoint: None,
        lately: Lately::default(),
    };
    let mut hook = crate::queues::testing::hook(1);
    assert!(!recovered.is_newer(&hook), "there is no checkpoint");
    recovered.apply(begin(10), filed(7), &mut reading);
    recovered.apply(LedgerRecord::CheckpointEnd { back: 1 }, filed(8), &mut reading);
    for (birth, is_newer) in [(0, false), (7, false), (8, true), (9, true)] {
        hook.birth.ledger = LedgerOffset(birth);
        assert_eq!(recovered.is_newer(&hook), is_newer, "born at {birth}");
    }
}
