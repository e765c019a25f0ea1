//! Permits of the receivers' hosts. Pure.
//!
//! A hook's first permit on its host is never refused, so a hook that holds none there never waits for its neighbours, even
//! if all of them hang. All further permits come from the host's shared ones.

use std::collections::HashMap;

use super::SlotName;
use super::tier::{HolderId, Parked, Tier};
use crate::model::{AccountId, Hook};

/// A tenant may hold this many times what is free of a host's shared permits.
const MULTIPLE: u32 = 1;

/// The receivers' hosts, each a host name with a port.
#[derive(Debug)]
pub(super) struct Hosts {
    ids: HashMap<String, HostId>,
    all: Vec<Host>,
    /// Hosts to check: they may have a permit for one of their parked slots.
    to_check: Vec<HostId>,
    /// The shared permits of each host.
    shared: u32,
}

/// Names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::queues) struct HostId(usize);

/// A host, and a tenant among those with hooks on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct OnHost {
    pub(in crate::queues) host: HostId,
    pub(super) tenant: HolderId,
}

#[derive(Debug)]
struct Host {
    /// The shared permits that are held.
    held: u32,
    tenants: Tier,
}

/// Of the permits that a hook holds, the number of shared ones: all but the first.
fn shared_of(held: u32) -> u32 {
    held.saturating_sub(1)
}

impl Hosts {
    /// `limit` is what one hook alone may hold on its host.
    pub(super) fn new(limit: u32) -> Self {
        Self { ids: HashMap::new(), all: Vec::new(), to_check: Vec::new(), shared: shared_of(limit) }
    }

    /// Changes the limit. The caller lets the parked slots ask again.
    pub(super) fn limit_to(&mut self, limit: u32) {
        self.shared = shared_of(limit);
    }

    /// The host of a hook's receiver, and the hook's tenant on it. Hooks without a usable URI share one host per account.
    pub(super) fn of(&mut self, hook: &Hook, tenant: AccountId) -> OnHost {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name =
            parsed.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
        let next = HostId(self.all.len());
        let id = *self.ids.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if id == next {
            self.all.push(Host { held: 0, tenants: Tier::new(MULTIPLE) });
        }
        let tenant = self.all.get_mut(id.0).map_or(HolderId::default(), |host| host.tenants.of(tenant));
        OnHost { host: id, tenant }
    }

    /// The shared permits of each host.
    pub(super) fn shared(&self) -> u32 {
        self.shared
    }

    /// Whether a hook that holds `held` permits and leaves `leaves` to others may take another one.
    pub(super) fn admits(&self, at: OnHost, held: u32, leaves: u32) -> bool {
        // The first permit is not a shared one.
        let Some(host) = self.all.get(at.host.0).filter(|_| held > 0) else { return true };
        host.tenants.admits(at.tenant, leaves, self.free(host))
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

    fn free(&self, host: &Host) -> u32 {
        self.shared.saturating_sub(host.held)
    }

    /// The shared permits of a host that are held.
    #[cfg(test)]
    pub(super) fn held(&self, id: HostId) -> u32 {
        self.all.get(id.0).map_or(0, |host| host.held)
    }
}
