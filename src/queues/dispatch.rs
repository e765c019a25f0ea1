//! Handing out attempts: permits in total, per tenant, per account, per host and per hook, so that none waits for
//! another's.
//!
//! An account may hold at most as many permits as it leaves free (half of them), a tenant with all its accounts at
//! most three times as many (three quarters), and on one host a tenant as many as it leaves free there. A hook may
//! hold an eighth of what its account may still take. Each may hold one while any is free. However many receivers
//! hang, some permits stay free for the others. While there is one account only, its hooks share all permits.

use std::collections::HashMap;

use super::engine::Engine;
use super::entry::Start;
use super::over_share::OverShare;
use super::replay::SHARE;
use super::revisions::revision_tag;
use super::slot::{Places, Slot};
use super::tier::Tier;
use crate::model::{AccountId, Hook, Job, JobKey, QueueKey};

/// A tenant with all its accounts may hold this many times what is free of the total.
pub(super) const TENANT_MULTIPLE: u32 = 3;
/// An account may hold this many times what is free of the total.
pub(super) const ACCOUNT_MULTIPLE: u32 = 1;
/// A tenant may hold this many times what is free of a host's permits.
const ON_HOST_MULTIPLE: u32 = 1;
/// Attempts that a hook starts in a row if it can, before it is the next one's turn: what they touch in memory is at
/// hand then. One, when more than half of all permits are taken: hooks that hang would be the first to have the rest.
const IN_A_ROW: usize = 4;

/// Permits per receiver host.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    index: HashMap<String, usize>,
    all: Vec<Host>,
    /// Hosts that may have a permit for a slot that waits for it.
    freed: Vec<usize>,
}

#[derive(Debug)]
struct Host {
    in_flight: u32,
    tenants: Tier,
}

impl Host {
    fn free(&self, limit: u32) -> u32 {
        limit.saturating_sub(self.in_flight)
    }
}

