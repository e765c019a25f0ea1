//! The queue against a simple model: random events, outcomes and restarts; nothing lost, order kept, memory
//! bounded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::entry::{EntryState, Limits, Past, Taken};
use super::queue::Queue;
use crate::model::Ordering;

const LIMITS: Limits = Limits { window: 8, lane: 3 };

/// A log of subjects, and what has become of each event.
struct World {
    ordering: Ordering,
    log: Vec<u64>,
    settled: BTreeSet<u64>,
    queue: Queue,
    under_way: BTreeSet<u64>,
    /// How often each event has been tried.
    tried: BTreeMap<u64, u16>,
    now: u64,
}

impl World {
    fn new(ordering: Ordering) -> Self {
        Self {
            ordering,
            log: Vec::new(),
            settled: BTreeSet::new(),
            queue: Queue::new(LIMITS, ordering, 0),
            under_way: BTreeSet::new(),
            tried: BTreeMap::new(),
            now: 1,
        }
    }

    fn lane(&self, offset: u64) -> u64 {
        self.queue.lane_of(offset, self.log[usize::try_from(offset).unwrap()])
    }

    /// What the engine does: read on while there is room, refill drained lanes.
    fn read(&mut self) {
        while let Some((lane, from, until)) = self.queue.drained_lane() {
            let found = (from..until).filter(|o| self.lane(*o) == lane).map(|o| (o, None)).collect();
            self.queue.take_spilled(lane, found, until);
            if self.queue.drained_lane().is_some_and(|(again, at, _)| (again, at) == (lane, from)) {
                break;
            }
        }
        for offset in self.queue.next()..self.log.len() as u64 {
            if self.queue.take(offset, self.log[usize::try_from(offset).unwrap()], None) == Taken::Full {
                break;
            }
        }
    }

    fn start(&mut self) {
        self.queue.wake(self.now);
        if let Some(start) = self.queue.start() {
            let lane = self.lane(start.offset);
            let ahead = (0..start.offset).filter(|o| self.lane(*o) == lane && !self.settled.contains(o));
            let ahead: Vec<u64> = ahead
                .filter(|o| {
                    !matches!(self.queue.entries.get(o).map(|e| e.state), Some(EntryState::Suspect { .. }))
                })
                .collect();
            assert!(ahead.is_empty(), "{} overtakes {ahead:?}", start.offset);
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
            0 => self.queue.retry(offset, self.now + 2),
            1 => {
                self.queue.suspect(offset, self.now + 5);
            }
            _ => self.deliver(offset),
        }
    }

    fn deliver(&mut self, offset: u64) {
        for late in self.queue.passed_by(offset) {
            self.under_way.remove(&late);
            self.settle(late);
        }
        self.settle(offset);
    }

    fn settle(&mut self, offset: u64) {
        assert!(self.queue.settle(offset));
        self.settled.insert(offset);
    }

    /// A restart from what a checkpoint holds.
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
        fresh.settled.extend(&self.queue.settled);
        fresh.past.extend(&self.queue.past);
        self.queue = fresh;
        self.under_way.clear();
    }

    fn check(&self) {
        assert!(self.queue.len() <= LIMITS.window);
        let unsettled = (0..self.log.len() as u64).find(|o| !self.settled.contains(o));
        let first = unsettled.unwrap_or(self.log.len() as u64);
        assert!(self.queue.cursor() <= first, "cursor {} is past unsettled {first}", self.queue.cursor());
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            self.now += 10;
            self.read();
            for offset in self.queue.suspects_until(self.now) {
                self.settle(offset);
            }
            self.start();
            let under_way: Vec<u64> = std::mem::take(&mut self.under_way).into_iter().collect();
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
        1 => Just(Step::Shrink),
        1 => Just(Step::Restart),
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
                Step::Time(by) => world.now += by,
                Step::Disable => world.queue.release_suspects(),
                Step::Enable => world.queue.refresh(),
                Step::Condemn => {
                    for offset in world.queue.suspects_until(u64::MAX) {
                        world.settle(offset);
                    }
                }
                Step::Shrink => {
                    world.queue.shrink(2, 0);
                }
                Step::Restart => world.restart(),
            }
            world.check();
        }
        world.drain();
    }
}

/// The model's bookkeeping of entries must not hide a leak of lanes.
#[test]
fn a_drained_queue_holds_no_lanes() {
    let mut world = World::new(Ordering::Subject);
    world.log.extend((0..100).map(|n| n % 7));
    world.drain();
    assert!(world.queue.lanes.is_empty());
    assert!(world.queue.is_empty());
}
