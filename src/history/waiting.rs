//! The deliveries that a hook still has to get, oldest event first: those that the queue has in memory, and the others,
//! which are in the log. A call examines a bounded number of events and says where to continue.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reader::HistoryReader;
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{
    AccountId, DeliveryId, Event, EventOffset, Hook, WaitingDelivery, WaitingPage, WaitingPart, WaitingQuery,
    WaitingState, gregorian_seconds,
};
use crate::queues::{in_reach, subject_hash};

/// The events of the log that one call examines.
const LOOKED_AT: usize = 2048;
const READ_BYTES: usize = 1 << 20;

impl HistoryReader {
    /// A page of a hook's deliveries that have not ended. `part` is what its queue says from the page's start on.
    pub(super) fn waiting(&self, query: &WaitingQuery, part: &WaitingPart) -> Result<WaitingPage, ReadError> {
        let Some(hook) = self.logs.state.hook(query.hook) else { return Ok(WaitingPage::default()) };
        let mut found: BTreeMap<EventOffset, WaitingDelivery> =
            part.deliveries.iter().map(|delivery| (delivery.offset, *delivery)).collect();
        // The queue may have more in memory behind those.
        let known_until = if part.is_last {
            EventOffset::MAX
        } else {
            found.keys().next_back().map_or(query.start, |last| *last + 1)
        };
        let rest = part.rest_of.values().copied().fold(part.rest, EventOffset::min).max(query.start);
        let mut seen_until = self.logs.events.end();
        let mut page = WaitingPage::default();
        if rest < known_until {
            let range = rest..known_until.min(seen_until);
            let more = self.rest(&hook, part, range, query.limit)?;
            for offset in more.waiting {
                found.entry(offset).or_insert_with(|| untouched(offset));
            }
            (seen_until, page.looked_at) = (more.until, more.looked_at);
        }
        let until = known_until.min(seen_until);
        for (offset, delivery) in found {
            if page.rows.len() == query.limit || offset >= until {
                page.next = Some(offset.min(until));
                return Ok(page);
            }
            if let Some(record) = self.logs.events.get(offset)?
                && let Some(row) = self.waiting_row(&hook, &delivery, &record)
            {
                page.rows.push((offset, row));
            }
        }
        page.next = (until < self.logs.events.end()).then_some(until);
        Ok(page)
    }

    /// The deliveries in a range of the log that wait and may not be in memory.
    fn rest(
        &self,
        hook: &Hook,
        part: &WaitingPart,
        range: std::ops::Range<EventOffset>,
        most: usize,
    ) -> Result<Rest, ReadError> {
        let tags = self.tags_in_reach(hook);
        let batch = self.logs.events.read_tags(
            &tags,
            range.start.max(hook.start_offset),
            range.end,
            LOOKED_AT,
            READ_BYTES,
        )?;
        let mut rest = Rest { waiting: Vec::new(), until: batch.next, looked_at: 0 };
        for record in &batch.records {
            if rest.waiting.len() == most {
                rest.until = record.offset;
                break;
            }
            rest.looked_at += 1;
            let Ok(event) = Event::decode(&record.payload) else { continue };
            let account = event.account.and_then(|account| self.logs.state.account(account));
            let is_wanted =
                account.is_some_and(|account| in_reach(hook, &account)) && kazoo::wanted(hook, &event);
            let from = part.rest_of.get(&subject_hash(&event)).copied().unwrap_or(part.rest).min(part.rest);
            if is_wanted && record.offset >= from && !part.settled.contains(&record.offset) {
                rest.waiting.push(record.offset);
            }
        }
        Ok(rest)
    }

    /// The tags of the accounts whose events a hook may get.
    fn tags_in_reach(&self, hook: &Hook) -> Vec<u64> {
        let below = hook.include_subaccounts.then(|| self.logs.state.descendants(hook.account));
        let below = below.into_iter().flatten().map(|account| account.id);
        let mut tags: Vec<u64> = below.chain([hook.account]).map(AccountId::tag).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// `None`: the event cannot be read.
    fn waiting_row(
        &self,
        hook: &Hook,
        delivery: &WaitingDelivery,
        record: &Record<EventOffset>,
    ) -> Option<Map<String, Value>> {
        let event = Event::decode(&record.payload).ok()?;
        let id = self.logs.state.settings().log_ids.event_id(record.offset);
        let row = json!({
            "event_id": id.to_string(), "delivery_id": DeliveryId { event: id, hook: hook.id }.to_string(),
            "received": gregorian_seconds(record.time_us), "event_name": event.name, "subject": event.subject,
            "state": delivery.state, "attempts": delivery.attempts,
            "next_try_at": delivery.next_try_us.map(gregorian_seconds),
        });
        row.as_object().cloned()
    }
}

/// Deliveries that wait and may not be in memory.
struct Rest {
    /// The offsets of their events.
    waiting: Vec<EventOffset>,
    /// Everything up to this offset was examined.
    until: EventOffset,
    /// The number of events that were examined.
    looked_at: usize,
}

/// A delivery that was not tried yet, as far as the queue knows.
fn untouched(offset: EventOffset) -> WaitingDelivery {
    WaitingDelivery { offset, state: WaitingState::Waiting, attempts: 0, next_try_us: None }
}
