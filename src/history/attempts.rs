//! Attempts in the form of the API: rows read from the ledger, with requests rebuilt from the events log.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::damaged::{Found, LEDGER_DAMAGED, error_of_event, found, unreadable};
use super::reader::{HistoryReader, ROWS_BYTES};
use super::revisions::Revisions;
use crate::kazoo::{self, AsSent, AttemptParts, Extras, RequestParts, WireRequest};
use crate::log::{ReadError, Record};
use crate::model::{
    AttemptPage, AttemptQuery, AttemptResult, AttemptRow, DeliveryId, Event, Hook, LedgerOffset,
    fields_weight,
};
use crate::queues::{AttemptRecord, Ending, Filed, LedgerRecord, Outcome};

/// The records of one read, unless the page is smaller.
const READ: usize = 256;
const READ_BYTES: usize = 1 << 20;
/// The most records that one call examines. Other reads get a turn before the next call.
const LOOKED_AT: usize = 4096;

impl HistoryReader {
    /// A page of attempts, newest first unless the query asks for oldest first.
    pub(super) fn page(&self, query: &AttemptQuery) -> Result<AttemptPage, ReadError> {
        let mut filed = self.logs.filed(self.hooks(query));
        let mut revisions = Revisions::default();
        let tags = filed.tags();
        let mut page = AttemptPage::default();
        if tags.is_empty() {
            return Ok(page);
        }
        let range = self.logs.ledger.offsets_in(query.from_us..query.until_us)?;
        let mut at = match (query.start, query.ascending) {
            (Some(start), true) => start.max(range.start),
            (Some(start), false) => (start + 1).min(range.end),
            (None, true) => range.start,
            (None, false) => range.end,
        };
        let mut bytes = 0;
        // Nearly always all records are listed. One more than the page has says where the next page begins.
        let mut most = query.limit.saturating_add(1).min(READ);
        // Backward reads return the records before `at`, forward reads those from `at` on.
        while if query.ascending { at < range.end } else { at > range.start } {
            if page.looked_at >= LOOKED_AT {
                page.next = Some(if query.ascending { at } else { at - 1 });
                return Ok(page);
            }
            let batch = if query.ascending {
                self.logs.ledger.read_tags(&tags, at, range.end, most, READ_BYTES)?
            } else {
                self.logs.ledger.read_tags_back(&tags, at, most)?
            };
            most = READ;
            for found in found(&batch, query.ascending).filter(|found| range.contains(&found.offset())) {
                page.looked_at += 1;
                let Some(document) = self.document(&mut filed, &mut revisions, query, &found) else {
                    continue;
                };
                // The number of rows alone bounds nothing: a row can have a whole body.
                if page.rows.len() == query.limit || bytes >= ROWS_BYTES {
                    page.next = Some(found.offset());
                    return Ok(page);
                }
                bytes += fields_weight(&document);
                page.rows.push(AttemptRow { position: found.offset(), document });
            }
            at = batch.next;
        }
        Ok(page)
    }

    /// The row of a record; `None` if it has none. A damaged record has a row, because it may have been an attempt.
    fn document(
        &self,
        filed: &mut Filed,
        revisions: &mut Revisions,
        query: &AttemptQuery,
        found: &Found<'_, LedgerOffset>,
    ) -> Option<Map<String, Value>> {
        let record = match found {
            Found::Damaged(_) => return Some(unreadable(LEDGER_DAMAGED)),
            Found::Record(record) => record,
        };
        // The range of offsets can contain records of other times, if the clock was wrong for a while.
        let in_time = (query.from_us..query.until_us).contains(&record.time_us);
        let decoded = LedgerRecord::decode(&record.payload).ok().filter(|_| in_time)?;
        let hook = filed.hook_of(record, &decoded, |replay| self.logs.replay_of(replay))?;
        Some(self.row(revisions, hook, &self.listed(decoded)?, record))
    }

    fn hooks(&self, query: &AttemptQuery) -> Vec<Arc<Hook>> {
        let hooks: Vec<Arc<Hook>> = query
            .hook
            .map_or_else(|| self.logs.state.all_hooks(), |hook| self.logs.hook(hook).into_iter().collect());
        hooks.into_iter().filter(|hook| hook.account == query.account).collect()
    }

