//! What a simulation knows to be true without asking the engine: which events are in the log, which hook has to get
//! which of them, and what the ledger has been told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hold;
use super::tenants::Tenants;
use crate::kazoo;
use crate::log::{NewRecord, Reader};
use crate::model::{Account, AccountId, Event, Family, Hook, Id, ReplayOnly};
use crate::queues::{Directory, LedgerRecord, Outcome, ReplayJob, in_reach};

/// An event in the log.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    pub(super) account: AccountId,
    pub(super) subject: String,
    pub(super) record: bytes::Bytes,
}

/// How a delivery ended, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered,
    Dead,
    Skipped,
}

/// What has become of the deliveries of one queue.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Settled, and on disk.
    pub(super) settled: BTreeMap<u64, Ended>,
    /// Dropped by retention, as the ledger says: from, to.
    pub(super) gaps: Vec<(u64, u64)>,
    /// What the last attempt on disk at a delivery led to.
    pub(super) last: BTreeMap<u64, Outcome>,
    /// When the next attempt at a delivery is due (µs), if the last one on disk said so.
    due: BTreeMap<u64, u64>,
}

/// What is true.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) events: BTreeMap<u64, Logged>,
    /// By queue (a hook's, or of an account's callflows): what it has to get.
    pub(super) due: BTreeMap<Id, BTreeSet<u64>>,
    /// Every version that a hook has had.
    versions: BTreeMap<Id, Vec<Arc<Hook>>>,
    courses: BTreeMap<Id, Course>,
    /// The ledger has been read up to here.
    ledger: u64,
    /// Settlements on disk.
    pub(super) settlements: u64,
}

/// Whether a hook asks for an event.
pub(super) fn wants(hook: &Hook, account: &Account, event: &Event<'_>) -> bool {
    in_reach(hook, account) && kazoo::wanted(hook, event)
}

