//! The invariants, checked after every step against what is known without the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Engine;
use super::super::line::Line;
use super::super::slot::Slot;
use super::super::slots::SlotId;
use super::hold;
use super::oracle::Oracle;
use super::permits::would_start;
use super::recorded::{Ended, Unsynced};
use super::setup::LONGEST_DELAY;
use super::world::{Flight, World};
use crate::model::{AccountId, EventOffset, Job, Ordering, QueueId};
use crate::queues::rules::permits::{HolderId, HostId};
use crate::queues::{Directory, EntryState};

/// The deliveries in memory of a hook that gets nothing.
const CLOSED: usize = 4;

impl World {
    /// Checks everything that holds between two turns of the engines.
    pub(super) fn check(&mut self) {
        self.check_permits();
        self.check_probes();
        self.check_versions();
        self.check_slots();
        self.check_cursors();
    }

    /// Checks a job that an engine has handed out: its hook wants the event, it is its lane's turn, and the hook is
    /// delivered to. Returns whether it is a recovery probe.
    pub(super) fn check_job(&mut self, job: &Job, unsynced: &Unsynced) -> bool {
        let (queue, offset) = (job.key.queue.id(), job.key.offset);
        let what = || format!("queue {queue}, offset {offset}");
        let tenants = self.tenants.clone();
        let asked = self.oracle.may_get(&job.hook, offset, |id| tenants.account(id))
            || job.hook.account == AccountId(0);
        hold(
            asked
                || tenants.account(job.hook.account).is_none()
                || !self.oracle.has_account_of(offset, &tenants),
            "a hook gets only what it asked for",
            what,
        );
        let began_before = job.attempt > 1;
        hold(
            job.replay || began_before || offset >= job.hook.start_offset,
            "nothing from before a hook's start",
            what,
        );
        let ended = self.ended(queue, offset, unsynced);
        hold(ended.is_none(), "nothing is tried once it is settled", || format!("{}: {ended:?}", what()));
        let twice = self.flights.iter().any(|flight| flight.key == job.key);
        hold(!twice, "a delivery is under way once", what);
        self.check_lane(job, unsynced);
        let probe = self.check_open(job);
        let due = self.oracle.due_of(queue, offset, unsynced).filter(|due| *due > self.life.now());
        // When the ordering of a hook changes, its lanes forget their due times.
        hold(
            due.is_none() || probe || self.changed_order(queue),
            "nothing is tried before its retry is due",
            || format!("{}: due {due:?}, now {:?}", what(), self.life.now()),
        );
        self.oracle.started(queue, offset, job.attempt);
        // A change from before its hook was disabled may still reach the engine, and ends the probing for a moment.
        let is_up_to_date = |(engine, _): (&Engine, &Slot)| engine.changes.is_empty();
        probe && self.life.slot_with(job.key.queue).is_some_and(is_up_to_date)
    }

    pub(super) fn ended(&self, queue: QueueId, offset: EventOffset, unsynced: &Unsynced) -> Option<Ended> {
        let on_disk = self.oracle.course(queue).and_then(|course| course.settled.get(&offset));
        on_disk.or_else(|| unsynced.ended.get(&(queue, offset))).copied()
    }

    /// A hook that is disabled or paused, or whose account is disabled, gets nothing but its probe.
    fn check_open(&self, job: &Job) -> bool {
        let what = || format!("{:?}", job.key);
        let Some((engine, slot)) = self.life.slot_with(job.key.queue) else { return false };
        let probe = slot.probe().is(job.key) && !slot.hook().enabled;
        let others = self.flights.iter().filter(|flight| flight.key.queue == job.key.queue);
        hold(!slot.is_leaving(), "a slot whose partition leaves starts nothing", what);
        // A probe that was handed out just before its hook was enabled is an ordinary attempt by now.
        let was_probe = slot.hook().enabled && !Arc::ptr_eq(slot.hook(), &job.hook);
        hold(job.hook.enabled || probe || was_probe, "a disabled hook gets nothing but its probe", what);
        hold(!probe || others.filter(|flight| flight.probe).count() == 0, "one probe at a time", what);
        if engine.changes.is_empty() && !job.hook.one_shot {
            let (enabled, _) = self.tenants.standing(job.hook.account);
            hold(enabled, "a disabled account's hooks get nothing", what);
            let paused = self.hooks.get(&job.hook.id).is_none_or(|hook| hook.paused);
            hold(!paused, "a paused or deleted hook gets nothing", what);
        }
        probe
    }

