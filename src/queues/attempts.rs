//! The attempts API's rows, read back from the ledger; requests are made again from the events log.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::{AttemptRecord, Ending, LedgerRecord, Outcome};
use crate::kazoo::{self, AttemptParts, Extras, WireRequest};
use crate::log::{ReadError, Reader, Record};
use crate::model::{AttemptPage, AttemptQuery, AttemptResult, AttemptRow, DeliveryId, Event, Hook, HookId};
use crate::state::{Kind, State};

const READ: usize = 256;
const READ_BYTES: usize = 1 << 20;

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
        let hooks = self.hooks(query);
        let tags: Vec<u64> = hooks.keys().copied().collect();
        let mut page = AttemptPage::default();
        if tags.is_empty() {
            return Ok(page);
        }
        let first = self.ledger.offset_at_time(query.from_us)?.max(self.ledger.first());
        let end = self.ledger.offset_at_time(query.until_us)?;
        let mut at = match (query.start, query.ascending) {
            (Some(start), true) => start.max(first),
            (Some(start), false) => start.saturating_add(1).min(end),
            (None, true) => first,
            (None, false) => end,
        };
        loop {
            let records = self.records(&tags, at, (first, end), query.ascending)?;
            let Some(last) = records.last().map(|r| r.offset) else { return Ok(page) };
            for record in &records {
                let Some(attempt) = self.shown(record) else { continue };
                if page.rows.len() == query.limit {
                    page.next = Some(record.offset);
                    return Ok(page);
                }
                if let Some(hook) = hooks.get(&record.tag) {
                    let document = self.row(hook, &attempt, record)?;
                    page.rows.push(AttemptRow { position: record.offset, document });
                }
            }
            at = if query.ascending { last + 1 } else { last };
        }
    }

    fn hooks(&self, query: &AttemptQuery) -> HashMap<u64, Arc<Hook>> {
        let hooks: Vec<Arc<Hook>> =
            query.hook.map_or_else(|| self.state.all_hooks(), |hook| self.hook(hook).into_iter().collect());
        hooks.into_iter().filter(|h| h.account == query.account).map(|h| (h.id.tag(), h)).collect()
    }

    /// A hook, also one that was deleted: what it was sent can still be looked up.
    fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        let deleted = || self.state.get(Kind::Hook, &id.to_string()).ok().flatten();
        let read = |doc| kazoo::hook_from_document(&doc).ok().map(Arc::new);
        self.state.hook(id).or_else(|| deleted().and_then(read))
    }

    fn records(
        &self,
        tags: &[u64],
        at: u64,
        (first, end): (u64, u64),
        ascending: bool,
    ) -> Result<Vec<Record>, ReadError> {
        let mut records = if ascending {
            self.ledger.read_tags(tags, at, end, READ, READ_BYTES)?.records
        } else {
            self.ledger.read_tags_back(tags, at, READ)?
        };
        records.retain(|r| r.offset >= first && r.offset < end);
        Ok(records)
    }

    fn shown(&self, record: &Record) -> Option<AttemptRecord> {
        match LedgerRecord::decode(&record.payload) {
            Ok(LedgerRecord::Attempt(a)) if self.successes || a.outcome != Outcome::Delivered => Some(a),
            _ => None,
        }
    }

    pub(super) fn row(
        &self,
        hook: &Arc<Hook>,
        attempt: &AttemptRecord,
        record: &Record,
    ) -> Result<serde_json::Map<String, serde_json::Value>, ReadError> {
        let request = match self.events.get(attempt.offset)? {
            Some(event) => self.request(hook, &event.payload),
            None => None,
        };
        let event = self.state.settings().log_ids.event_id(attempt.offset);
        let result = match attempt.ending.clone() {
            Ending::Answered(response) => AttemptResult::Answered(response),
            Ending::Failed(error) => AttemptResult::Failed(error),
        };
        Ok(kazoo::attempt_row(&AttemptParts {
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
        }))
    }

    fn request(&self, hook: &Hook, record: &[u8]) -> Option<WireRequest> {
        let event = Event::decode(record).ok()?;
        let reseller_id = event.account.and_then(|a| self.state.reseller_of(a));
        let cluster_id = self.state.settings().cluster_id.clone();
        let payload = kazoo::payload(&event, hook, &Extras { cluster_id: &cluster_id, reseller_id });
        payload.ok().flatten().and_then(|payload| kazoo::wire_request(hook, &payload).ok())
    }
}
