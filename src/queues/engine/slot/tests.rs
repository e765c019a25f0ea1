//! What happens to a slot, told event by event.

use std::sync::Arc;
use std::time::Duration;

use super::super::line::Line;
use super::super::line::Routed;
use super::super::line::image::Origin;
use super::testing::{line, slot, slot_of};
use super::*;
use crate::model::{
    Attempt, AttemptResult, EventFilter, EventOffset, HookId, JobKey, Ordering, Phases, ReplayId, ReplayOnly,
    ReplayPoint, ReplayRequest, Response, TransportError,
};
use crate::queues::queue::window::WindowLimits;
use crate::queues::rules::policy::DisableReason;
use crate::queues::rules::replay::{ReplayJob, ReplayRun};
use crate::queues::rules::verdict::Verdict;
use crate::queues::testing::{POLICY, hook};

/// Room for every delivery of these tests.
const LIMITS: WindowLimits = WindowLimits { window: 8, lane: 8 };

/// Routes events to the slot, each with a subject of its own.
fn offer(slot: &mut Slot, offsets: std::ops::Range<u64>) {
    let budget = Budget::new(0);
    for offset in offsets {
        slot.offer(
            &Routed { offset: EventOffset(offset), subject: offset, record: b"event" },
            EventOffset::FIRST,
            &budget,
        );
    }
}

fn at(us: u64) -> Moment {
    Moment::from_micros(us)
}

fn result(key: JobKey, result: AttemptResult) -> Attempt {
    Attempt {
        key,
        generation: 0,
        sent: None,
        max_tries: None,
        result,
        duration_us: 1,
        phases: Phases::default(),
        ended_us: 1,
    }
}

fn refused(key: JobKey) -> Attempt {
    result(key, AttemptResult::failed(TransportError::Refused))
}

fn delivered(key: JobKey) -> Attempt {
    result(key, AttemptResult::Answered(Response { status: 200, ..Response::default() }))
}

/// A replay of the slot's hook over the first events.
fn add_replay(slot: &mut Slot, id: u128, until: u64) -> QueueKey {
    let until = EventOffset(until);
    let request = ReplayRequest {
        id: ReplayId(id),
        hook: slot.hook().id,
        account: slot.hook().account,
        from: ReplayPoint::Offset(EventOffset::FIRST),
        until: Some(ReplayPoint::Offset(until)),
        only: ReplayOnly::All,
        offsets: Vec::new(),
        filter: EventFilter::default(),
        dry_run: false,
        rate: None,
        by: None,
    };
    let job = Arc::new(ReplayJob::new(request, EventOffset::FIRST, until, WallTime::default()));
    let origin = Origin {
        limits: LIMITS,
        hook: slot.hook(),
        recovered: None,
        start: EventOffset::FIRST,
        now: at(0),
        longest_delay: Duration::ZERO,
    };
    let line = Line::of_replay(origin, ReplayRun::new(job, None));
    slot.add_replay(line);
    QueueKey::Replay(ReplayId(id))
}

/// Lets a read bring these events to a line of the slot.
fn read(slot: &mut Slot, queue: QueueKey, offsets: std::ops::Range<u64>) {
    let (from, next) = (EventOffset(offsets.start), EventOffset(offsets.end));
    let mut asked = Vec::new();
    slot.ask_for_reads(next, false, |request| asked.push(request));
    assert!(asked.iter().any(|request| request.queue == queue), "{asked:?}");
    let found = offsets.map(|offset| super::super::log_read::Found {
        offset: EventOffset(offset),
        subject: offset,
        record: None,
    });
    let done = ReadDone { queue, lane: None, from, next, found: Ok(found.collect()), last: true };
    let taken = slot.take_read(done, Reach { first: EventOffset::FIRST, routed: next });
    assert!(matches!(taken, Some(Ok(None))), "{taken:?}");
}

#[test]
fn live_line_and_replays_take_turns_and_replays_have_a_share_of_the_permits() {
    let mut slot = slot(1);
    offer(&mut slot, 0..4);
    let replay = add_replay(&mut slot, 2, 4);
    read(&mut slot, replay, 0..4);
    let mut started = || slot.start_next(4, at(0)).map(|job| (job.replay, job.key.offset));
    assert_eq!((started(), started()), (Some((false, EventOffset(0))), Some((true, EventOffset(0)))));
    // One of four permits is all that replays may hold together.
    assert_eq!((started(), started()), (Some((false, EventOffset(1))), Some((false, EventOffset(2)))));
}