impl Hosts {
    /// The host of a hook's receiver (host and port of its URI), and the place of the hook's tenant there.
    pub(super) fn of(&mut self, hook: &Hook, tenant: AccountId) -> (usize, usize) {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name = parsed.and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port_or_known_default()?)));
        let next = self.all.len();
        let at = *self.index.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if at == next {
            self.all.push(Host { in_flight: 0, tenants: Tier::new(ON_HOST_MULTIPLE) });
        }
        (at, self.all.get_mut(at).map_or(0, |host| host.tenants.of(tenant)))
    }

    /// Whether a tenant may take a permit of a host.
    pub(super) fn admits(&self, places: Places, limit: u32) -> bool {
        let host = self.all.get(places.host);
        host.is_none_or(|host| host.tenants.admits(places.on_host, host.free(limit)))
    }

    /// Permits that are held of a host.
    #[cfg(test)]
    pub(super) fn in_flight(&self, at: usize) -> u32 {
        self.all.get(at).map_or(0, |host| host.in_flight)
    }

    /// All hosts may have permits for slots that wait: the limit is another one.
    pub(super) fn unpark_all(&mut self) {
        self.freed = (0..self.all.len())
            .filter(|at| self.all.get(*at).is_some_and(|host| host.tenants.has_parked()))
            .collect();
    }

    /// The slot that has waited longest for a permit of a host that has one for its tenant now.
    fn unparked(&mut self, limit: u32) -> Option<usize> {
        while let Some(at) = self.freed.last() {
            let host = self.all.get_mut(*at);
            if let Some(slot) = host.and_then(|host| host.tenants.unpark(host.free(limit))) {
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
    /// Its host has no permit for its tenant.
    Host,
    /// The total has no permit.
    Starved,
    /// Its tenant holds its share of the total.
    Tenant,
    /// Its account holds its share of the total.
    Account,
    /// It holds its share of its account's permits: this many.
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
                Some(blocked) => self.set_aside(at, &blocked),
            }
            self.unpark(at);
        }
    }

    /// Whose turn it is: first who waited for a permit of the total, last who holds its share already.
    fn next_slot(&mut self) -> Option<usize> {
        let free = self.free_permits();
        let starved = if free > 0 { self.starved.pop_front() } else { None };
        let waited = starved.or_else(|| self.tenants.unpark(free)).or_else(|| self.accounts.unpark(free));
        // Who waited for the host's permit goes before the one that gives it back.
        let first = waited.or_else(|| self.hosts.unparked(self.options.per_host_in_flight));
        let first = first.or_else(|| self.ready.pop_front());
        first.or_else(|| self.over_share.pop(free, &self.accounts))
    }

    pub(super) fn free_permits(&self) -> u32 {
        u32::try_from(self.options.max_in_flight.saturating_sub(self.in_flight)).unwrap_or(u32::MAX)
    }

    /// Where the permits of a hook's slot are counted.
    pub(super) fn places_of(&mut self, hook: &Hook) -> Places {
        let tenant = self.state.tenant_of(hook.account);
        let (host, on_host) = self.hosts.of(hook, tenant);
        Places { tenant: self.tenants.of(tenant), account: self.accounts.of(hook.account), host, on_host }
    }

    /// A hook's receiver is at another host now: its permits are counted there from now on, those of attempts under way
    /// too, and it waits no longer for a permit of the former host.
    pub(super) fn move_permits(&mut self, at: usize, places: Places) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let (before, held) = (slot.places, slot.in_flight);
        if before == places && slot.next_places.is_none() {
            return;
        }
        if held > 0 && (before.account != places.account || slot.next_places.is_some()) {
            slot.next_places = Some(places);
            return;
        }
        (slot.places, slot.next_places) = (places, None);
        if slot.listed {
            self.ready.push_back(at);
        }
        for _ in 0..held {
            self.tenants.give_back(before.tenant);
            self.tenants.take(places.tenant);
        }
        if let Some(host) = self.hosts.all.get_mut(before.host) {
            host.in_flight = host.in_flight.saturating_sub(held);
            (0..held).for_each(|_| host.tenants.give_back(before.on_host));
            self.hosts.freed.push(before.host);
        }
        if let Some(host) = self.hosts.all.get_mut(places.host) {
            host.in_flight += held;
            (0..held).for_each(|_| host.tenants.take(places.on_host));
        }
    }

    /// Keeps a slot where the permit that it lacks brings it back.
    fn set_aside(&mut self, at: usize, blocked: &Blocked) {
        let Some(places) = self.slots.get(at).and_then(Option::as_ref).map(|slot| slot.places) else {
            return;
        };
        match blocked {
            Blocked::Nothing => {}
            Blocked::Host => {
                if let Some(host) = self.hosts.all.get_mut(places.host) {
                    host.tenants.park(places.on_host, at);
                }
            }
            Blocked::Starved => self.starved.push_back(at),
            Blocked::Tenant => self.tenants.park(places.tenant, at),
            Blocked::Account => self.accounts.park(places.account, at),
            Blocked::OverShare(held) => {
                let of_account = self.accounts.held(places.account);
                self.over_share.insert(places.account, of_account, (*held, at));
            }
        }
    }

    /// The host of a slot that takes no permit now may have one for the next hook in line.
    fn unpark(&mut self, at: usize) {
        let host = self.slots.get(at).and_then(Option::as_ref).map(|slot| slot.places.host);
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
        let free = self.free_permits();
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
        if !slot.trial.admits() || slot.asked_until_us.is_some_and(|until| now < until) {
            return Err(Blocked::Nothing);
        }
        if !slot.pace.admits(now) {
            return Err(Blocked::Nothing);
        }
        if free == 0 {
            return Err(Blocked::Starved);
        }
        let places = slot.places;
        if !self.tenants.admits(places.tenant, free) {
            return Err(Blocked::Tenant);
        }
        if !self.accounts.admits(places.account, free) {
            return Err(Blocked::Account);
        }
        if !OverShare::admits(slot.in_flight, places.account, free, &self.accounts) {
            return Err(Blocked::OverShare(slot.in_flight));
        }
        let admitted = self.hosts.admits(places, self.options.per_host_in_flight);
        if !admitted && !slot.hook.one_shot {
            return Err(Blocked::Host);
        }
        let (queue, start, replay) = start_in_turn(slot, own, now).ok_or(Blocked::Nothing)?;
        Ok(job(slot, queue, start, replay))
    }

    /// Hands an attempt to the delivery and counts it.
    pub(super) fn send(&mut self, at: usize, job: Job) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let places = slot.places;
        if let Some(revision) = slot.revision.renewed(&slot.hook, self.clock.now_us()) {
            self.ledger.push(revision_tag(slot.hook.id), self.clock.now_us(), &revision);
        }
        let of_account = self.accounts.held(places.account);
        let was_over_share = self.over_share.remove(places.account, of_account, (slot.in_flight, at));
        slot.trial.started(job.key);
        slot.in_flight += 1;
        let held = slot.in_flight;
        self.in_flight += 1;
        self.tenants.take(places.tenant);
        self.accounts.take(places.account);
        self.over_share.follow(places.account, of_account, of_account + 1);
        if was_over_share {
            self.over_share.insert(places.account, of_account + 1, (held, at));
        }
        if let Some(host) = self.hosts.all.get_mut(places.host) {
            host.in_flight += 1;
            host.tenants.take(places.on_host);
        }
        // The channel has a place for every permit, so this fails only when the delivery has ended.
        if self.jobs.try_send(job).is_err() {
            tracing::debug!("delivery has ended; the attempt will be made after the next start");
        }
    }

    /// Gives an attempt's permits back and lists those who waited for them.
    pub(super) fn release(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let places = slot.places;
        let of_account = self.accounts.held(places.account);
        let was_over_share = self.over_share.remove(places.account, of_account, (slot.in_flight, at));
        slot.in_flight = slot.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.tenants.give_back(places.tenant);
        self.accounts.give_back(places.account);
        self.over_share.follow(places.account, of_account, self.accounts.held(places.account));
        if let Some(host) = self.hosts.all.get_mut(places.host) {
            host.in_flight = host.in_flight.saturating_sub(1);
            host.tenants.give_back(places.on_host);
            if host.tenants.has_parked() {
                self.hosts.freed.push(places.host);
            }
        }
        if was_over_share {
            self.ready.push_back(at);
        }
        self.list(at);
    }
}

/// The next delivery of a slot: its live queue and its replays in turn, replays within their share.
fn start_in_turn(slot: &mut Slot, own: u32, now_us: u64) -> Option<(QueueKey, Start, bool)> {
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
pub(super) fn job(slot: &Slot, queue: QueueKey, start: Start, replay: bool) -> Job {
    Job {
        key: JobKey { queue, offset: start.offset },
        hook: slot.hook.clone(),
        record: start.record.map(super::kept::Kept::into_bytes),
        attempt: start.attempt,
        replay,
    }
}
