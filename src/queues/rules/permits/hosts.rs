//! Permits of the receivers' hosts. Pure.
//!
//! A hook's first permit counts for its host only while it is young (`firsts`), so a hook that holds none there hardly waits
//! for its neighbours, even if all of them hang. All further permits come from the host's shared ones.

use std::collections::HashMap;

use super::claim::{Claim, Refusal};
use super::firsts::{Firsts, TakenAt, YOUNG};
use super::on_host::{HostId, OnHost};
use super::slot_name::SlotName;
use super::tier::{HolderId, Parked, Tier};
use crate::model::{AccountId, Hook, Moment};

/// A tenant may hold this many times what is free of a host's shared permits.
const MULTIPLE: u32 = 1;

/// The permits that a hook may take in the turn of its first permit, beside that.
const IN_FIRST_TURN: u32 = 3;

/// The receivers' hosts, each a host name with a port.
#[derive(Debug)]
pub(super) struct Hosts {
    ids: HashMap<String, HostId>,
    all: Vec<Host>,
    /// Hosts to check: they may have a permit for one of their parked slots.
    to_check: Vec<HostId>,
    /// Hosts with slots that wait for their first permit. Few: each has as many young first permits as it may have.
    with_firsts: Vec<HostId>,
    /// The young first permits that a host may have, one more than its shared permits.
    limit: u32,
}

#[derive(Debug)]
struct Host {
    /// The shared permits that are held.
    held: u32,
    tenants: Tier,
    firsts: Firsts,
}

/// Of the permits that a hook holds, the number of shared ones: all but the first.
fn shared_of(held: u32) -> u32 {
    held.saturating_sub(1)
}