impl Oracle {
    /// A hook is new or another one than before: what it does not ask for any more it need not get.
    pub(super) fn hook_put(
        &mut self,
        hook: &Arc<Hook>,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        self.versions.entry(hook.id).or_default().push(hook.clone());
        let events = &self.events;
        self.due.entry(hook.id).or_default().retain(|offset| {
            let Some(logged) = events.get(offset) else { return false };
            let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account))
            else {
                return false;
            };
            *offset >= hook.start_offset && wants(hook, &account, &event)
        });
    }

    /// A hook, or an account's callflows, is gone.
    pub(super) fn queue_gone(&mut self, queue: Id) {
        self.due.remove(&queue);
    }

    /// An account is gone: nobody has to get its events.
    pub(super) fn account_gone(&mut self, account: AccountId) {
        let events = &self.events;
        for due in self.due.values_mut() {
            due.retain(|offset| events.get(offset).is_some_and(|event| event.account != account));
        }
        self.queue_gone(account.one_shot());
    }

    /// Whether any version of a hook has ever asked for an event.
    pub(super) fn may_get(
        &self,
        hook: &Hook,
        offset: u64,
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

    /// How many versions a hook has had.
    pub(super) fn versions_of(&self, hook: Id) -> usize {
        self.versions.get(&hook).map_or(0, Vec::len)
    }

    /// Whether an event that a hook asked for when it had that number of versions is still asked for, and always was.
    pub(super) fn still_wanted(
        &self,
        queue: Id,
        offset: u64,
        versions: usize,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) -> bool {
        let Some(logged) = self.events.get(&offset) else { return false };
        let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account)) else {
            return false;
        };
        if versions == 0 {
            return account.id.one_shot() == queue;
        }
        let since = self.versions.get(&queue).into_iter().flatten().skip(versions.saturating_sub(1));
        self.due.contains_key(&queue) && since.into_iter().all(|hook| wants(hook, &account, &event))
    }

    /// A replay has begun: it has to get what its hook asks for in its range.
    pub(super) fn replay(
        &mut self,
        job: &ReplayJob,
        hook: &Hook,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        let chosen = |offset: &u64| job.only != ReplayOnly::Chosen || job.offsets.contains(offset);
        let due = self.events.range(job.from..job.until).map(|(offset, _)| *offset).filter(chosen).collect();
        self.due.insert(job.id, due);
        self.narrow(job.id, hook, account_of);
    }

    /// A replay need not get what its hook does not ask for any more.
    pub(super) fn narrow(
        &mut self,
        replay: Id,
        hook: &Hook,
        account_of: impl Fn(AccountId) -> Option<Arc<Account>>,
    ) {
        let events = &self.events;
        let Some(due) = self.due.get_mut(&replay) else { return };
        due.retain(|offset| {
            let Some(logged) = events.get(offset) else { return false };
            let (Ok(event), Some(account)) = (Event::decode(&logged.record), account_of(logged.account))
            else {
                return false;
            };
            wants(hook, &account, &event)
        });
    }

    pub(super) fn same_subject(&self, one: u64, other: u64) -> bool {
        let subject = |offset| self.events.get(&offset).map(|event| (event.account, &event.subject));
        subject(one) == subject(other)
    }

    /// Whether a hook has ever been ordered in another way than at first.
    pub(super) fn has_changed_order(&self, hook: Id) -> bool {
        let mut orders = self.versions.get(&hook).into_iter().flatten().map(|version| version.ordering);
        let first = orders.next();
        orders.any(|order| Some(order) != first)
    }

    pub(super) fn has_account_of(&self, offset: u64, tenants: &Tenants) -> bool {
        self.events.get(&offset).is_some_and(|event| tenants.account(event.account).is_some())
    }

    /// An event is in the log.
    pub(super) fn logged(&mut self, offset: u64, record: bytes::Bytes) {
        let Ok(event) = Event::decode(&record) else { return };
        let (account, subject) = (event.account.unwrap_or_default(), event.subject.to_owned());
        self.events.insert(offset, Logged { account, subject, record });
    }

    /// Finds events in the log that nobody was told of: the process died first. They are there now, and stay.
    pub(super) fn find(&mut self, events: &Reader) {
        let mut at = self.events.last_key_value().map_or(0, |(last, _)| last + 1);
        while at < events.end() {
            let batch = events.read(at, 100, 1 << 20).unwrap();
            for record in batch.records {
                self.logged(record.offset, record.payload);
            }
            at = batch.next;
        }
    }

    /// Until when a delivery must not be tried again, by what the ledger has been told.
    pub(super) fn due_of(&self, queue: Id, offset: u64, unsynced: &Unsynced) -> Option<u64> {
        if let Some(due) = unsynced.due.get(&(queue, offset)) {
            return *due;
        }
        let on_disk = || self.course(queue)?.due.get(&offset).copied();
        if unsynced.refreshed.contains(&queue) { None } else { on_disk() }
    }

    pub(super) fn course(&self, queue: Id) -> Option<&Course> {
        self.courses.get(&queue)
    }

    /// Reads what the ledger has been told since the last time and is on disk now.
    pub(super) fn follow(&mut self, ledger: &Reader) {
        while self.ledger < ledger.end() {
            let batch = ledger.read(self.ledger, 1000, 1 << 20).unwrap();
            for record in &batch.records {
                self.note(&record.payload, record.offset);
            }
            self.ledger = batch.next.max(self.ledger + 1);
        }
    }

    fn note(&mut self, payload: &[u8], at: u64) {
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

/// What a ledger record says of one delivery: queue, offset, what the attempt led to, whether that settled it.
fn outcome_of(record: &LedgerRecord) -> Option<(Id, u64, Option<Outcome>, Option<Ended>)> {
    use crate::queues::Settlement;
    match record {
        LedgerRecord::Attempt(attempt) => {
            let ended = match attempt.outcome {
                Outcome::Delivered => Some(Ended::Delivered),
                Outcome::Dead => Some(Ended::Dead),
                // Nothing is beside the queues here.
                Outcome::Shadow | Outcome::Retry | Outcome::Suspect | Outcome::Held => None,
            };
            Some((attempt.queue, attempt.offset, Some(attempt.outcome), ended))
        }
        LedgerRecord::Settled { queue, offset, how } => {
            let ended = if *how == Settlement::Dead { Ended::Dead } else { Ended::Skipped };
            Some((*queue, *offset, None, Some(ended)))
        }
        _ => None,
    }
}

/// When an attempt's record says that the next one is due.
fn due_of(record: &LedgerRecord) -> Option<u64> {
    match record {
        LedgerRecord::Attempt(attempt) if attempt.outcome == Outcome::Retry => attempt.due_us,
        _ => None,
    }
}

/// What the engine has told its ledger and is not on disk yet, by queue and offset.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    pub(super) last: BTreeMap<(Id, u64), Outcome>,
    pub(super) ended: BTreeMap<(Id, u64), Ended>,
    pub(super) gaps: Vec<(Id, u64, u64)>,
    /// When the next attempt is due (µs); `None`: at once.
    due: BTreeMap<(Id, u64), Option<u64>>,
    /// Queues whose hooks were enabled again.
    refreshed: BTreeSet<Id>,
}

impl Unsynced {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a NewRecord>) -> Self {
        let mut unsynced = Self::default();
        for record in records {
            let Ok(record) = LedgerRecord::decode(&record.payload) else { continue };
            if let LedgerRecord::Gap { queue, from, to } = record {
                unsynced.gaps.push((queue, from, to));
            }
            if let LedgerRecord::Refreshed { queue } = record {
                unsynced.due.retain(|(of, _), _| *of != queue);
                unsynced.refreshed.insert(queue);
            }
            let Some((queue, offset, outcome, ended)) = outcome_of(&record) else { continue };
            unsynced.due.insert((queue, offset), due_of(&record));
            if let Some(outcome) = outcome {
                unsynced.last.insert((queue, offset), outcome);
            }
            if let Some(ended) = ended {
                unsynced.ended.insert((queue, offset), ended);
            }
        }
        unsynced
    }
}
