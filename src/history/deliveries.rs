//! The deliveries of one event to the hooks of one account, read from the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::reader::HistoryReader;
use super::revisions::Revisions;
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{AccountId, DeliveryId, Event, EventDeliveries, Hook, HookId};
use crate::queues::{Fate, Filed, LedgerRecord, in_reach};

const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;
/// The most ledger records that are read for one event.
const LOOKED_AT: usize = 200_000;
/// The most attempts of one delivery in a row, the newest ones.
const ATTEMPTS: usize = 100;
/// How far before its event an attempt is searched for, in microseconds. A clock that was set back causes this.
const BACK_US: u64 = 60_000_000;

/// One hook's delivery.
struct HookDelivery {
    hook: Arc<Hook>,
    /// The latest state in the ledger.
    state: Option<&'static str>,
    attempts: Vec<Map<String, Value>>,
    revisions: Revisions,
}

impl HookDelivery {
    fn of(hook: &Arc<Hook>) -> Self {
        Self { hook: Arc::clone(hook), state: None, attempts: Vec::new(), revisions: Revisions::default() }
    }
}

impl HistoryReader {
    /// The event's deliveries to an account's own hooks, including those that are still to be made.
    pub(super) fn deliveries(&self, account: AccountId, offset: u64) -> Result<EventDeliveries, ReadError> {
        let hooks = self.logs.state.all_hooks().into_iter().filter(|hook| hook.account == account);
        self.deliveries_of(hooks, offset)
    }

    /// The event's delivery to one hook. The hook may have been deleted.
    pub(super) fn delivery(&self, hook: HookId, offset: u64) -> Result<EventDeliveries, ReadError> {
        self.deliveries_of(self.logs.hook(hook), offset)
    }

    fn deliveries_of(
        &self,
        hooks: impl IntoIterator<Item = Arc<Hook>>,
        offset: u64,
    ) -> Result<EventDeliveries, ReadError> {
        let Some(record) = self.logs.events.get(offset)? else { return Ok(EventDeliveries::default()) };
        let mut filed = self.logs.filed(hooks);
        let delivery = |hook: &Arc<Hook>| (hook.id, HookDelivery::of(hook));
        let mut deliveries: HashMap<HookId, HookDelivery> = filed.hooks().map(delivery).collect();
        let complete = self.look_up(&record, &mut filed, &mut deliveries)?;
        let event = self.logs.state.settings().log_ids.event_id(offset);
        let mut deliveries: Vec<HookDelivery> = deliveries.into_values().collect();
        deliveries.sort_unstable_by_key(|delivery| delivery.hook.id);
        let rows = deliveries.into_iter().filter_map(|delivery| {
            let state =
                delivery.state.or_else(|| self.is_to_come(&delivery.hook, &record).then_some("waiting"))?;
            let delivery_id = DeliveryId { event, hook: delivery.hook.id }.to_string();
            let row = json!({
                "hook_id": delivery.hook.id, "hook_name": delivery.hook.name, "delivery_id": delivery_id,
                "state": state, "attempts": delivery.attempts,
            });
            row.as_object().cloned()
        });
        Ok(EventDeliveries { rows: rows.collect(), complete })
    }

    /// Returns false if the ledger has more records than were read.
    fn look_up(
        &self,
        event: &Record,
        filed: &mut Filed,
        deliveries: &mut HashMap<HookId, HookDelivery>,
    ) -> Result<bool, ReadError> {
        let tags = filed.tags();
        let mut at = self.first_try(event)?;
        let (end, mut looked_at) = (self.logs.ledger.end(), 0);
        while at < end && !tags.is_empty() {
            let batch = self.logs.ledger.read_tags(&tags, at, end, READ, READ_BYTES)?;
            for record in &batch.records {
                let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                let hook = filed.hook_of(record, &decoded, |replay| self.logs.replay_of(replay));
                if let Some(delivery) = hook.and_then(|hook| deliveries.get_mut(&hook.id)) {
                    self.note(delivery, event.offset, record, &decoded);
                }
            }
            looked_at += batch.records.len();
            if batch.next <= at || looked_at > LOOKED_AT {
                return Ok(batch.next >= end);
            }
            at = batch.next;
        }
        Ok(true)
    }

    /// An offset of the ledger before which no attempt of an event can be.
    pub(super) fn first_try(&self, event: &Record) -> Result<u64, ReadError> {
        let since = self.tried_since(event)?;
        self.logs.ledger.offset_at_time(since.saturating_sub(BACK_US))
    }

    /// A time before which no attempt of an event can be. The clock may have been ahead when the event was logged, and
    /// corrected before the first attempt.
    fn tried_since(&self, event: &Record) -> Result<u64, ReadError> {
        let before = self.logs.events.time_near(event.offset.saturating_sub(1))?;
        let behind = self.logs.events.earliest_from(event.offset)?;
        Ok([before, behind].into_iter().flatten().fold(event.time_us, u64::min))
    }

    fn note(&self, delivery: &mut HookDelivery, offset: u64, record: &Record, decoded: &LedgerRecord) {
        match decoded {
            LedgerRecord::Attempt(attempt) if attempt.offset == offset => {
                delivery.state = Some(decoded.fate().map_or("retrying", Fate::name));
                if delivery.attempts.len() == ATTEMPTS {
                    delivery.attempts.remove(0);
                }
                delivery.attempts.push(self.row(&mut delivery.revisions, &delivery.hook, attempt, record));
            }
            LedgerRecord::Settled { offset: settled, .. } if *settled == offset => {
                delivery.state = decoded.fate().map(Fate::name);
            }
            _ => {}
        }
    }

    fn is_to_come(&self, hook: &Hook, record: &Record) -> bool {
        let Ok(event) = Event::decode(&record.payload) else { return false };
        let account = event.account.and_then(|account| self.logs.state.account(account));
        record.offset >= hook.start_offset
            && account.is_some_and(|account| in_reach(hook, &account))
            && kazoo::wanted(hook, &event)
    }
}
