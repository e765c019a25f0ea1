//! What is true in a simulation, known without the engine: the events in the log, the hooks that have to get them, and what
//! the ledger says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hold;
use super::recorded::{Due, Ended, Unsynced, due_of, outcome_of};
use super::tenants::Tenants;
use crate::kazoo;
use crate::log::ReaderOf;
use crate::model::{
    Account, AccountId, Event, EventOffset, Family, Hook, HookId, LedgerOffset, Moment, QueueId, ReplayId,
    ReplayOnly,
};
use crate::queues::{Directory, LedgerRecord, Outcome, ReplayJob, in_reach};

/// Ids from here on are given to hooks, replays and accounts that come later. The first accounts have lower ones.
pub(super) const FIRST_NEW_ID: u128 = 1000;

/// An event in the log.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) account: AccountId,
    pub(super) subject: String,
    pub(super) record: bytes::Bytes,
    /// When it was known to be in the log.
    since: Moment,
    /// Whether its account was unknown then.
    is_late: bool,
}

/// What is the case when an event is logged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logging<'a> {
    pub(super) at: Moment,
    pub(super) tenants: &'a Tenants,
}

/// The deliveries of one queue, according to the ledger on disk.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The settled ones.
    pub(super) settled: BTreeMap<EventOffset, Ended>,
    /// The gaps that retention has made: from, to.
    pub(super) gaps: Vec<(EventOffset, EventOffset)>,
    /// By delivery, what followed from its last attempt.
    pub(super) last: BTreeMap<EventOffset, Outcome>,
    /// By delivery, when its next attempt is due.
    due: BTreeMap<EventOffset, Due>,
}

/// What is true.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) events: BTreeMap<EventOffset, Logged>,
    /// By queue, what it has to deliver.
    pub(super) due: BTreeMap<QueueId, BTreeSet<EventOffset>>,
    /// Every version that a hook has had, also one that was deleted and had the same id.
    versions: BTreeMap<HookId, Vec<Arc<Hook>>>,
    /// By hook: the latest of its versions that an engine has had.
    had: BTreeMap<HookId, usize>,
    /// By hook: its first version, if deleted hooks had the same id.
    made: BTreeMap<HookId, usize>,
    courses: BTreeMap<QueueId, Course>,
    /// By delivery, its attempt that was started last.
    started: BTreeMap<(QueueId, EventOffset), u16>,
    /// The ledger has been read up to here.
    ledger: LedgerOffset,
    /// Deliveries whose end may never have got to the ledger's disk, and whether any record there is damaged.
    torn: BTreeSet<(QueueId, EventOffset)>,
    is_torn: bool,
    /// Settlements on disk.
    pub(super) settlements: u64,
}

/// Whether a hook asks for an event.
pub(super) fn wants(hook: &Hook, account: &Account, event: &Event<'_>) -> bool {
    in_reach(hook, account) && kazoo::wanted(hook, event)
}

