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

/// Permits per receiver host.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    index: HashMap<String, usize>,
    hosts: Vec<Host>,
}

#[derive(Debug, Default)]
struct Host {
    in_flight: u32,
    parked: VecDeque<usize>,
}

impl Hosts {
    /// The index of a hook's receiver: host and port of its URI.
    pub(super) fn of(&mut self, hook: &Hook) -> usize {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name = parsed.and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port_or_known_default()?)));
        let next = self.hosts.len();
        let at = *self.index.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if at == next {
            self.hosts.push(Host::default());
        }
        at
    }
}

enum Next {
    Job(Job),
    /// The slot has nothing (more) to start, or stands at its own limit.
    Nothing,
    /// Its host has no permit.
    Host,
    /// The total has no permit for it.
    Starved,
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
    pub(super) fn pump(&mut self) {
        if self.ledger.stalled() {
            return;
        }
        while let Some(at) = self.ready.pop_front() {
            match self.next_job(at) {
                Next::Job(job) => {
                    self.ready.push_back(at);
                    self.send(at, job);
                }
                Next::Nothing => self.unlist(at),
                Next::Host => {
                    // It stays marked as listed: a finished attempt to its host lists it again.
                    let host = self.slots.get(at).and_then(Option::as_ref).map(|s| s.host);
                    if let Some(host) = host.and_then(|h| self.hosts.hosts.get_mut(h)) {
                        host.parked.push_back(at);
                    }
                }
                Next::Starved => self.starved.push_back(at),
            }
        }
    }

    fn unlist(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            slot.listed = false;
            if slot.queue_waits_for_order() {
                self.catch_up(at);
            }
        }
        // It may have been woken by a permit that it does not use: the next one gets it.
        let host = self.slots.get(at).and_then(Option::as_ref).map(|s| s.host);
        if let Some(host) = host.and_then(|h| self.hosts.hosts.get_mut(h))
            && host.in_flight < self.options.per_host_in_flight
        {
            self.ready.extend(host.parked.pop_front());
        }
        if self.in_flight < self.options.max_in_flight {
            self.ready.extend(self.starved.pop_front());
        }
        self.want_read(at);
        self.schedule(at);
    }

    fn next_job(&mut self, at: usize) -> Next {
        let now = self.now_us();
        let free = self.options.max_in_flight.saturating_sub(self.in_flight);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return Next::Nothing };
        if !slot.open() || !slot.lines.iter().any(|l| l.queue.has_ready()) {
            return Next::Nothing;
        }
        let own = slot.hook.max_in_flight.unwrap_or(self.options.per_hook_in_flight).max(1);
        if slot.in_flight >= own {
            return Next::Nothing;
        }
        let share = u32::try_from(free / FREE_SHARE).unwrap_or(u32::MAX).max(1);
        if free == 0 || slot.in_flight >= share {
            return Next::Starved;
        }
        let host_busy = self.hosts.hosts.get(slot.host).map_or(0, |h| h.in_flight);
        if host_busy >= self.options.per_host_in_flight && !slot.hook.one_shot {
            return Next::Host;
        }
        match start_in_turn(slot, own, now) {
            Some((queue, start, replay)) => Next::Job(job(slot, queue, start, replay)),
            None => Next::Nothing,
        }
    }

    /// Hands an attempt to the delivery and counts it.
    pub(super) fn send(&mut self, at: usize, job: Job) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        slot.in_flight += 1;
        self.in_flight += 1;
        if let Some(host) = self.hosts.hosts.get_mut(slot.host) {
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
        slot.in_flight = slot.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        let host = slot.host;
        self.list(at);
        if let Some(host) = self.hosts.hosts.get_mut(host) {
            host.in_flight = host.in_flight.saturating_sub(1);
            self.ready.extend(host.parked.pop_front());
        }
        self.ready.extend(self.starved.pop_front());
    }
}

/// The next delivery of a slot: its live queue and its replays in turn, replays within their share.
fn start_in_turn(slot: &mut Slot, own: u32, now_us: u64) -> Option<(Id, Start, bool)> {
    let replaying: u32 = slot.lines.iter().skip(1).map(|l| l.queue.in_flight()).sum();
    let count = slot.lines.len();
    for step in 0..count {
        let at = (slot.turn + step) % count;
        let Some(line) = slot.lines.get_mut(at) else { continue };
        if let Some(replay) = &mut line.replay
            && (replay.job.ended.is_some()
                || replaying >= (own / SHARE).max(1)
                || !line.queue.has_ready()
                || !replay.admit(now_us))
        {
            continue;
        }
        if let Some(start) = line.queue.start() {
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
