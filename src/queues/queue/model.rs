//! The queue against a simple model, with random events, outcomes and restarts: no delivery is lost, order is kept, and
//! memory is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

use super::Queue;
use super::intake::Rest;
use super::lane::{LaneKey, ONE_LANE};
use super::window::{EntryState, Past, Taken, WindowLimits};
use crate::model::{EventOffset, Moment, Ordering};

const LIMITS: WindowLimits = WindowLimits { window: 8, lane: 3 };

/// The parts of a queue that a checkpoint stores, and what had been settled by then.
#[derive(Default)]
struct Image {
    next: EventOffset,
    entries: Vec<(EventOffset, LaneKey)>,
    spilled: Vec<(LaneKey, EventOffset)>,
    settled: BTreeSet<EventOffset>,
    before: BTreeSet<EventOffset>,
}

fn offsets(range: Range<EventOffset>) -> impl Iterator<Item = EventOffset> {
    (range.start.0..range.end.0).map(EventOffset)
}

/// A log of subjects, and the outcome of each event.
struct World {
    ordering: Ordering,
    log: Vec<u64>,
    settled: BTreeSet<EventOffset>,
    queue: Queue,
    under_way: BTreeSet<EventOffset>,
    /// By event, its attempts.
    tried: BTreeMap<EventOffset, u16>,
    image: Image,
    now: Moment,
}

impl World {
    fn new(ordering: Ordering) -> Self {
        Self {
            ordering,
            log: Vec::new(),
            settled: BTreeSet::new(),
            queue: Queue::new(LIMITS, ordering, EventOffset::FIRST),
            under_way: BTreeSet::new(),
            tried: BTreeMap::new(),
            image: Image::default(),
            now: Moment::from_micros(1),
        }
    }

    fn subject(&self, offset: EventOffset) -> u64 {
        self.log[usize::try_from(offset.0).unwrap()]
    }

    fn lane(&self, offset: EventOffset) -> LaneKey {
        self.queue.lane_of(offset, self.subject(offset))
    }

    fn end(&self) -> EventOffset {
        EventOffset(self.log.len() as u64)
    }

    /// What the engine does: it reads drained lanes, and reads on while there is room.
    fn read(&mut self) {
        while let Some(Rest { lane, from, until }) = self.queue.drained_lane() {
            let found = offsets(from..until).filter(|o| self.lane(*o) == lane).map(|o| (o, None)).collect();
            self.queue.take_spilled(lane, found, until);
            let again = self.queue.drained_lane();
            if again.is_some_and(|again| (again.lane, again.from) == (lane, from)) {
                break;
            }
        }
        for offset in offsets(self.queue.next()..self.end()) {
            if self.queue.take(offset, self.subject(offset), None) == Taken::Full {
                break;
            }
        }
    }

    fn start(&mut self) {
        self.queue.wake(self.now);
        if let Some(start) = self.queue.start() {
            let lane = self.lane(start.offset);
            let ahead = offsets(EventOffset::FIRST..start.offset)
                .filter(|o| self.lane(*o) == lane && !self.settled.contains(o));
            let ahead: Vec<EventOffset> = ahead
                .filter(|o| {
                    !matches!(self.queue.entries.get(o).map(|e| e.state), Some(EntryState::Suspect { .. }))
                })
                .collect();
            assert!(ahead.is_empty(), "{} overtakes {ahead:?}", start.offset);
            let beside = self.under_way.iter().find(|other| self.lane(**other) == lane);
            assert_eq!(beside, None, "{} is started while its lane is busy", start.offset);
            assert!(!self.settled.contains(&start.offset), "{} is tried after it was settled", start.offset);
            self.under_way.insert(start.offset);
            let tried = self.tried.entry(start.offset).or_default();
            *tried += 1;
            assert_eq!(start.attempt, *tried, "attempts at {}", start.offset);
        }
    }

    fn finish(&mut self, pick: usize, outcome: u8) {
        let Some(offset) = self.under_way.iter().nth(pick % self.under_way.len().max(1)).copied() else {
            return;
        };
        self.under_way.remove(&offset);
        match outcome {
            0 => self.queue.retry(offset, self.now + Duration::from_micros(2)),
            1 => {
                self.queue.suspect(offset, self.now + Duration::from_micros(5));
            }
            _ => self.deliver(offset),
        }
    }

    fn deliver(&mut self, offset: EventOffset) {
        for late in self.queue.passed_by(offset) {
            self.under_way.remove(&late);
            self.settle(late);
        }
        self.settle(offset);
    }

    fn settle(&mut self, offset: EventOffset) {
        assert!(self.queue.settle(offset));
        self.settled.insert(offset);
    }

    fn checkpoint(&mut self) {
        let lanes = self.queue.lanes.iter();
        self.image = Image {
            next: self.queue.next(),
            entries: self.queue.entries.iter().map(|(offset, entry)| (*offset, entry.lane)).collect(),
            spilled: lanes.filter_map(|(key, lane)| Some((*key, lane.spilled?))).collect(),
            settled: self.queue.settled.clone(),
            before: self.settled.clone(),
        };
    }

