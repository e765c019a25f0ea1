//! An account has become known: the events that waited for the account are routed now.
//!
//! They are routed in order, and before any later event of the account. A queue whose position is past such an event takes the
//! event anyway ([`crate::queues::queue::Queue::take_late`]); a queue that is behind the event reads it from the log. A read
//! that is under way may have passed over the event, because the account was unknown to the read: what it brings is dropped,
//! and the read is made again.

use std::sync::Arc;

use super::Engine;
use super::directory::Directory;
use super::unknown::{Adopted, Unknown};
use crate::log::{ReadError, Record};
use crate::model::{Account, AccountId, Event, EventOffset, FailureLimits, Family, Hook, HookId, ReplayId};
use crate::queues::rules::partitions::{Partition, Partitions};
use crate::queues::rules::router::subject_hash;

const READ_RECORDS: usize = 512;
const READ_BYTES: usize = 1 << 20;

/// The accounts as reads beside the engine see them. While events of an account wait, the account is unknown to reads, even
/// if its document exists already. Otherwise a read could bring an event that is also routed later.
#[derive(Debug)]
struct AsRouted {
    accounts: Arc<dyn Directory>,
    unknown: Arc<Unknown>,
}

impl Directory for AsRouted {
    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        if self.unknown.holds(id) { None } else { self.accounts.account(id) }
    }

    fn tenant_of(&self, id: AccountId) -> AccountId {
        self.accounts.tenant_of(id)
    }

    fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        self.accounts.is_ancestor_or_self(ancestor, id)
    }

    fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        self.accounts.standing(id)
    }

    fn hooks(&self) -> Vec<Arc<Hook>> {
        self.accounts.hooks()
    }

    fn hook_of_replay(&self, id: ReplayId) -> Option<HookId> {
        self.accounts.hook_of_replay(id)
    }

    fn runs_replay(&self, id: ReplayId) -> bool {
        self.accounts.runs_replay(id)
    }
}

impl Engine {
    /// The accounts for a read that is made beside the engine.
    pub(super) fn accounts_for_reads(&self) -> Arc<dyn Directory> {
        Arc::new(AsRouted { accounts: Arc::clone(&self.desk.directory), unknown: Arc::clone(&self.unknown) })
    }

    /// Routes what waited for accounts that have become known.
    pub(super) fn adopt_known(&mut self) -> Result<(), ReadError> {
        if !std::mem::take(&mut self.adopt_due) {
            return Ok(());
        }
        for account in self.unknown.accounts() {
            self.adopt(account)?;
        }
        Ok(())
    }

    /// Routes what waited for an account, if the account is known now.
    pub(super) fn adopt(&mut self, id: AccountId) -> Result<(), ReadError> {
        if !self.unknown.holds(id) {
            return Ok(());
        }
        let Some(account) = self.desk.directory.account(id) else { return Ok(()) };
        let now = self.desk.time.both();
        let events = self.unknown.take(id, self.desk.options.unknown, now.moment);
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let (first, last) = (first.offset, last.offset);
        let (mut at, mut routed) = (first, 0);
        while at <= last {
            let batch = self.desk.events.read_tags(&[id.tag()], at, last + 1, READ_RECORDS, READ_BYTES)?;
            for record in &batch.records {
                if let Ok(place) = events.binary_search_by_key(&record.offset, |event| event.offset)
                    && let Some(event) = events.get(place)
                {
                    routed += u64::from(self.route_late(&account, record, event.awaited_by));
                }
            }
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        let gone = (events.len() as u64).saturating_sub(routed);
        self.unknown.adopted(id, Adopted { routed, gone }, now.wall);
        tracing::info!(account_id = %id, events = routed, "routed the events that had waited for this account");
        if gone > 0 {
            tracing::warn!(account_id = %id, events = gone, "retention dropped events that waited for this account");
        }
        Ok(())
    }

    /// Offers an event that waited to every hook of these partitions that wants it. False: it is not an event of this
    /// account, because two accounts may share a tag.
    fn route_late(
        &mut self,
        account: &Arc<Account>,
        record: &Record<EventOffset>,
        awaited_by: Partitions,
    ) -> bool {
        let Ok(event) = Event::decode(&record.payload) else { return false };
        if event.account != Some(account.id) || event.quarantine.is_some() {
            return false;
        }
        let is_awaiting = |hook: HookId| awaited_by.contains(Partition::of(hook));
        let mut slots = if event.family != Some(Family::Callflow) {
            self.wanting(account, &event)
        } else if is_awaiting(account.id.one_shot()) {
            vec![self.one_shot_slot(account.id, record.offset)]
        } else {
            Vec::new()
        };
        slots.retain(|id| self.slots.get(*id).is_some_and(|slot| is_awaiting(slot.hook().id)));
        let (offset, subject) = (record.offset, subject_hash(&event));
        for id in slots {
            self.slots.touch(&mut self.desk, id, |_, slot| slot.offer_late(offset, subject));
        }
        true
    }
}
