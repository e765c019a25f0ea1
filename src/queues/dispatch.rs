//! Handing out attempts: permits in total, per hook and per host, shared so that no hook waits for another.
//!
//! A hook may hold at most an eighth of the permits that are free (and always one while any is free). However
//! many receivers hang, some permits stay free for the others; a single busy hook still gets its own limit.

use std::collections::{HashMap, VecDeque};

use super::engine::Engine;
use super::entry::Start;
use super::replay::SHARE;
use super::slot::Slot;
use crate::model::{Hook, Id, Job, JobKey};

const FREE_SHARE: usize = 8;
/// Attempts that a hook starts in a row if it can, before it is the next one's turn: what they touch in memory is at
/// hand then. One, when more than half of all permits are taken: hooks that hang would be the first to have the rest.
const IN_A_ROW: usize = 4;

/// Permits per receiver host.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    index: HashMap<String, usize>,
    all: Vec<Host>,
    /// Hosts with a permit for somebody who waits for it.
    freed: Vec<usize>,
}

#[derive(Debug, Default)]
struct Host {
    in_flight: u32,
    parked: VecDeque<usize>,
}

impl Host {
    fn is_waited_for(&self) -> bool {
        !self.parked.is_empty()
    }
}

impl Hosts {
    /// The index of a hook's receiver: host and port of its URI.
    pub(super) fn of(&mut self, hook: &Hook) -> usize {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name = parsed.and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port_or_known_default()?)));
        let next = self.all.len();
        let at = *self.index.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if at == next {
            self.all.push(Host::default());
        }
        at
    }

    /// All hosts may have permits for those who wait: the limit is another one.
    pub(super) fn unpark_all(&mut self) {
        self.freed =
            (0..self.all.len()).filter(|at| self.all.get(*at).is_some_and(Host::is_waited_for)).collect();
    }

    /// Who has waited longest for the permit of a host that has one now.
    fn unparked(&mut self, limit: u32) -> Option<usize> {
        while let Some(at) = self.freed.last() {
            let host = self.all.get_mut(*at).filter(|host| host.in_flight < limit);
            if let Some(slot) = host.and_then(|host| host.parked.pop_front()) {
                return Some(slot);
            }
            self.freed.pop();
        }
        None
    }
}

/// Why a slot starts nothing.
enum Blocked {
    /// It has nothing (more) to start, or stands at its own limit.
    Nothing,
    /// Its host has no permit.
    Host,
    /// The total has no permit.
    Starved,
    /// It holds its share of the total: so many permits.
    OverShare(u32),
}

