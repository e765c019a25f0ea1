//! Events of accounts that are not known yet: which events wait, for how long, and which were given up.
//!
//! An account's document may arrive after its first events. These events are in the log like all others; this is the list of
//! their offsets. Only the engine writes the list; others read counts, and where a new hook should begin. The list is
//! bounded in time and in bytes, so an account that never becomes known costs little.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::options::UnknownLimits;
use crate::model::{AccountId, EventOffset, Moment, Now, WallTime};
use crate::queues::ledger::record::HeldEvent;
use crate::queues::rules::partitions::Partitions;

/// Bytes that an event counts in addition to its record, for its entry in the list.
const OVERHEAD: u64 = 64;

/// An event that waits.
#[derive(Debug, Clone, Copy)]
struct Held {
    offset: EventOffset,
    bytes: u64,
    since: Moment,
    awaited_by: Partitions,
}

#[derive(Debug, Default)]
struct OfAccount {
    events: VecDeque<Held>,
    bytes: u64,
}

/// How many events wait for their accounts, and what became of others since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownCounts {
    /// Accounts with waiting events.
    pub accounts: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events that were routed because their account became known.
    pub routed: u64,
    /// Events given up because they waited too long.
    pub expired: u64,
    /// Events given up because too many bytes waited.
    pub no_room: u64,
    /// Events that retention had dropped when their account became known.
    pub gone: u64,
    /// When the last event was given up, and its account.
    pub last_given_up: Option<(WallTime, AccountId)>,
}

impl UnknownCounts {
    /// All events that were given up since the start.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.expired + self.no_room + self.gone
    }
}

/// What became of the waiting events of an account that is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adopted {
    /// Events that were offered to hooks.
    pub(super) routed: u64,
    /// Events that retention had dropped.
    pub(super) gone: u64,
}

/// The list of waiting events. See the module's documentation.
#[derive(Debug, Default)]
pub struct Unknown(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    accounts: HashMap<AccountId, OfAccount>,
    /// Accounts by their waiting bytes. The largest one gives way.
    by_bytes: BTreeSet<(u64, AccountId)>,
    /// Accounts that became known a short while ago: the first event that waited, and until when new hooks of the
    /// account begin there.
    became_known: HashMap<AccountId, (EventOffset, Moment)>,
    bytes: u64,
    counts: UnknownCounts,
}

impl Unknown {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> UnknownCounts {
        let inner = self.inner();
        let waiting = inner.accounts.values().map(|of| of.events.len() as u64).sum();
        UnknownCounts { accounts: inner.accounts.len() as u64, waiting, bytes: inner.bytes, ..inner.counts }
    }

    /// Where a hook that is made now for `account` should begin if events came before the account was known: at the first
    /// event that still waits, or that waited until a short while ago.
    #[must_use]
    pub fn first_waiting(&self, account: AccountId) -> Option<EventOffset> {
        let inner = self.inner();
        let waiting = inner.accounts.get(&account).and_then(|of| of.events.front()).map(|held| held.offset);
        waiting.or_else(|| inner.became_known.get(&account).map(|(offset, _)| *offset))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.inner().accounts.is_empty()
    }

    /// Whether events of this account wait.
    pub(super) fn holds(&self, account: AccountId) -> bool {
        self.inner().accounts.contains_key(&account)
    }