    /// A restart after `kill -9`: from the last checkpoint and what was recorded since. Attempts under way are forgotten.
    fn crash(&mut self) {
        for offset in std::mem::take(&mut self.under_way) {
            *self.tried.get_mut(&offset).unwrap() -= 1;
        }
        let past = |offset: &EventOffset| Past {
            attempts: self.tried.get(offset).copied().unwrap_or_default(),
            ..Past::default()
        };
        let image = &self.image;
        let mut fresh = Queue::new(LIMITS, self.ordering, image.next);
        let held: BTreeSet<EventOffset> = image.entries.iter().map(|(offset, _)| *offset).collect();
        for (offset, lane) in image.entries.iter().filter(|(offset, _)| !self.settled.contains(offset)) {
            fresh.restore(*offset, *lane, past(offset));
        }
        for (lane, from) in &image.spilled {
            fresh.restore_spilled(*lane, *from);
        }
        let since = self.settled.difference(&image.before).filter(|offset| !held.contains(offset));
        fresh.restore_settled(image.settled.iter().chain(since).copied());
        let tried = self.tried.keys().filter(|o| !held.contains(o) && !self.settled.contains(o));
        fresh.past.extend(tried.map(|offset| (*offset, past(offset))));
        self.queue = fresh;
    }

    /// A restart in order, from a checkpoint of this moment.
    fn restart(&mut self) {
        let mut fresh = Queue::new(LIMITS, self.ordering, self.queue.next());
        for (offset, entry) in &self.queue.entries {
            fresh.restore(*offset, entry.lane, Past { attempts: entry.attempts, ..Past::default() });
        }
        for (key, lane) in &self.queue.lanes {
            if let Some(from) = lane.spilled {
                fresh.restore_spilled(*key, from);
            }
        }
        fresh.restore_settled(self.queue.settled.iter().copied());
        fresh.past.extend(self.queue.past.iter());
        self.queue = fresh;
        self.under_way.clear();
    }

    fn check(&self) {
        assert_eq!(self.queue.broken(), None);
        assert!(self.queue.len() <= LIMITS.window);
        let unsettled = offsets(EventOffset::FIRST..self.end()).find(|o| !self.settled.contains(o));
        let first = unsettled.unwrap_or(self.end());
        assert!(self.queue.cursor() <= first, "cursor {} is past unsettled {first}", self.queue.cursor());
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            self.now += Duration::from_micros(10);
            self.read();
            for offset in self.queue.suspects_until(self.now) {
                self.settle(offset);
            }
            self.start();
            let under_way: Vec<EventOffset> = std::mem::take(&mut self.under_way).into_iter().collect();
            for offset in under_way {
                self.deliver(offset);
            }
            if self.settled.len() == self.log.len() {
                return;
            }
        }
        panic!("{} of {} settled", self.settled.len(), self.log.len());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Event(u64),
    Read,
    Start,
    Finish(usize, u8),
    Time(u64),
    Disable,
    Enable,
    Condemn,
    Shrink,
    Restart,
    Checkpoint,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..4).prop_map(Step::Event),
        4 => Just(Step::Read),
        6 => Just(Step::Start),
        6 => (0_usize..8, 0_u8..5).prop_map(|(pick, outcome)| Step::Finish(pick, outcome)),
        2 => (1_u64..6).prop_map(Step::Time),
        1 => Just(Step::Disable),
        1 => Just(Step::Enable),
        1 => Just(Step::Condemn),
        2 => Just(Step::Shrink),
        1 => Just(Step::Restart),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_settled_once_and_in_the_order_of_its_lane(
        ordering in prop_oneof![Just(Ordering::Subject), Just(Ordering::Hook), Just(Ordering::None)],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(ordering);
        for step in steps {
            match step {
                Step::Event(subject) => world.log.push(subject),
                Step::Read => world.read(),
                Step::Start => world.start(),
                Step::Finish(pick, outcome) => world.finish(pick, outcome),
                Step::Time(by) => world.now += Duration::from_micros(by),
                Step::Disable => world.queue.release_suspects(),
                Step::Enable => world.queue.refresh(),
                Step::Condemn => {
                    for offset in world.queue.suspects() {
                        world.settle(offset);
                    }
                }
                Step::Shrink => {
                    world.queue.shrink(2, EventOffset::FIRST);
                }
                Step::Restart => world.restart(),
                Step::Checkpoint => world.checkpoint(),
                Step::Crash => world.crash(),
            }
            world.check();
        }
        world.drain();
    }
}

/// The model compares entries, so it would not notice lanes that stay.
#[test]
fn a_drained_queue_holds_no_lanes() {
    let mut world = World::new(Ordering::Subject);
    world.log.extend((0..100).map(|n| n % 7));
    world.drain();
    assert!(world.queue.lanes.is_empty());
    assert!(world.queue.is_empty());
}