impl Engine {
    /// Puts a slot on the ready list.
    pub(super) fn list(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut)
            && !slot.listed
            && slot.open()
        {
            slot.listed = true;
            self.ready.push_back(at);
        }
    }

    /// Starts attempts as far as permits go, one hook after the other.
    ///
    /// A permit that is free is offered until somebody takes it: who cannot use it lets the next one try.
    pub(super) fn pump(&mut self) {
        if self.ledger.stalled() {
            return;
        }
        while let Some(at) = self.next_slot() {
            match self.take_turn(at) {
                None => {
                    self.ready.push_back(at);
                    continue;
                }
                Some(Blocked::Nothing) => self.unlist(at),
                // These stay marked as listed: a permit that is given back lists them again.
                Some(Blocked::Host) => {
                    if let Some(host) = self.host_of(at) {
                        host.parked.push_back(at);
                    }
                }
                Some(Blocked::Starved) => self.starved.push_back(at),
                Some(Blocked::OverShare(in_flight)) => {
                    self.over_share.insert((in_flight, at));
                }
            }
            self.unpark(at);
        }
    }

    /// Whose turn it is: first who waited for a permit of the total, last who holds its share already.
    fn next_slot(&mut self) -> Option<usize> {
        let free = self.options.max_in_flight.saturating_sub(self.in_flight);
        let starved = if free > 0 { self.starved.pop_front() } else { None };
        // Who waited for the host's permit goes before the one that gives it back.
        let first = starved.or_else(|| self.hosts.unparked(self.options.per_host_in_flight));
        first.or_else(|| self.ready.pop_front()).or_else(|| {
            let (in_flight, at) = self.over_share.first().copied()?;
            (free > 0 && in_flight < share(free)).then(|| self.over_share.remove(&(in_flight, at)))?;
            Some(at)
        })
    }

    fn host_of(&mut self, at: usize) -> Option<&mut Host> {
        let host = self.slots.get(at).and_then(Option::as_ref)?.host;
        self.hosts.all.get_mut(host)
    }

    /// The host of a slot that takes no permit now may have one for the next hook in line.
    fn unpark(&mut self, at: usize) {
        let host = self.slots.get(at).and_then(Option::as_ref).map(|slot| slot.host);
        self.hosts.freed.extend(host);
    }

    fn unlist(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            slot.listed = false;
            if slot.queue_waits_for_order() {
                self.catch_up(at);
            }
        }
        self.want_read(at);
        self.schedule(at);
    }

    /// Starts a few attempts of a slot; what kept it from more, if anything did.
    fn take_turn(&mut self, at: usize) -> Option<Blocked> {
        for _ in 0..IN_A_ROW {
            match self.next_job(at) {
                Ok(job) => self.send(at, job),
                Err(blocked) => return Some(blocked),
            }
            if self.in_flight > self.options.max_in_flight / 2 {
                break;
            }
        }
        None
    }

    fn next_job(&mut self, at: usize) -> Result<Job, Blocked> {
        let now = self.now_us();
        let free = self.options.max_in_flight.saturating_sub(self.in_flight);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else {
            return Err(Blocked::Nothing);
        };
        if !slot.open() || !slot.lines.iter().any(|l| l.queue.has_ready()) {
            return Err(Blocked::Nothing);
        }
        let own = slot.hook.max_in_flight.unwrap_or(self.options.per_hook_in_flight).max(1);
        if slot.in_flight >= own {
            return Err(Blocked::Nothing);
        }
        if !slot.pace.admits(now) {
            return Err(Blocked::Nothing);
        }
        if free == 0 {
            return Err(Blocked::Starved);
        }
        if slot.in_flight >= share(free) {
            return Err(Blocked::OverShare(slot.in_flight));
        }
        let host_busy = self.hosts.all.get(slot.host).map_or(0, |h| h.in_flight);
        if host_busy >= self.options.per_host_in_flight && !slot.hook.one_shot {
            return Err(Blocked::Host);
        }
        let (queue, start, replay) = start_in_turn(slot, own, now).ok_or(Blocked::Nothing)?;
        Ok(job(slot, queue, start, replay))
    }

    /// Hands an attempt to the delivery and counts it.
    pub(super) fn send(&mut self, at: usize, job: Job) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if self.over_share.remove(&(slot.in_flight, at)) {
            self.over_share.insert((slot.in_flight + 1, at));
        }
        slot.in_flight += 1;
        self.in_flight += 1;
        if let Some(host) = self.hosts.all.get_mut(slot.host) {
            host.in_flight += 1;
        }
        // The channel has a place for every permit, so this fails only when the delivery has ended.
        if self.jobs.try_send(job).is_err() {
            tracing::debug!("delivery has ended; the attempt will be made after the next start");
        }
    }

    /// Gives an attempt's permits back and lists those who waited for them.
    pub(super) fn release(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let was_over_share = self.over_share.remove(&(slot.in_flight, at));
        slot.in_flight = slot.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(host) = self.hosts.all.get_mut(slot.host) {
            host.in_flight = host.in_flight.saturating_sub(1);
            if host.is_waited_for() {
                self.hosts.freed.push(slot.host);
            }
        }
        if was_over_share {
            self.ready.push_back(at);
        }
        self.list(at);
    }
}

/// How many permits one hook may hold when so many are free.
fn share(free: usize) -> u32 {
    u32::try_from(free / FREE_SHARE).unwrap_or(u32::MAX).max(1)
}

/// The next delivery of a slot: its live queue and its replays in turn, replays within their share.
fn start_in_turn(slot: &mut Slot, own: u32, now_us: u64) -> Option<(Id, Start, bool)> {
    let replaying: u32 = slot.lines.iter().skip(1).map(|l| l.queue.in_flight()).sum();
    let count = slot.lines.len();
    for step in 0..count {
        let at = (slot.turn + step) % count;
        let Some(line) = slot.lines.get_mut(at) else { continue };
        if let Some(replay) = &mut line.replay
            && (!replay.runs()
                || replaying >= (own / SHARE).max(1)
                || !line.queue.has_ready()
                || !replay.pace.admits(now_us))
        {
            continue;
        }
        if let Some(start) = line.queue.start() {
            slot.pace.started(now_us);
            if let Some(replay) = &mut line.replay {
                replay.pace.started(now_us);
            }
            let found = (line.key, start, line.replay.is_some());
            slot.turn = (at + 1) % count;
            return Some(found);
        }
    }
    None
}

/// The attempt that a start asks for.
pub(super) fn job(slot: &Slot, queue: Id, start: Start, replay: bool) -> Job {
    Job {
        key: JobKey { queue, offset: start.offset },
        hook: slot.hook.clone(),
        record: start.record.map(super::kept::Kept::into_bytes),
        attempt: start.attempt,
        replay,
    }
}