#[test]
fn an_attempt_of_a_replay_does_not_end_the_probe_for_the_same_event() {
    let mut slot = slot(1);
    let replay = add_replay(&mut slot, 2, 1);
    read(&mut slot, replay, 0..1);
    let of_replay = slot.start_next(4, at(0)).unwrap().key;
    offer(&mut slot, 0..1);
    slot.disable(DisableReason::TooManyFailures, Some(at(10)));
    let probe = slot.start_probe().unwrap().key;
    assert_eq!((probe.offset, of_replay.offset), (EventOffset::FIRST, EventOffset::FIRST));
    assert!(!slot.judge(&refused(of_replay), at(20), 0.5).unwrap().is_probe);
    assert!(!slot.is_probe_due(at(20)), "one probe at a time");
    assert!(slot.judge(&refused(probe), at(20), 0.5).unwrap().is_probe);
}

#[test]
fn nothing_of_a_deleted_hook_holds_back_the_hook_that_is_made_again_under_its_id() {
    let mut slot = slot(1);
    offer(&mut slot, 0..2);
    let mut changed = hook(1);
    for enabled in [false, true] {
        changed.enabled = enabled;
        slot.change_hook(&Arc::new(changed.clone()), EventOffset(2), None);
    }
    let trial = slot.start_next(4, at(0)).unwrap().key;
    slot.wait_as_asked(at(0), Duration::from_secs(60));
    assert!(slot.is_held_back(at(0)), "one delivery goes first, and the receiver asked for time");
    assert!(
        slot.new_revision(WallTime::default()).is_some() && slot.new_revision(WallTime::default()).is_none()
    );
    slot.delete();
    let mut new = hook(1);
    new.birth.events = EventOffset(2);
    let new = Arc::new(new);
    slot.make_again(&new, line(&new), Standing::new(true, POLICY));
    assert!(slot.is_of_former(trial.queue, trial.offset), "its result will not be judged");
    assert!(!slot.is_held_back(at(0)) && !slot.is_gone());
    assert!(
        slot.new_revision(WallTime::default()).is_some(),
        "what the new hook sends is written for its own attempts"
    );
}

#[test]
fn a_disabled_hook_is_probed_when_it_failed_and_not_when_a_person_disabled_it() {
    let mut slot = slot(1);
    slot.disable(DisableReason::TooManyFailures, Some(at(10)));
    assert!(slot.is_probe_due(at(10)) && slot.may_be_probed());
    assert_eq!((slot.state(), slot.next_due()), (QueueState::AutoDisabled, Some(at(10))));
    let by_person = Hook { enabled: false, ..hook(1) };
    slot.change_hook(&Arc::new(by_person), EventOffset(0), Some(at(20)));
    assert!(!slot.is_probed() && !slot.probe_now(at(30)));
    assert_eq!((slot.state(), slot.next_due()), (QueueState::Disabled, None));
}

#[test]
fn a_hook_that_gets_nothing_holds_a_few_deliveries_and_reads_on_when_it_is_enabled() {
    let mut slot = slot_of(Hook { paused: true, ..hook(1) });
    offer(&mut slot, 0..7);
    assert_eq!((slot.live_line().queue().len(), slot.waiting(), slot.live_line().is_live()), (4, 7, false));
    slot.ask_for_reads(EventOffset(7), false, |request| panic!("a paused hook is not read for: {request:?}"));
    slot.change_hook(&Arc::new(hook(1)), EventOffset(7), None);
    read(&mut slot, QueueKey::Hook(HookId(1)), 4..7);
    assert_eq!((slot.live_line().queue().len(), slot.live_line().is_live()), (7, true));
}

