//! The attempts API's rows, read back from the ledger; requests are made again from the events log.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::damaged::{Found, LEDGER_DAMAGED, error_of_event, found, unreadable};
use super::filed::Filed;
use super::record::{AttemptRecord, Ending, LedgerRecord, Outcome};
use crate::kazoo::{self, AttemptParts, Extras, WireRequest};
use crate::log::{Batch, ReadError, Reader, Record};
use crate::model::{
    AttemptPage, AttemptQuery, AttemptResult, AttemptRow, DeliveryId, Event, Hook, HookId, fields_weight,
};
use crate::state::{Kind, State};

const READ: usize = 256;
const READ_BYTES: usize = 1 << 20;
/// Bytes of rows after which a page ends: each holds what was sent.
pub(super) const ROWS_BYTES: usize = 1 << 20;
/// Records that one call looks at; others have their turn before the next.
const LOOKED_AT: usize = 4096;

/// Reads pages of attempts. Blocking.
#[derive(Debug, Clone)]
pub struct AttemptReader {
    pub(super) ledger: Reader,
    pub(super) events: Reader,
    pub(super) state: State,
    pub(super) successes: bool,
}

impl AttemptReader {
    /// A page, newest first unless asked otherwise.
    pub fn page(&self, query: &AttemptQuery) -> Result<AttemptPage, ReadError> {
        let mut filed = self.filed(self.hooks(query));
        let tags = filed.tags();
        let mut page = AttemptPage::default();
        if tags.is_empty() {
            return Ok(page);
        }
        let range = self.ledger.offsets_in(query.from_us..query.until_us)?;
        let mut at = match (query.start, query.ascending) {
            (Some(start), true) => start.max(range.start),
            (Some(start), false) => start.saturating_add(1).min(range.end),
            (None, true) => range.start,
            (None, false) => range.end,
        };
        let (mut looked_at, mut bytes) = (0, 0);
        while if query.ascending { at < range.end } else { at > range.start } {
            if looked_at >= LOOKED_AT {
                page.next = Some(if query.ascending { at } else { at - 1 });
                return Ok(page);
            }
            let batch = self.batch(&tags, at, range.end, query.ascending)?;
            for found in found(&batch, query.ascending).filter(|found| range.contains(&found.offset())) {
                looked_at += 1;
                let Some(document) = self.document(&mut filed, query, &found) else { continue };
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

    fn batch(&self, tags: &[u64], at: u64, end: u64, ascending: bool) -> Result<Batch, ReadError> {
        if ascending {
            self.ledger.read_tags(tags, at, end, READ, READ_BYTES)
        } else {
            self.ledger.read_tags_back(tags, at, READ)
        }
    }

    /// What is shown of a record; `None`: nothing. Of one that is damaged nobody knows whether it was an attempt.
    fn document(
        &self,
        filed: &mut Filed,
        query: &AttemptQuery,
        found: &Found<'_>,
    ) -> Option<Map<String, Value>> {
        let record = match found {
            Found::Damaged(_) => return Some(unreadable(LEDGER_DAMAGED)),
            Found::Record(record) => record,
        };
        let in_time = (query.from_us..query.until_us).contains(&record.time_us);
        let decoded = LedgerRecord::decode(&record.payload).ok().filter(|_| in_time)?;
        let hook = filed.hook_of(record, &decoded, |replay| self.replay_of(replay))?;
        Some(self.row(hook, &self.shown(decoded)?, record))
    }

    fn hooks(&self, query: &AttemptQuery) -> Vec<Arc<Hook>> {
        let hooks: Vec<Arc<Hook>> =
            query.hook.map_or_else(|| self.state.all_hooks(), |hook| self.hook(hook).into_iter().collect());
        hooks.into_iter().filter(|hook| hook.account == query.account).collect()
    }

    /// A hook, also one that was deleted: what it was sent can still be looked up.
    pub(super) fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        let deleted = || self.state.get(Kind::Hook, &id.to_string()).ok().flatten();
        let read = |doc| kazoo::hook_from_document(&doc).ok().map(Arc::new);
        self.state.hook(id).or_else(|| deleted().and_then(read))
    }

    fn shown(&self, record: LedgerRecord) -> Option<AttemptRecord> {
        match record {
            LedgerRecord::Attempt(a) if self.successes || a.outcome != Outcome::Delivered => Some(a),
            _ => None,
        }
    }

    /// An attempt as it is shown. When its event cannot be read, the row says so and has all the rest.
    pub(super) fn row(
        &self,
        hook: &Arc<Hook>,
        attempt: &AttemptRecord,
        record: &Record,
    ) -> Map<String, Value> {
        let event = self.events.get(attempt.offset);
        let (request, error) = match &event {
            Ok(Some(event)) => (self.request(hook, &event.payload), None),
            Ok(None) => (None, None),
            Err(error) => (None, Some(error_of_event(error))),
        };
        let event = self.state.settings().log_ids.event_id(attempt.offset);
        let result = match attempt.ending.clone() {
            Ending::Answered(response) => AttemptResult::Answered(response),
            Ending::Failed(failure) => AttemptResult::Failed(failure),
            Ending::Ours(fault) => AttemptResult::Ours(fault),
            Ending::Unsendable(reason) => AttemptResult::Unsendable(reason),
        };
        let mut row = kazoo::attempt_row(&AttemptParts {
            hook,
            event_id: &event.to_string(),
            delivery_id: &DeliveryId { event, hook: hook.id }.to_string(),
            attempt: attempt.attempt,
            request: request.as_ref(),
            headers: &[],
            result: &result,
            delivered: attempt.outcome == Outcome::Delivered,
            duration_us: attempt.duration_us,
            ended_us: record.time_us,
        });
        row.extend(error.map(|error| ("error".to_owned(), error.into())));
        row
    }

    fn request(&self, hook: &Hook, record: &[u8]) -> Option<WireRequest> {
        let event = Event::decode(record).ok()?;
        let reseller_id = event.account.and_then(|a| self.state.reseller_of(a));
        let cluster_id = self.state.settings().cluster_id.clone();
        let payload = kazoo::payload(&event, hook, &Extras { cluster_id: &cluster_id, reseller_id });
        payload.ok().flatten().and_then(|payload| kazoo::wire_request(hook, &payload).ok())
    }
}
