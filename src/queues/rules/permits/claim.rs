//! What one slot holds of the permits, and what it waits for.

use super::firsts::TakenAt;
use super::occupancy::Occupancy;
use super::on_host::OnHost;
use super::tier::{HolderId, Parked};

/// The tenant, account and host that hold the permits of a slot. All their limits apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct Holders {
    pub(in crate::queues) tenant: HolderId,
    pub(in crate::queues) account: HolderId,
    pub(in crate::queues) on_host: OnHost,
}

/// The limit because of which a slot may not take a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Refusal {
    /// The limit of its tenant.
    Tenant,
    /// The limit of its account.
    Account,
    /// Its own share of its account's permits.
    OverShare,
    /// The limit of its host.
    Host,
    /// The limit of young first permits on its host.
    First,
}

/// What a slot waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// For its turn.
    Ready,
    /// For a permit that it was refused.
    Refused(Refusal, Parked),
}

/// What a slot holds, and what it waits for.
#[derive(Debug)]
pub(in crate::queues) struct Claim {
    pub(super) holders: Holders,
    /// The holders from the moment at which the slot holds no permit, if its hook has changed while attempts were under way.
    /// Boxed, because there are many claims, and this is rare.
    pub(super) next_holders: Option<Box<Holders>>,
    pub(super) held: u32,
    /// When it took its first permit. `None`: it holds none, or its hook's host has changed since.
    pub(super) first: Option<TakenAt>,
    /// How many of the permits that it took in the turn of its first count as young, as that does.
    pub(super) beside_first: u32,
    pub(super) occupancy: Occupancy,
    pub(super) wait: Option<Wait>,
}

impl Claim {
    /// The claim of a slot that holds nothing and waits for nothing.
    pub(in crate::queues) fn new(holders: Holders) -> Self {
        Self {
            holders,
            next_holders: None,
            held: 0,
            first: None,
            beside_first: 0,
            occupancy: Occupancy::default(),
            wait: None,
        }
    }

    /// The permits that the slot holds: its attempts under way.
    pub(in crate::queues) fn held(&self) -> u32 {
        self.held
    }

    /// Whether the slot waits for its turn or for a permit.
    pub(in crate::queues) fn waits(&self) -> bool {
        self.wait.is_some()
    }

    pub(super) fn was_refused(&self) -> bool {
        matches!(self.wait, Some(Wait::Refused(..)))
    }

    /// The holders for which its permits count.
    #[cfg(test)]
    pub(in crate::queues) fn holders(&self) -> Holders {
        self.holders
    }

    /// Whether the slot waits for a permit of its host beside its first.
    #[cfg(test)]
    pub(in crate::queues) fn waits_for_host(&self) -> bool {
        matches!(self.wait, Some(Wait::Refused(Refusal::Host, _)))
    }

    /// Whether the slot waits for its first permit on its host.
    #[cfg(test)]
    pub(in crate::queues) fn waits_for_first(&self) -> bool {
        matches!(self.wait, Some(Wait::Refused(Refusal::First, _)))
    }

    /// How many of its permits count as young first permits on its host.
    #[cfg(test)]
    pub(in crate::queues) fn young(&self, now: crate::model::Moment) -> u32 {
        self.first.filter(|first| !first.is_old(now)).map_or(0, |_| 1 + self.beside_first)
    }
}
