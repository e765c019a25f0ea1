//! Tests of the courses of deliveries.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::disk::OsDisk;
use crate::log::{self, NewRecord, OpenedLog};
use crate::model::{AccountId, Clock, EventOffset, Family, LedgerOffset, Phases, QueueId, Trigger};
use crate::queues::{AttemptRecord, Ending, Outcome};

/// The event that is looked for, and another.
const EVENT: EventOffset = EventOffset(7);
const ANOTHER: EventOffset = EventOffset(8);
const ONE: HookId = HookId(1 << 80 | 5);
const OTHER: HookId = HookId(2 << 80 | 6);
const REPLAY: ReplayId = ReplayId(3 << 80 | 7);

/// An attempt: the hook, the queue, the event, and what came of it.
type Made = (HookId, QueueId, EventOffset, Outcome);

fn record((hook, queue, offset, outcome): Made) -> NewRecord {
    let attempt = AttemptRecord {
        queue,
        offset,
        attempt: 1,
        tries: 1,
        tries_left: 1,
        outcome,
        ending: Ending::NotSent,
        duration_us: 1,
        due: None,
        generation: Some(1),
        sent: None,
        phases: Phases::default(),
    };
    let payload = LedgerRecord::Attempt(attempt).encode().into();
    NewRecord { tag: hook.tag(), flags: 0, time_us: 1, payload }
}

/// What a look with small bounds finds among these attempts: state and number of attempts of both hooks, and whether
/// it saw everything.
fn found(made: Vec<Made>) -> ([(Option<DeliveryState>, usize); 2], bool) {
    let dir = tempfile::tempdir().expect("directory");
    let opened = log::open(Arc::new(OsDisk), dir.path(), log::LogOptions::default(), Clock::system());
    let OpenedLog { writer, appender, reader, .. } = opened.expect("opens");
    let writer = std::thread::spawn(move || writer.run(CancellationToken::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(appender.append(made.into_iter().map(record).collect())).expect("appends");
    let hook =
        |id| Arc::new(Hook::new(id, AccountId(9), Trigger::Family(Family::ChannelCreate), String::new()));
    let filed = Filed::new([hook(ONE), hook(OTHER)], &[]);
    let replay_of = |replay| (replay == REPLAY).then_some(ONE);
    let reader = ReaderOf::new(reader);
    let mut look = Look::new(&reader, EVENT, filed, &replay_of);
    let bounds = Bounds { after: 4, further: 8, newest: 2 };
    let complete = look.run(LedgerOffset::FIRST, &[ONE, OTHER].into(), bounds).expect("reads");
    drop(appender);
    writer.join().expect("no panic").expect("ends well");
    ([ONE, OTHER].map(|hook| (look.of[&hook].state, look.of[&hook].attempts.len())), complete)
}

fn others(hook: HookId, number: usize) -> impl Iterator<Item = Made> {
    std::iter::repeat_n((hook, hook.into(), ANOTHER, Outcome::Delivered), number)
}

#[test]
fn all_is_found_of_a_ledger_that_is_within_the_bounds() {
    let made = [
        (ONE, ONE.into(), EVENT, Outcome::Retry),
        (OTHER, OTHER.into(), EVENT, Outcome::Delivered),
        (ONE, ONE.into(), EVENT, Outcome::Dead),
        (ONE, REPLAY.into(), EVENT, Outcome::Delivered),
    ];
    let delivered = Some(DeliveryState::Delivered);
    assert_eq!(found(made.to_vec()), ([(delivered, 3), (delivered, 1)], true));
    assert_eq!(found(Vec::new()), ([(None, 0), (None, 0)], true));
}

#[test]
fn a_delivery_that_has_not_ended_soon_is_followed_past_what_others_had_since() {
    let mut made =
        vec![(OTHER, OTHER.into(), EVENT, Outcome::Retry), (ONE, ONE.into(), EVENT, Outcome::Delivered)];
    made.extend(others(ONE, 40));
    made.push((OTHER, OTHER.into(), EVENT, Outcome::Dead));
    made.extend(others(ONE, 40));
    let states = [(Some(DeliveryState::Delivered), 1), (Some(DeliveryState::Dead), 2)];
    assert_eq!(found(made), (states, false), "a replay to ONE could be in between");
}

#[test]
fn an_attempt_that_was_made_just_now_is_found_and_one_in_between_is_said_to_be_missing() {
    let mut made =
        vec![(ONE, ONE.into(), EVENT, Outcome::Dead), (OTHER, OTHER.into(), EVENT, Outcome::Delivered)];
    made.extend(others(ONE, 40));
    let (states, complete) = found(made.clone());
    assert_eq!((states[0], complete), ((Some(DeliveryState::Dead), 1), false));
    made.push((ONE, REPLAY.into(), EVENT, Outcome::Delivered));
    assert_eq!(found(made.clone()).0[0], (Some(DeliveryState::Delivered), 2));
    made.extend(others(OTHER, 40));
    assert_eq!(found(made).0[0], (Some(DeliveryState::Dead), 1));
}