impl Oracle {
    /// A hook is new or has changed. Events that it no longer wants are not due.
    pub(super) fn hook_put(
        &mut self,
        hook: &Arc<Hook>,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        self.versions.entry(hook.id).or_default().push(hook.clone());
        let events = &self.events;
        self.due.entry(hook.id.into()).or_default().retain(|offset| {
            let Some(logged) = events.get(offset) else { return false };
            let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account))
            else {
                return false;
            };
            *offset >= hook.start_offset && wants(hook, &account, &event)
        });
    }

    /// The queue of a hook, a replay or an account's callflows is gone.
    pub(super) fn queue_gone(&mut self, queue: QueueId) {
        self.due.remove(&queue);
    }

    /// An account is gone, so its events are not due.
    pub(super) fn account_gone(&mut self, account: AccountId) {
        let events = &self.events;
        for due in self.due.values_mut() {
            due.retain(|offset| events.get(offset).is_some_and(|event| event.account != account));
        }
        self.queue_gone(account.one_shot().into());
    }

    /// Whether any version of a hook has wanted an event.
    pub(super) fn may_get(
        &self,
        hook: &Hook,
        offset: EventOffset,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) -> bool {
        let Some(logged) = self.events.get(&offset) else { return false };
        let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account)) else {
            return false;
        };
        if hook.one_shot {
            return event.family == Some(Family::Callflow) && account.id == hook.account;
        }
        self.versions.get(&hook.id).into_iter().flatten().any(|version| wants(version, &account, &event))
    }

    /// A hook is made, perhaps under the id of a deleted one.
    pub(super) fn hook_made(&mut self, hook: HookId) {
        self.made.insert(hook, self.versions_of(hook));
    }

    /// How many versions a hook has had.
    pub(super) fn versions_of(&self, hook: HookId) -> usize {
        self.versions.get(&hook).map_or(0, Vec::len)
    }

    /// An engine has this version of a hook. Returns whether no engine has had a later one before.
    pub(super) fn has_version(&mut self, hook: &Arc<Hook>) -> bool {
        let versions = self.versions.get(&hook.id).map_or(&[][..], Vec::as_slice);
        // Callflow webhooks have no document, so they have no versions.
        let Some(at) = versions.iter().rposition(|version| Arc::ptr_eq(version, hook)) else { return true };
        let latest = self.had.entry(hook.id).or_default();
        let follows = at >= *latest;
        *latest = at;
        follows
    }

    /// Whether all versions of a hook have wanted an event since the hook had that number of versions.
    pub(super) fn still_wanted(
        &self,
        queue: QueueId,
        offset: EventOffset,
        versions: usize,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) -> bool {
        let Some(logged) = self.events.get(&offset) else { return false };
        let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account)) else {
            return false;
        };
        if versions == 0 {
            return QueueId::from(account.id.one_shot()) == queue;
        }
        let since =
            self.versions.get(&queue.as_hook()).into_iter().flatten().skip(versions.saturating_sub(1));
        self.due.contains_key(&queue) && since.into_iter().all(|hook| wants(hook, &account, &event))
    }

    /// A replay has started: what its hook wants in its range is due.
    pub(super) fn replay(
        &mut self,
        job: &ReplayJob,
        hook: &Hook,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        let chosen = |offset: &EventOffset| job.only != ReplayOnly::Chosen || job.offsets.contains(offset);
        let due = self.events.range(job.from..job.until).map(|(offset, _)| *offset).filter(chosen).collect();
        self.due.insert(job.id.into(), due);
        self.narrow(job.id, hook, account_of);
    }

    /// Events that a replay's hook no longer wants are not due for the replay.
    pub(super) fn narrow(
        &mut self,
        replay: ReplayId,
        hook: &Hook,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        let events = &self.events;
        let Some(due) = self.due.get_mut(&replay.into()) else { return };
        due.retain(|offset| {
            let Some(logged) = events.get(offset) else { return false };
            let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account))
            else {
                return false;
            };
            wants(hook, &account, &event)
        });
    }

    pub(super) fn same_subject(&self, one: EventOffset, other: EventOffset) -> bool {
        let subject = |offset| self.events.get(&offset).map(|event| (event.account, &event.subject));
        subject(one) == subject(other)
    }

    /// Whether a hook has ever had another ordering than at first.
    pub(super) fn has_changed_order(&self, hook: HookId) -> bool {
        let made = self.made.get(&hook).copied().unwrap_or(0);
        let versions = self.versions.get(&hook).into_iter().flatten().skip(made);
        let mut orders = versions.map(|version| version.ordering);
        let first = orders.next();
        orders.any(|order| Some(order) != first)
    }

    pub(super) fn has_account_of(&self, offset: EventOffset, tenants: &Tenants) -> bool {
        self.events.get(&offset).is_some_and(|event| tenants.account(event.account).is_some())
    }

    /// An event is in the log. Returns its account.
    pub(super) fn logged(
        &mut self,
        offset: EventOffset,
        record: bytes::Bytes,
        now: Logging<'_>,
    ) -> AccountId {
        let event = Event::decode(&record).unwrap();
        let (account, subject) = (event.account.unwrap_or_default(), event.subject.to_owned());
        let is_late = now.tenants.account(account).is_none();
        self.events.insert(offset, Logged { account, subject, record, since: now.at, is_late });
        account
    }

    /// The events of an account that have been in the log since this time.
    pub(super) fn logged_since(&self, account: AccountId, since: Moment) -> Vec<EventOffset> {
        let of_account = self.events.iter().filter(|(_, logged)| logged.account == account);
        of_account.filter(|(_, logged)| logged.since >= since).map(|(offset, _)| *offset).collect()
    }

    /// Whether an event may have waited for its account. It is then delivered after events that are behind it in the log.
    pub(super) fn is_late(&self, offset: EventOffset) -> bool {
        self.events.get(&offset).is_some_and(|logged| logged.is_late)
    }

    /// A time that was reached when the process died stays reached, also if the clock is set back then.
    pub(super) fn forget_reached(&mut self, died_at: Moment) {
        self.courses.values_mut().for_each(|course| course.due.retain(|_, due| due.at > died_at));
    }

    /// After a start, no retry is due later than this, whatever the clock showed when the retry was recorded.
    pub(super) fn due_at_most(&mut self, latest: Moment) {
        for due in self.courses.values_mut().flat_map(|course| course.due.values_mut()) {
            due.at = due.at.min(latest);
        }
    }

    /// Notes events in the log that were not answered because the process died. From now on they have to stay.
    pub(super) fn find(&mut self, events: &ReaderOf<EventOffset>, now: Logging<'_>) {
        let mut at = self.events.last_key_value().map_or(EventOffset::FIRST, |(last, _)| *last + 1);
        while at < events.end() {
            let batch = events.read(at, 100, 1 << 20).unwrap();
            for record in batch.records {
                self.logged(record.offset, record.payload, now);
            }
            at = batch.next;
        }
    }

    /// When a delivery is due again, according to the ledger.
    pub(super) fn due_of(&self, queue: QueueId, offset: EventOffset, unsynced: &Unsynced) -> Option<Moment> {
        let on_disk = || self.course(queue)?.due.get(&offset).copied();
        let due = match unsynced.due.get(&(queue, offset)) {
            Some(due) => *due,
            None if unsynced.refreshed.contains(&queue) => None,
            None => on_disk(),
        };
        // A time counts for the attempt after it only. An attempt may start early as a probe, and the process may die then.
        let is_ahead = |due: &Due| self.started.get(&(queue, offset)).is_none_or(|last| *last <= due.after);
        due.filter(is_ahead).map(|due| due.at)
    }

    /// An attempt of a delivery has started.
    pub(super) fn started(&mut self, queue: QueueId, offset: EventOffset, attempt: u16) {
        self.started.insert((queue, offset), attempt);
    }

    pub(super) fn course(&self, queue: QueueId) -> Option<&Course> {
        self.courses.get(&queue)
    }

    /// The process died with these records not known to be on disk. A torn write may have left a checkpoint behind them on disk,
    /// but not the records: then the queues know of deliveries that have ended, and no record says so.
    pub(super) fn perhaps_torn(&mut self, unsynced: Unsynced) {
        self.torn.extend(unsynced.ended.into_keys());
    }

    /// Whether a delivery may have ended without a record, because a write was torn.
    pub(super) fn ended_unrecorded(&self, queue: QueueId, offset: EventOffset) -> bool {
        self.is_torn && self.torn.contains(&(queue, offset))
    }

    /// Reads the new records of the ledger on disk.
    pub(super) fn follow(&mut self, ledger: &ReaderOf<LedgerOffset>) {
        while self.ledger < ledger.end() {
            let batch = ledger.read(self.ledger, 1000, 1 << 20).unwrap();
            self.is_torn |= !batch.damaged.is_empty();
            for record in &batch.records {
                self.note(&record.payload, record.offset);
            }
            self.ledger = batch.next.max(self.ledger + 1);
        }
    }

    fn note(&mut self, payload: &[u8], at: LedgerOffset) {
        let Ok(record) = LedgerRecord::decode(payload) else { return };
        if let LedgerRecord::Refreshed { queue } = record {
            self.courses.entry(queue).or_default().due.clear();
            return;
        }
        if let LedgerRecord::Gap { queue, from, to } = record {
            self.courses.entry(queue).or_default().gaps.push((from, to));
            return;
        }
        let Some((queue, offset, outcome, ended)) = outcome_of(&record) else { return };
        let course = self.courses.entry(queue).or_default();
        if let Some(outcome) = outcome {
            course.last.insert(offset, outcome);
        }
        course.due.remove(&offset);
        course.due.extend(due_of(&record).map(|due| (offset, due)));
        if let Some(ended) = ended {
            let before = course.settled.insert(offset, ended);
            self.settlements += 1;
            hold(before.is_none(), "every settlement is in the ledger exactly once", || {
                format!("queue {queue}, offset {offset}: {before:?} before, {ended:?} again at {at}")
            });
        }
    }
}