    /// A hook knows its probe that is under way, so the next one waits for its result.
    fn check_probes(&mut self) {
        for flight in self.flights.iter_mut().filter(|flight| flight.probe) {
            let slot = self.life.slot_with(flight.key.queue).map(|(_, slot)| slot);
            // When its hook is enabled, or deleted and made again, it becomes an ordinary attempt.
            let is_of_former = |slot: &Slot| slot.is_of_former(flight.key.queue, flight.key.offset);
            let Some(slot) =
                slot.filter(|slot| !slot.is_gone() && !slot.hook().enabled && !is_of_former(slot))
            else {
                flight.probe = false;
                continue;
            };
            hold(slot.probe().is(flight.key), "a hook knows the probe that is under way", || {
                format!("{:?}: {:?}", flight.key, slot.probe())
            });
        }
    }

    /// A hook never becomes again what it was before a change, also when its partition moves.
    fn check_versions(&mut self) {
        for hook in self.life.engines().flat_map(|engine| engine.slots.iter()).map(|(_, slot)| slot.hook()) {
            hold(self.oracle.has_version(hook), "a hook is never an earlier version of itself", || {
                format!("{}: {:?}", hook.id, hook.revision)
            });
        }
    }

    /// Every counted permit is held by an attempt under way, and no permit is free while a delivery could use it.
    fn check_permits(&self) {
        let counted: usize = self.life.engines().map(|engine| engine.desk.permits.in_flight()).sum();
        hold(counted == self.flights.len(), "every permit is held by an attempt under way", || {
            format!("{counted} counted, {} under way", self.flights.len())
        });
        let mut held: BTreeMap<(usize, SlotId), u32> = BTreeMap::new();
        for flight in &self.flights {
            let shard = self.life.shard_with(flight.key.queue);
            let at = shard.and_then(|shard| self.life.shards[shard].engine.slots.owner(flight.key.queue));
            if let (Some(shard), Some(at)) = (shard, at) {
                *held.entry((shard, at)).or_default() += 1;
            }
        }
        let (mut tenants, mut accounts) = (BTreeMap::new(), BTreeMap::new());
        let mut hosts: BTreeMap<HostId, u32> = BTreeMap::new();
        let slots = || {
            self.life.engines().enumerate().flat_map(|(shard, engine)| {
                engine.slots.iter().map(move |(at, slot)| (engine, (shard, at), slot))
            })
        };
        for (engine, at, slot) in slots() {
            let (count, holders) = (held.get(&at).copied().unwrap_or(0), slot.claim().holders());
            hold(slot.claim().held() == count, "every permit is held by an attempt under way", || {
                format!("{at:?}: {} counted, {count} under way", slot.claim().held())
            });
            *tenants.entry(holders.tenant).or_insert(0) += count;
            *accounts.entry(holders.account).or_insert(0) += count;
            *hosts.entry(holders.on_host.host).or_insert(0) += count.saturating_sub(1);
            let free = would_start(engine, slot);
            hold(free.is_none(), "no permit is free while something may use it", || {
                format!("{at:?}: {free:?}, {:?}", slot.claim())
            });
            hold(
                count > 0 || !slot.claim().waits_for_host(),
                "no hook waits for a shared permit of a host before it has its first",
                || format!("{at:?}: {:?}", slot.claim()),
            );
            let is_neighbour = |other: &Slot| other.claim().holders().on_host.host == holders.on_host.host;
            let young = || {
                let all = slots().filter(|(_, _, other)| is_neighbour(other));
                all.map(|(engine, _, other)| other.claim().young(engine.desk.time.now())).sum::<u32>()
            };
            // While the ledger has no room no slot has its turn, so none is asked again.
            let has_turn = !engine.desk.ledger.stalled();
            hold(
                !slot.claim().waits_for_first()
                    || !has_turn
                    || young() >= engine.desk.options.per_host_in_flight,
                "a hook waits for its first permit of a host only while there are many young ones",
                || format!("{at:?}: {:?}", slot.claim()),
            );
        }
        for (engine, at, slot) in slots() {
            let holders = slot.claim().holders();
            let of = |all: &BTreeMap<HolderId, u32>, holder| all.get(&holder).copied().unwrap_or(0);
            let of_host = hosts.get(&holders.on_host.host).copied().unwrap_or(0);
            let count = (of(&tenants, holders.tenant), of(&accounts, holders.account), of_host);
            let counted = engine.desk.permits.held_at(holders);
            hold(counted == count, "the permits of a tenant, an account and a host add up", || {
                format!("{at:?}: {counted:?} counted, {count:?} held")
            });
        }
    }

