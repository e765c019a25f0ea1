//! Permits of the receivers' hosts. Pure.
//!
//! The first permit of a hook on its host is never refused: a hook that holds none there never waits for its neighbours,
//! however many of them hang. All further ones come from what the host has to share.

use std::collections::HashMap;

use super::tier::{Parked, Tier};
use crate::model::{AccountId, Hook};

/// A tenant may hold this many times what is free of a host's permits.
const MULTIPLE: u32 = 1;

/// The hosts of receivers, by host and port.
#[derive(Debug)]
pub(super) struct Hosts {
    index: HashMap<String, usize>,
    all: Vec<Host>,
    /// Hosts that may have a permit for a slot that waits for it.
    freed: Vec<usize>,
    /// What each host has to share.
    shared: u32,
}

/// A host, and a tenant's place among those with hooks on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct OnHost {
    pub(in crate::queues) host: usize,
    pub(super) tenant: usize,
}

#[derive(Debug)]
struct Host {
    /// Permits that are held beside the first of each hook.
    further: u32,
    tenants: Tier,
}

/// Of the permits that a hook holds, those that count against its host.
fn further(held: u32) -> u32 {
    held.saturating_sub(1)
}

impl Hosts {
    /// One hook alone may have `limit` permits on its host.
    pub(super) fn new(limit: u32) -> Self {
        Self { index: HashMap::new(), all: Vec::new(), freed: Vec::new(), shared: further(limit) }
    }

    /// Another limit. The slots that wait are asked again by the caller.
    pub(super) fn limit_to(&mut self, limit: u32) {
        self.shared = further(limit);
    }

    /// The host of a hook's receiver (host and port of its URI), and the place of the hook's tenant there.
    pub(super) fn of(&mut self, hook: &Hook, tenant: AccountId) -> OnHost {
        let parsed = url::Url::parse(&hook.uri).ok();
        let name = parsed.and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port_or_known_default()?)));
        let next = self.all.len();
        let at = *self.index.entry(name.unwrap_or_else(|| hook.account.to_string())).or_insert(next);
        if at == next {
            self.all.push(Host { further: 0, tenants: Tier::new(MULTIPLE) });
        }
        OnHost { host: at, tenant: self.all.get_mut(at).map_or(0, |host| host.tenants.of(tenant)) }
    }

    /// What each host has to share.
    pub(super) fn shared(&self) -> u32 {
        self.shared
    }

    /// Whether a hook that holds `held` permits, and leaves `leaves` to others, may take another one.
    pub(super) fn admits(&self, at: OnHost, held: u32, leaves: u32) -> bool {
        let Some(host) = self.all.get(at.host).filter(|_| held > 0) else { return true };
        host.tenants.admits(at.tenant, leaves, self.free(host))
    }

    /// A hook held `before` permits on a host and holds `after` of them now.
    pub(super) fn change(&mut self, at: OnHost, before: u32, after: u32) {
        let (before, after) = (further(before), further(after));
        let Some(host) = self.all.get_mut(at.host).filter(|_| before != after) else { return };
        host.further = (host.further + after).saturating_sub(before);
        if after > before {
            host.tenants.take(at.tenant, after - before);
        } else {
            host.tenants.give_back(at.tenant, before - after);
            self.free_up(at);
        }
    }

    /// A host may have a permit for a slot that waits for one.
    pub(super) fn free_up(&mut self, at: OnHost) {
        self.look_again(at.host);
    }

    /// Takes a host off the list of hosts to be looked at, until `look_again` puts it back.
    pub(super) fn look_later(&mut self, host: usize) {
        self.freed.retain(|freed| *freed != host);
    }

    /// A host may have a permit for a slot that waits for one.
    pub(super) fn look_again(&mut self, host: usize) {
        if self.all.get(host).is_some_and(|host| host.tenants.has_parked()) {
            self.freed.push(host);
        }
    }

    /// Keeps a slot until its tenant may take a permit of the host.
    pub(super) fn park(&mut self, at: OnHost, parked: Parked) {
        if let Some(host) = self.all.get_mut(at.host) {
            host.tenants.park(at.tenant, parked);
        }
    }

    /// Takes a slot out that was parked.
    pub(super) fn leave(&mut self, at: OnHost, parked: Parked) {
        if let Some(host) = self.all.get_mut(at.host) {
            host.tenants.leave(at.tenant, parked);
        }
    }

    /// A slot that waited for a permit of a host that has one for it now, and the host.
    pub(super) fn unpark(&mut self) -> Option<(usize, usize)> {
        while let Some(at) = self.freed.last().copied() {
            let free = self.all.get(at).map_or(0, |host| self.free(host));
            if let Some(slot) = self.all.get_mut(at).and_then(|host| host.tenants.unpark(free)) {
                return Some((slot, at));
            }
            self.freed.pop();
        }
        None
    }

    fn free(&self, host: &Host) -> u32 {
        self.shared.saturating_sub(host.further)
    }

    /// Permits that are held of a host beside the first of each hook.
    #[cfg(test)]
    pub(super) fn further(&self, at: usize) -> u32 {
        self.all.get(at).map_or(0, |host| host.further)
    }
}