    /// Every account with waiting events, in the order of their ids.
    pub(super) fn accounts(&self) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self.inner().accounts.keys().copied().collect();
        accounts.sort_unstable();
        accounts
    }

    /// Lets an event wait. If too many bytes wait then, the account with the most bytes loses its oldest events.
    pub(super) fn hold(&self, event: HeldEvent, limits: UnknownLimits, now: Now) {
        if limits.is_off() {
            return;
        }
        let HeldEvent { account, offset, bytes, awaited_by } = event;
        let mut inner = self.inner();
        inner.put(account, Held { offset, bytes: bytes + OVERHEAD, since: now.moment, awaited_by });
        // The largest account gives way, so that an account which never becomes known cannot drive out the others.
        while inner.bytes > limits.bytes
            && let Some((_, largest)) = inner.by_bytes.last().copied()
        {
            inner.drop_first(largest);
            inner.counts.no_room += 1;
            inner.counts.last_given_up = Some((now.wall, largest));
        }
    }

    /// Gives up events that have waited too long for an account that is still unknown. Events of an account that has become known
    /// meanwhile are about to be routed, however long the program had stood still.
    pub(super) fn expire(&self, limits: UnknownLimits, now: Now, is_known: impl Fn(AccountId) -> bool) {
        let mut inner = self.inner();
        inner.became_known.retain(|_, (_, until)| *until > now.moment);
        let is_over = |held: &Held| held.since + limits.wait <= now.moment;
        let due = |of: &OfAccount| of.events.front().is_some_and(is_over);
        let over: Vec<AccountId> =
            inner.accounts.iter().filter(|(_, of)| due(of)).map(|(account, _)| *account).collect();
        let over = over.into_iter().filter(|account| !is_known(*account));
        for account in over {
            while inner.accounts.get(&account).is_some_and(due) {
                inner.drop_first(account);
                inner.counts.expired += 1;
            }
            inner.counts.last_given_up = Some((now.wall, account));
        }
    }

    /// The account is known now: takes its events off the list, in order. For another `limits.wait`, new hooks of the account
    /// begin at the first of these events.
    pub(super) fn take(&self, account: AccountId, limits: UnknownLimits, now: Moment) -> Vec<HeldEvent> {
        let mut inner = self.inner();
        let Some(of) = inner.accounts.remove(&account) else { return Vec::new() };
        inner.by_bytes.remove(&(of.bytes, account));
        inner.bytes -= of.bytes;
        if let Some(first) = of.events.front() {
            inner.became_known.insert(account, (first.offset, now + limits.wait));
        }
        of.events.into_iter().map(|held| held.event(account)).collect()
    }

    /// Counts what became of the events that [`Self::take`] returned.
    pub(super) fn adopted(&self, account: AccountId, adopted: Adopted, wall: WallTime) {
        let Adopted { routed, gone } = adopted;
        let mut inner = self.inner();
        inner.counts.routed += routed;
        inner.counts.gone += gone;
        if gone > 0 {
            inner.counts.last_given_up = Some((wall, account));
        }
    }

    /// Nothing waits for these partitions any more.
    pub(super) fn lose(&self, partitions: Partitions) {
        let mut inner = self.inner();
        let Inner { accounts, by_bytes, bytes, .. } = &mut *inner;
        accounts.retain(|account, of| {
            by_bytes.remove(&(of.bytes, *account));
            for held in &mut of.events {
                held.awaited_by = held.awaited_by.without(partitions);
            }
            of.events.retain(|held| !held.awaited_by.is_empty());
            let left = of.events.iter().map(|held| held.bytes).sum();
            *bytes -= of.bytes - left;
            of.bytes = left;
            if !of.events.is_empty() {
                by_bytes.insert((left, *account));
            }
            !of.events.is_empty()
        });
    }

    /// All waiting events for a checkpoint, in the order of the log.
    pub(super) fn image(&self) -> Vec<HeldEvent> {
        let inner = self.inner();
        let mut image = BTreeMap::new();
        for (account, of) in &inner.accounts {
            image.extend(of.events.iter().map(|held| (held.offset, held.event(*account))));
        }
        image.into_values().collect()
    }
}

impl Held {
    fn event(&self, account: AccountId) -> HeldEvent {
        let Self { offset, bytes, awaited_by, .. } = *self;
        HeldEvent { account, offset, bytes: bytes.saturating_sub(OVERHEAD), awaited_by }
    }
}

impl Inner {
    fn put(&mut self, account: AccountId, held: Held) {
        let of = self.accounts.entry(account).or_default();
        let place = of.events.partition_point(|other| other.offset < held.offset);
        // It may wait for other partitions already.
        if let Some(known) = of.events.get_mut(place).filter(|known| known.offset == held.offset) {
            known.awaited_by = known.awaited_by.with(held.awaited_by);
            return;
        }
        self.by_bytes.remove(&(of.bytes, account));
        of.events.insert(place, held);
        of.bytes += held.bytes;
        self.bytes += held.bytes;
        self.by_bytes.insert((of.bytes, account));
    }