impl Hosts {
    /// `limit` is what one hook alone may hold on its host.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            ids: HashMap::new(),
            all: Vec::new(),
            to_check: Vec::new(),
            with_firsts: Vec::new(),
            limit: limit.max(1),
        }
    }

    /// Changes the limit. The caller lets the parked slots ask again.
    pub(super) fn limit_to(&mut self, limit: u32) {
        self.limit = limit.max(1);
    }

    /// The host of a hook's receiver, and the hook's tenant on it. Hooks without a usable URI share one host per account.
    pub(super) fn of(&mut self, hook: &Hook, tenant: AccountId) -> OnHost {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name =
            parsed.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        // Ids are never used again: a claim holds the id of its host for as long as its slot exists.
        let next = HostId(self.all.len());
        // A host's name ends with its port, so the id of an account is never the name of a host.
        let id = *self.ids.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if id == next {
            self.all.push(Host { held: 0, tenants: Tier::new(MULTIPLE), firsts: Firsts::default() });
        }
        let tenant = self.all.get_mut(id.0).map_or(HolderId::default(), |host| host.tenants.of(tenant));
        OnHost { host: id, tenant }
    }

    /// The shared permits of each host.
    pub(super) fn shared(&self) -> u32 {
        shared_of(self.limit)
    }

    /// Whether a hook that leaves `leaves` permits to others may take one.
    pub(super) fn admits(&self, claim: &Claim, leaves: u32, now: Moment) -> Result<(), Refusal> {
        let at = claim.holders.on_host;
        let Some(host) = self.all.get(at.host.0) else { return Ok(()) };
        // The first permit has rules of its own: however many permits the other hooks of the host hold, a hook
        // gets one soon.
        if claim.held == 0 {
            return host.firsts.admits(self.limit, now).then_some(()).ok_or(Refusal::First);
        }
        host.tenants.admits(at.tenant, leaves, self.free(host)).then_some(()).ok_or(Refusal::Host)
    }

    /// Whether a hook may take one more permit in the turn in which it took its first, although other hooks wait for their first
    /// permits. A quick hook starts a few attempts in its turn, because the next ones cost less: what they need is in the
    /// processor's cache. These permits count as young ones too, so the receiver gets no more attempts at a time.
    pub(super) fn goes_on(&self, claim: &Claim, now: Moment) -> bool {
        let Some(host) = self.all.get(claim.holders.on_host.host.0) else { return false };
        host.firsts.has_parked()
            && claim.first == Some(TakenAt::now(now))
            && claim.beside_first < IN_FIRST_TURN
            && claim.occupancy.takes_at_most(YOUNG)
            && host.held < self.shared()
            && host.firsts.admits(self.limit, now)
    }

    /// A hook takes its first permit.
    pub(super) fn take_first(&mut self, id: HostId, now: Moment) -> Option<TakenAt> {
        self.all.get_mut(id.0).map(|host| host.firsts.take(now))
    }

    /// A hook gives its first permit back.
    pub(super) fn give_first_back(&mut self, id: HostId, at: TakenAt) {
        if let Some(host) = self.all.get_mut(id.0) {
            host.firsts.give_back(at);
        }
    }

    /// Parks a slot until it may take its first permit.
    pub(super) fn park_first(&mut self, id: HostId, parked: Parked) {
        let Some(host) = self.all.get_mut(id.0) else { return };
        host.firsts.park(parked);
        if !self.with_firsts.contains(&id) {
            self.with_firsts.push(id);
        }
    }

    /// Removes a slot that waits for its first permit.
    pub(super) fn leave_first(&mut self, id: HostId, parked: Parked) {
        if let Some(host) = self.all.get_mut(id.0) {
            host.firsts.leave(parked);
            self.check(id);
        }
    }

    /// Removes and returns a slot that may take its first permit now, with the host.
    pub(super) fn unpark_first(&mut self, now: Moment) -> Option<(SlotName, HostId)> {
        if self.with_firsts.is_empty() {
            return None;
        }
        let (hosts, limit) = (&mut self.all, self.limit);
        self.with_firsts.retain(|id| hosts.get(id.0).is_some_and(|host| host.firsts.has_parked()));
        let found = self.with_firsts.iter().find_map(|id| {
            let host = hosts.get_mut(id.0)?;
            Some((host.firsts.unpark(limit, now)?, *id))
        });
        if let Some((_, id)) = found {
            self.check(id);
        }
        found
    }

    /// The first permits of a host, to count what is offered to other shards.
    pub(super) fn firsts(&mut self, id: HostId) -> Option<&mut Firsts> {
        self.all.get_mut(id.0).map(|host| &mut host.firsts)
    }

    /// When the next slot may take its first permit at the latest, if any slot waits for one.
    pub(super) fn first_due(&self, now: Moment) -> Option<Moment> {
        self.with_firsts.iter().filter_map(|id| self.all.get(id.0)?.firsts.due(now)).min()
    }

    /// Counts that a hook holds `after` permits on a host instead of `before`.
    pub(super) fn change(&mut self, at: OnHost, before: u32, after: u32) {
        let (before, after) = (shared_of(before), shared_of(after));
        let Some(host) = self.all.get_mut(at.host.0).filter(|_| before != after) else { return };
        host.held = (host.held + after).saturating_sub(before);
        if after > before {
            host.tenants.take(at.tenant, after - before);
        } else {
            host.tenants.give_back(at.tenant, before - after);
            self.check(at.host);
        }
    }

    /// The host may have a permit for one of its parked slots.
    pub(super) fn check(&mut self, id: HostId) {
        if self.all.get(id.0).is_some_and(|host| host.tenants.has_parked()) {
            self.to_check.push(id);
        }
    }

    /// The host is not to be checked until the next call of `check`.
    pub(super) fn check_later(&mut self, id: HostId) {
        self.to_check.retain(|other| *other != id);
    }

    /// Parks a slot until its tenant may take a permit of the host.
    pub(super) fn park(&mut self, at: OnHost, parked: Parked) {
        if let Some(host) = self.all.get_mut(at.host.0) {
            host.tenants.park(at.tenant, parked);
        }
    }

    /// Removes a parked slot.
    pub(super) fn leave(&mut self, at: OnHost, parked: Parked) {
        if let Some(host) = self.all.get_mut(at.host.0) {
            host.tenants.leave(at.tenant, parked);
        }
    }

    /// Removes and returns a parked slot that may take a permit of its host now, with the host.
    pub(super) fn unpark(&mut self) -> Option<(SlotName, HostId)> {
        // A host stays on the list while it gives permits out, because it may have more than one.
        while let Some(id) = self.to_check.last().copied() {
            let free = self.all.get(id.0).map_or(0, |host| self.free(host));
            if let Some(slot) = self.all.get_mut(id.0).and_then(|host| host.tenants.unpark(free)) {
                return Some((slot, id));
            }
            self.to_check.pop();
        }
        None
    }

    /// The shared permits of a host that a slot may take. None while other hooks wait for their first there: these go first.
    fn free(&self, host: &Host) -> u32 {
        if host.firsts.has_parked() { 0 } else { self.shared().saturating_sub(host.held) }
    }

    /// The shared permits of a host that are held.
    #[cfg(test)]
    pub(super) fn held(&self, id: HostId) -> u32 {
        self.all.get(id.0).map_or(0, |host| host.held)
    }
}