    fn check_slots(&self) {
        self.check_owners();
        self.life.engines().for_each(|engine| self.check_slots_of(engine));
    }

    fn check_slots_of(&self, engine: &Engine) {
        let budget = &engine.desk.budget;
        hold(
            budget.used() <= engine.desk.options.keep_bytes,
            "records in memory are within their budget",
            String::new,
        );
        for (at, slot) in engine.slots.iter() {
            for line in slot.lines() {
                self.check_line(engine, at, slot, line);
            }
            let latest = engine.desk.time.now() + LONGEST_DELAY;
            let tries = slot.lines().filter_map(|line| line.queue().next_due());
            let last = tries.chain(slot.probe().due()).chain(slot.asked_until()).max();
            hold(
                last.is_none_or(|last| last <= latest),
                "nothing waits longer than the longest delay",
                || format!("{at:?}: {last:?}, now {:?}", engine.desk.time.now()),
            );
            let due = slot.next_due();
            // A slot that waits for a permit will have its turn. A timer that is too early does no harm.
            let waits = slot.is_gone() || (slot.claim().waits() && slot.is_open());
            let timer = engine.desk.timers.of(at);
            let on_clock = due.is_none_or(|due| timer.is_some_and(|timer| timer <= due));
            hold(waits || on_clock, "what is due is on the clock", || {
                format!("{at:?}: {timer:?}, due {due:?}")
            });
        }
    }

    fn check_line(&self, engine: &Engine, at: SlotId, slot: &Slot, line: &Line) {
        let queue = line.queue();
        let what = || format!("{at:?}, queue {}", line.key().id());
        let broken = queue.broken();
        hold(broken.is_none(), "a queue's parts agree", || format!("{}: {broken:?}", what()));
        // Events that waited for their account are taken even if there is no room, unless their lane can spill.
        let late = queue.entries().filter(|(offset, _)| self.oracle.is_late(*offset)).count();
        hold(queue.len() <= engine.desk.options.window + late, "a queue is within its window", what);
        let lane = queue.longest_lane();
        let limit = if queue.ordering() == Ordering::Subject {
            engine.desk.options.lane
        } else {
            engine.desk.options.window
        };
        hold(lane <= limit + late || self.changed_order(line.key().id()), "a lane is within its limit", what);
        let flying = queue.entries().filter(|(_, entry)| entry.state == EntryState::InFlight).count();
        let of_line = |flight: &&Flight| {
            flight.key.queue == line.key() && !slot.is_of_former(flight.key.queue, flight.key.offset)
        };
        let under_way = self.flights.iter().filter(of_line).count();
        hold(flying == under_way, "a queue knows what is under way", || {
            format!("{}: {flying}, {under_way}", what())
        });
        if !slot.is_open()
            && !slot.is_leaving()
            && !line.is_reading()
            && slot.claim().held() == 0
            && engine.changes.is_empty()
        {
            let kept = queue.can_be_given_up(line.uncounted_until());
            hold(kept <= CLOSED, "a hook that gets nothing holds little", || format!("{}: {kept}", what()));
        }
        let until =
            line.replay().map_or(engine.desk.owned.routed_to(slot.partition()), |replay| replay.job.until);
        let behind =
            !line.is_live() && queue.next() < until && queue.wants_more() && line.room(slot.is_open()) > 0;
        let ended = line.replay().is_some_and(|replay| replay.job.has_ended());
        let wants = slot.is_open() && !slot.is_gone() && !ended && !engine.desk.budget.is_scarce();
        let waits = line.is_reading() || engine.desk.reads.has_failed(at);
        hold(
            waits || !wants || !(behind || queue.drained_lane().is_some()),
            "a queue that is behind is read for",
            || format!("{}: at {} of {until}, {} held", what(), queue.next(), queue.len()),
        );
    }