    fn drop_first(&mut self, account: AccountId) {
        let Some(of) = self.accounts.get_mut(&account) else { return };
        self.by_bytes.remove(&(of.bytes, account));
        if let Some(held) = of.events.pop_front() {
            of.bytes -= held.bytes;
            self.bytes -= held.bytes;
        }
        if of.events.is_empty() {
            self.accounts.remove(&account);
        } else {
            self.by_bytes.insert((of.bytes, account));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: UnknownLimits = UnknownLimits { wait: Duration::from_secs(10), bytes: 10 * 164 };

    fn event(account: u128, offset: u64) -> HeldEvent {
        HeldEvent {
            account: AccountId(account),
            offset: EventOffset(offset),
            bytes: 100,
            awaited_by: Partitions::ALL,
        }
    }

    fn taken(unknown: &Unknown, account: u128, now: Moment) -> Vec<u64> {
        unknown.take(AccountId(account), LIMITS, now).iter().map(|event| event.offset.0).collect()
    }

    fn at(seconds: u64) -> Now {
        let us = seconds * 1_000_000;
        Now { moment: Moment::from_micros(us), wall: WallTime::from_micros(us) }
    }

    #[test]
    fn the_account_with_the_most_bytes_gives_way_and_all_that_is_given_up_is_counted() {
        let unknown = Unknown::default();
        unknown.hold(event(1, 0), LIMITS, at(0));
        for offset in 1..100 {
            unknown.hold(event(2, offset), LIMITS, at(1));
        }
        assert_eq!(taken(&unknown, 1, at(0).moment), [0], "a noisy account drives out nobody else's events");
        assert_eq!(taken(&unknown, 2, at(0).moment), (91..100).collect::<Vec<_>>());
        let counts = unknown.counts();
        assert_eq!((counts.no_room, counts.waiting, counts.bytes), (90, 0, 0));
        assert_eq!(counts.last_given_up, Some((at(1).wall, AccountId(2))));
    }

    #[test]
    fn what_has_waited_too_long_is_given_up_and_what_has_not_stays() {
        let unknown = Unknown::default();
        unknown.hold(event(1, 5), LIMITS, at(0));
        unknown.hold(event(1, 6), LIMITS, at(7));
        unknown.expire(LIMITS, at(10), |_| false);
        assert_eq!(unknown.first_waiting(AccountId(1)), Some(EventOffset(6)));
        assert_eq!((unknown.counts().expired, unknown.image()), (1, vec![event(1, 6)]));
    }

    #[test]
    fn a_hook_made_soon_after_its_account_begins_at_the_first_event_that_waited() {
        let unknown = Unknown::default();
        unknown.hold(event(1, 5), LIMITS, at(0));
        assert_eq!(taken(&unknown, 1, at(3).moment), [5]);
        assert_eq!(unknown.first_waiting(AccountId(1)), Some(EventOffset(5)));
        unknown.expire(LIMITS, at(13), |_| false);
        assert_eq!(unknown.first_waiting(AccountId(1)), None);
    }

    #[test]
    fn an_event_waits_once_whatever_partitions_it_waits_for() {
        let unknown = Unknown::default();
        let (one, other) = (Partitions::share(0, 2), Partitions::share(1, 2));
        unknown.hold(HeldEvent { awaited_by: one, ..event(1, 7) }, LIMITS, at(0));
        unknown.hold(HeldEvent { awaited_by: other, ..event(1, 5) }, LIMITS, at(0));
        unknown.hold(HeldEvent { awaited_by: other, ..event(1, 7) }, LIMITS, at(0));
        assert_eq!((unknown.counts().waiting, unknown.counts().bytes), (2, 328));
        unknown.lose(other);
        assert_eq!(unknown.image(), [HeldEvent { awaited_by: one, ..event(1, 7) }]);
        assert_eq!(unknown.counts().bytes, 164);
        unknown.lose(one);
        assert_eq!((unknown.is_empty(), unknown.counts().bytes), (true, 0));
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_wait() {
        let unknown = Unknown::default();
        for off in [UnknownLimits { bytes: 0, ..LIMITS }, UnknownLimits { wait: Duration::ZERO, ..LIMITS }] {
            unknown.hold(event(1, 5), off, at(0));
            assert_eq!(unknown.counts(), UnknownCounts::default());
        }
    }
}