/// The lanes of two subjects become one while a delivery of each is under way.
#[test]
fn a_delivery_under_way_or_waiting_for_its_retry_is_not_given_up_when_lanes_become_one() {
    let mut queue = Queue::new(LIMITS, Ordering::Subject, EventOffset::FIRST);
    for (offset, subject) in [(0, 7), (1, 8), (2, 9)] {
        queue.take(EventOffset(offset), subject, None);
        assert_eq!(queue.start().map(|start| start.offset), Some(EventOffset(offset)));
    }
    queue.retry(EventOffset(1), Moment::from_micros(9));
    assert!(queue.reorder(Ordering::Hook));
    assert_eq!(queue.passed_by(EventOffset(2)), vec![]);
}

/// A suspect that its lane has left behind is too late once a later delivery has arrived, whatever happened to the queue
/// during the attempt.
#[test]
fn what_a_delivery_passed_is_too_late_also_when_it_was_released_or_its_lane_joined_another() {
    let mut queue = Queue::new(LIMITS, Ordering::Subject, EventOffset::FIRST);
    for (offset, subject) in [(0, 7), (1, 8), (2, 7)] {
        queue.take(EventOffset(offset), subject, None);
    }
    assert_eq!(queue.start().map(|start| start.offset), Some(EventOffset::FIRST));
    assert!(queue.suspect(EventOffset(0), Moment::from_micros(100)));
    assert_eq!(
        (queue.start().map(|s| s.offset), queue.start().map(|s| s.offset)),
        (Some(EventOffset(1)), Some(EventOffset(2)))
    );
    queue.release_suspects();
    assert!(queue.reorder(Ordering::Hook));
    assert_eq!(
        (queue.passed_by(EventOffset(1)), queue.passed_by(EventOffset(2))),
        (vec![], vec![EventOffset(0)])
    );
    queue.hold(EventOffset(2));
    assert_eq!((queue.passed_by(EventOffset(2)), queue.broken()), (vec![], None));
}

/// After a crash there are settled deliveries behind unsettled ones. `shrink` must not go back over the settled ones.
#[test]
fn a_queue_that_shrinks_does_not_take_again_what_was_settled_before_a_crash() {
    let mut world = World::new(Ordering::None);
    world.log.extend(0..6);
    world.read();
    (0..6).for_each(|_| world.start());
    world.deliver(EventOffset(5));
    world.under_way.remove(&EventOffset(5));
    world.crash();
    world.read();
    world.queue.shrink(2, EventOffset::FIRST);
    world.read();
    assert!(world.queue.entries.keys().copied().eq((0..5).map(EventOffset)));
}

#[test]
fn a_queue_that_shrinks_wakes_the_lane_of_an_event_that_waited_for_its_account() {
    let mut queue = Queue::new(WindowLimits { window: 8, lane: 8 }, Ordering::Hook, EventOffset(9));
    queue.take(EventOffset(9), 0, None);
    queue.start();
    queue.insert(EventOffset(4), ONE_LANE, None);
    queue.retry(EventOffset(9), Moment::default() + Duration::from_secs(1));
    queue.shrink(1, EventOffset::FIRST);
    assert_eq!((queue.broken(), queue.start().map(|s| s.offset)), (None, Some(EventOffset(4))));
}

#[test]
fn a_queue_that_shrinks_frees_the_records_of_the_deliveries_that_stay() {
    let budget = crate::queues::queue::kept::Budget::new(1 << 20);
    let mut queue = Queue::new(WindowLimits { window: 8, lane: 8 }, Ordering::None, EventOffset::FIRST);
    for offset in 0..4 {
        queue.take(EventOffset(offset), offset, budget.keep(b"record"));
    }
    assert_eq!(budget.used(), 24);
    queue.shrink(4, EventOffset::FIRST);
    assert_eq!((budget.used(), queue.len()), (0, 4));
}

#[test]
fn of_two_drained_lanes_the_one_with_the_older_rest_is_read_first() {
    let mut queue = Queue::new(WindowLimits { window: 8, lane: 1 }, Ordering::Subject, EventOffset::FIRST);
    for (offset, subject) in [(0, 9), (1, 3), (2, 9), (3, 3)] {
        queue.take(EventOffset(offset), subject, None);
    }
    assert_eq!(queue.drained_lane(), None, "both lanes are full");
    queue.settle(EventOffset(1));
    queue.settle(EventOffset(0));
    assert_eq!(
        queue.drained_lane(),
        Some(Rest { lane: LaneKey(9), from: EventOffset(2), until: EventOffset(4) })
    );
}

/// `take` meets the settled event first, and then the rest of its lane, which begins before it.
#[test]
fn a_settled_event_of_a_spilled_lane_is_not_taken_when_the_rest_is_read() {
    let mut queue = Queue::new(WindowLimits { window: 8, lane: 4 }, Ordering::Subject, EventOffset(4));
    queue.restore_spilled(LaneKey(9), EventOffset(2));
    queue.restore_settled([EventOffset(5)]);
    assert_eq!(queue.take(EventOffset(4), 3, None), Taken::Waiting);
    assert_eq!(queue.take(EventOffset(5), 9, None), Taken::Settled);
    queue.take_spilled(LaneKey(9), vec![(EventOffset(2), None), (EventOffset(5), None)], EventOffset(6));
    assert!(queue.entries.keys().copied().eq([2, 4].map(EventOffset)), "{:?}", queue.entries.keys());
}
