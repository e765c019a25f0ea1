//! The deliveries of one event: to the hooks of an account, page by page, or to one hook.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::courses::{Course, Courses};
use super::damaged::{LEDGER_DAMAGED, unreadable};
use super::reader::{HistoryReader, ROWS_BYTES};
use super::revisions::Revisions;
use crate::log::ReadError;
use crate::model::{DeliveriesQuery, DeliveryId, EventDeliveries, EventOffset, Hook, HookId, fields_weight};
use crate::queues::LedgerRecord;

/// The most attempts of a delivery that a page of several deliveries shows, the newest ones.
const OF_SEVERAL: usize = 10;

impl HistoryReader {
    /// A page of the event's deliveries to an account's own hooks, including those that are still to be made, and the
    /// number of all of them by their states.
    pub(super) fn deliveries(&self, query: &DeliveriesQuery) -> Result<EventDeliveries, ReadError> {
        let hooks = self.logs.state.all_hooks().into_iter().filter(|hook| hook.account == query.account);
        let Courses { of, complete } = self.courses(hooks, query.offset)?;
        let mut by_state = BTreeMap::new();
        // Counted over all hooks on every page, because a page alone does not know how the others stand.
        for state in of.values().filter_map(|course| course.state) {
            *by_state.entry(state).or_insert(0_u64) += 1;
        }
        let mut found = EventDeliveries { rows: Vec::new(), next: None, by_state, complete };
        let from = query.start.unwrap_or_default();
        let is_asked_for = |course: &&Course| {
            query.states.is_empty() || course.state.is_some_and(|state| query.states.contains(&state))
        };
        let mut bytes = 0;
        for course in of.range(from..).map(|(_, course)| course).filter(is_asked_for) {
            if found.rows.len() == query.limit || bytes >= ROWS_BYTES {
                found.next = Some(course.hook.id);
                break;
            }
            let left_out = course.attempts.len().saturating_sub(OF_SEVERAL);
            let row = self.delivery_row(course, query.offset, left_out)?;
            bytes += fields_weight(&row);
            found.rows.push(row);
        }
        Ok(found)
    }

    /// The event's delivery to one hook. The hook may have been deleted.
    pub(super) fn delivery(&self, hook: HookId, offset: EventOffset) -> Result<EventDeliveries, ReadError> {
        let Courses { of, complete } = self.courses(self.logs.hook(hook), offset)?;
        let rows = of.values().map(|course| self.delivery_row(course, offset, 0));
        Ok(EventDeliveries { rows: rows.collect::<Result<_, _>>()?, complete, ..EventDeliveries::default() })
    }

    /// The hook at an attempt of a delivery, without secrets; at its last attempt if none is named. `None`: there is no
    /// such attempt, or what its hook was is not kept any more.
    pub(super) fn hook_at(
        &self,
        hook: HookId,
        offset: EventOffset,
        attempt: Option<u16>,
    ) -> Result<Option<Hook>, ReadError> {
        let of = self.courses(self.logs.hook(hook), offset)?.of;
        let mut revisions = Revisions::default();
        for course in of.values() {
            for at in course.attempts.iter().rev() {
                let Some(record) = self.logs.ledger.get(*at)? else { continue };
                let Ok(LedgerRecord::Attempt(made)) = LedgerRecord::decode(&record.payload) else { continue };
                if attempt.is_none_or(|number| number == made.attempt) {
                    let sent = revisions.as_sent(&self.logs.ledger, &course.hook, &made, &record);
                    return Ok(sent.filter(|sent| sent.has_data).map(|sent| sent.hook.clone()));
                }
            }
        }
        Ok(None)
    }

    /// The row of a delivery, without the oldest attempts that are left out.
    fn delivery_row(
        &self,
        course: &Course,
        offset: EventOffset,
        left_out: usize,
    ) -> Result<Map<String, Value>, ReadError> {
        let mut revisions = Revisions::default();
        let mut attempts = Vec::new();
        // The oldest ones are left out: the newest show how the delivery stands.
        for at in course.attempts.iter().skip(left_out) {
            match self.logs.ledger.get(*at) {
                // Retention has removed it meanwhile.
                Ok(None) => {}
                Ok(Some(record)) => {
                    if let Ok(LedgerRecord::Attempt(made)) = LedgerRecord::decode(&record.payload) {
                        attempts.push(self.row(&mut revisions, &course.hook, &made, &record));
                    }
                }
                Err(ReadError::Damaged(_)) => attempts.push(unreadable(LEDGER_DAMAGED)),
                Err(error) => return Err(error),
            }
        }
        let event = self.logs.state.settings().log_ids.event_id(offset);
        let Hook { id, ref name, .. } = *Arc::as_ref(&course.hook);
        let row = json!({
            "hook_id": id, "hook_name": name, "delivery_id": DeliveryId { event, hook: id }.to_string(),
            "state": course.state, "attempts": attempts,
        });
        Ok(row.as_object().cloned().unwrap_or_default())
    }
}
