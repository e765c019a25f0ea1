//! What one slot holds of the permits, and what it waits for.

use super::firsts::TakenAt;
use super::occupancy::Occupancy;
use super::on_host::OnHost;
use super::tier::{HolderId, Parked};

/// The tenant, account and host for which the permits of a slot count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct Places {
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
    pub(super) places: Places,
    /// The places once the slot holds nothing, if its hook has changed while attempts were under way.
    pub(super) next_places: Option<Places>,
    pub(super) held: u32,
    /// When it took its first permit. `None`: it holds none, or its hook's host has changed since.
    pub(super) first: Option<TakenAt>,
    pub(super) occupancy: Occupancy,
    pub(super) wait: Option<Wait>,
}

impl Claim {
    /// The claim of a slot that holds nothing and waits for nothing.
    pub(in crate::queues) fn new(places: Places) -> Self {
        Self { places, next_places: None, held: 0, first: None, occupancy: Occupancy::default(), wait: None }
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

    /// The places for which its permits count.
    #[cfg(test)]
    pub(in crate::queues) fn places(&self) -> Places {
        self.places
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

    /// Whether the slot holds a first permit that counts for its host.
    #[cfg(test)]
    pub(in crate::queues) fn is_young(&self, now: crate::model::Moment) -> bool {
        self.first.is_some_and(|first| !first.is_old(now))
    }
}