    /// A cursor never goes back, and nothing below it is unsettled.
    fn check_cursors(&mut self) {
        let unsynced = self.life.unsynced();
        let first = self.life.events.reader.first();
        for hook in self.hooks.keys() {
            let status = self.life.engines().find_map(|engine| engine.status(*hook));
            let Some(raw) = status else { continue };
            let cursor = raw.status.cursor;
            let before = self.cursors.insert(*hook, cursor).unwrap_or(EventOffset(0));
            hold(cursor >= before || self.oracle.is_late(cursor), "a cursor never goes back", || {
                format!("hook {hook}: {before}, now {cursor}")
            });
            let checked = self.settled_below.get(hook).copied().unwrap_or(first).min(cursor);
            let due = self.oracle.due.get(&QueueId::from(*hook));
            let due = due.into_iter().flat_map(|due| due.range(checked..cursor)).copied();
            let mut open = due.filter(|offset| !self.is_over((*hook).into(), *offset, &unsynced)).peekable();
            let below = open.peek().copied().unwrap_or(cursor);
            // An event that waits for its account is settled later, although the cursor has passed it.
            let unsettled = open.find(|offset| !self.still_waits(*offset));
            self.settled_below.insert(*hook, below);
            hold(unsettled.is_none(), "nothing below a cursor is unsettled", || {
                format!("hook {hook}: {unsettled:?} below {cursor}")
            });
        }
    }

    /// Whether a delivery is settled, or retention has dropped it and the ledger says so.
    fn is_over(&self, queue: QueueId, offset: EventOffset, unsynced: &Unsynced) -> bool {
        // What was in memory when the process died, and was removed by retention before the restart, belongs to the gap
        // after it.
        let is_dropped = self.summary.deaths > 0 && offset < self.life.events.reader.first();
        let gap = |(from, to): &(EventOffset, EventOffset)| {
            (*from..*to).contains(&offset) || (is_dropped && offset < *to)
        };
        let on_disk = self.oracle.course(queue).is_some_and(|course| course.gaps.iter().any(gap));
        let in_memory = unsynced.gaps.iter().any(|(id, from, to)| *id == queue && gap(&(*from, *to)));
        // Retention may take an event while it waits for its account; the queue has no gap then.
        let is_lost = self.oracle.is_late(offset) && offset < self.life.events.reader.first();
        let is_unrecorded = self.oracle.ended_unrecorded(queue, offset);
        on_disk || in_memory || is_lost || is_unrecorded || self.ended(queue, offset, unsynced).is_some()
    }

    pub(super) fn is_one_shot(&self, queue: QueueId) -> bool {
        self.tenants.all().iter().any(|account| account.id.one_shot() == queue.as_hook())
    }

    /// Everything that a queue has to deliver is settled.
    pub(super) fn check_settled(&self, queue: QueueId, unsynced: &Unsynced, invariant: &str) {
        let due = self.oracle.due.get(&queue).into_iter().flatten();
        // No document says where the queue of an account's callflow webhooks began, so retention may remove its events
        // unnoticed.
        let first =
            if self.is_one_shot(queue) { self.life.events.reader.first() } else { EventOffset::FIRST };
        let unsettled = |offset: &EventOffset| *offset >= first && !self.is_over(queue, *offset, unsynced);
        let lost: Vec<EventOffset> = due.copied().filter(unsettled).collect();
        hold(lost.is_empty(), invariant, || format!("queue {queue}: {lost:?}"));
    }

    /// After a start, every acknowledged event is in the log, unchanged.
    pub(super) fn check_log(&self) {
        let reader = &self.life.events.reader;
        let Oracle { events, .. } = &self.oracle;
        let mut at = reader.first();
        while at < reader.end() {
            let batch = reader.read(at, 1000, 1 << 20).unwrap();
            for record in &batch.records {
                let logged = events.get(&record.offset).map(|logged| &logged.record);
                hold(logged == Some(&record.payload), "an event stays as it was logged", || {
                    record.offset.to_string()
                });
            }
            let lost = batch.damaged.iter().flat_map(|damage| damage.offsets.clone()).map(EventOffset);
            let lost: Vec<EventOffset> = lost.filter(|offset| events.contains_key(offset)).collect();
            hold(lost.is_empty(), "nothing that was acknowledged is lost", || format!("{lost:?}"));
            at = batch.next.max(at + 1);
        }
    }
}