    /// The attempt of a record, if it is listed.
    fn listed(&self, record: LedgerRecord) -> Option<AttemptRecord> {
        match record {
            LedgerRecord::Attempt(a) if self.shows_successes || a.outcome != Outcome::Delivered => Some(a),
            _ => None,
        }
    }

    /// The row of an attempt. If its event cannot be read, the row has an error and all the rest.
    pub(super) fn row(
        &self,
        revisions: &mut Revisions,
        hook: &Arc<Hook>,
        attempt: &AttemptRecord,
        record: &Record<LedgerOffset>,
    ) -> Map<String, Value> {
        let found = self.logs.events.get(attempt.offset);
        let error = found.as_ref().err().map(error_of_event);
        let event = found.as_ref().ok().and_then(Option::as_ref);
        let event = event.and_then(|event| Event::decode(&event.payload).ok());
        let event_id = self.logs.state.settings().log_ids.event_id(attempt.offset);
        let delivery_id = DeliveryId { event: event_id, hook: hook.id }.to_string();
        let event_id = event_id.to_string();
        let result = result_of(attempt);
        let as_sent = revisions.as_sent(&self.logs.ledger, hook, attempt, record);
        // Records of the first version do not say whether there was a request. They are shown with one.
        let was_made = attempt.sent.is_some() || attempt.generation.is_none();
        let made = as_sent.as_ref().zip(event.as_ref()).filter(|_| was_made);
        let request = made.and_then(|(sent, event)| Some((sent, event, self.request(sent, event)?)));
        let headers = request.as_ref().map(|(sent, event, request)| {
            let parts = RequestParts {
                request,
                event,
                event_id: &event_id,
                delivery_id: &delivery_id,
                attempt: attempt.attempt,
                sent: attempt.sent,
                ended_us: record.time_us,
                is_replay: attempt.queue != hook.id.into(),
            };
            kazoo::request_headers(sent, &parts)
        });
        let mut row = kazoo::attempt_row(&AttemptParts {
            hook_id: hook.id,
            hook: as_sent.as_ref().map(|sent| &sent.hook),
            event: event.as_ref(),
            event_id: &event_id,
            delivery_id: &delivery_id,
            attempt: attempt.attempt,
            max_tries: attempt.tries.saturating_add(attempt.tries_left),
            body: request.as_ref().filter(|(sent, _, _)| sent.has_data).map(|(_, _, r)| r.body.as_slice()),
            headers: headers.as_ref(),
            result: &result,
            delivered: attempt.outcome == Outcome::Delivered,
            duration_us: attempt.duration_us,
            phases: attempt.phases,
            ended_us: record.time_us,
        });
        row.extend(error.map(|error| ("error".to_owned(), error.into())));
        row
    }

    fn request(&self, sent: &AsSent, event: &Event<'_>) -> Option<WireRequest> {
        // The present reseller: nothing stores which one the account had then.
        let reseller_id = event.account.and_then(|a| self.logs.state.reseller_of(a));
        let cluster_id = self.logs.state.settings().cluster_id.clone();
        let payload = kazoo::payload(event, &sent.hook, &Extras { cluster_id: &cluster_id, reseller_id });
        payload.ok().flatten().and_then(|payload| kazoo::wire_request(&sent.hook, &payload).ok())
    }
}

/// How an attempt ended, as its record says.
pub(super) fn result_of(attempt: &AttemptRecord) -> AttemptResult {
    let result = match attempt.ending.clone() {
        Ending::Answered(response) => AttemptResult::Answered(response),
        Ending::Failed(failure) => AttemptResult::Failed(failure),
        Ending::Ours(fault) => AttemptResult::Ours(fault),
        Ending::Unsendable(reason) => AttemptResult::Unsendable(reason),
        Ending::NotSent => AttemptResult::Shadow(None),
    };
    match result {
        AttemptResult::Shadow(_) => result,
        met if attempt.outcome == Outcome::Shadow => AttemptResult::Shadow(Some(Box::new(met))),
        met => met,
    }
}