#[test]
fn what_a_read_brings_is_dropped_when_an_account_has_become_known_meanwhile() {
    let mut slot = slot_of(Hook { paused: true, ..hook(1) });
    offer(&mut slot, 0..5);
    slot.change_hook(&Arc::new(hook(1)), EventOffset(6), None);
    let mut asked = Vec::new();
    slot.ask_for_reads(EventOffset(6), false, |request| asked.push(request));
    slot.offer_late(EventOffset(5), 5);
    let found = Ok(Vec::new());
    let done = ReadDone {
        queue: asked[0].queue,
        lane: None,
        from: EventOffset(4),
        next: EventOffset(6),
        found,
        last: true,
    };
    slot.take_read(done, Reach { first: EventOffset(0), routed: EventOffset(6) });
    assert_eq!(slot.live_line().queue().next(), EventOffset(4), "the read may have passed over the event");
    read(&mut slot, QueueKey::Hook(HookId(1)), 4..6);
    assert_eq!(slot.live_line().queue().len(), 6);
}

#[test]
fn a_success_ends_the_suspects_and_each_of_them_is_counted_once() {
    let mut slot = slot(1);
    offer(&mut slot, 0..3);
    let (suspect, other) = (slot.start_next(4, at(0)).unwrap().key, slot.start_next(4, at(0)).unwrap().key);
    slot.judge(&refused(suspect), at(5), 0.5).unwrap();
    slot.conclude(suspect, Verdict::SuspectUntil(at(90)));
    let judged = slot.judge(&delivered(other), at(6), 0.5).unwrap();
    assert_eq!(slot.conclude(other, judged.verdict), Some(vec![suspect.offset]));
    let totals = slot.live_line().totals();
    assert_eq!((totals.delivered, totals.dead, slot.waiting()), (1, 1, 1));
}

#[test]
fn a_settled_replay_ends_once_and_its_line_goes_with_its_last_attempt() {
    let mut slot = slot(1);
    let replay = add_replay(&mut slot, 2, 1);
    read(&mut slot, replay, 0..1);
    let key = slot.start_next(4, at(0)).unwrap().key;
    assert!(slot.end_replays(false, WallTime::from_micros(7)).is_empty(), "a delivery is under way");
    let (status, job) =
        slot.end_replay(replay, crate::model::ReplayState::Cancelled, WallTime::from_micros(8)).unwrap();
    assert_eq!((status.matched, job.ended_us), (1, Some(8)));
    assert!(
        slot.end_replays(true, WallTime::from_micros(9)).is_empty() && slot.take_over_replays().is_empty()
    );
    let judged = slot.judge(&delivered(key), at(9), 0.5).unwrap();
    slot.conclude(key, judged.verdict);
    let over = slot.take_over_replays();
    assert_eq!((over.len(), slot.replays().len()), (1, 0));
    assert_eq!(over[0].image(slot.hook(), EventOffset(0)).totals.delivered, 1);
}

#[test]
fn a_strict_hook_has_one_attempt_under_way() {
    let mut slot = slot_of(Hook { ordering: Ordering::Hook, ..hook(1) });
    offer(&mut slot, 0..3);
    assert_eq!(slot.start_next(4, at(0)).map(|job| job.key.offset), Some(EventOffset::FIRST));
    assert!(slot.start_next(4, at(0)).is_none() && !slot.has_ready());
}

#[test]
fn a_suspect_that_waits_again_does_not_start_beside_the_delivery_behind_it() {
    let mut slot = slot_of(Hook { ordering: Ordering::Hook, ..hook(1) });
    offer(&mut slot, 0..2);
    let suspect = slot.start_next(4, at(0)).unwrap().key;
    slot.judge(&refused(suspect), at(5), 0.5).unwrap();
    slot.conclude(suspect, Verdict::SuspectUntil(at(90)));
    let behind = slot.start_next(4, at(6)).unwrap().key;
    let mut changed = (**slot.hook()).clone();
    for enabled in [false, true] {
        changed.enabled = enabled;
        slot.change_hook(&Arc::new(changed.clone()), EventOffset(2), None);
    }
    assert!(!slot.has_ready() && slot.start_next(4, at(7)).is_none(), "one delivery of a lane at a time");
    slot.judge(&refused(behind), at(8), 0.5).unwrap();
    slot.conclude(behind, Verdict::RetryAt(at(9)));
    assert!(slot.start_next(4, at(8)).is_none(), "the receiver has just failed, so the lane waits");
    slot.wake(at(9), |_, _| ());
    assert_eq!(slot.start_next(4, at(9)).map(|job| job.key), Some(suspect), "in the order of the log");
}
