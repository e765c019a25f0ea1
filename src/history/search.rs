//! Searching events in the log, header by header through the tag index. Each call examines a bounded number of events
//! and says where to continue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::damaged::{EVENT_DAMAGED, Found, found, unreadable};
use super::reader::{HistoryReader, ROWS_BYTES};
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{
    AccountId, Event, EventFilter, EventNews, EventNewsPage, EventOffset, EventPage, EventQuery, EventRow,
    EventScope, Source, fields_weight, gregorian_seconds,
};

/// The records of one read. They may be large.
const READ: usize = 32;
const READ_BYTES: usize = 1 << 20;
/// The records of one read for clients that watch.
const NEWS_READ: usize = 512;
/// The most events that one call examines.
const LOOKED_AT: usize = 128;

impl HistoryReader {
    /// A page of events, newest first unless the query asks for oldest first.
    pub(super) fn search(&self, query: &EventQuery) -> Result<EventPage, ReadError> {
        let tag = match query.scope {
            EventScope::Account(account) => account.tag(),
            // A quarantined event has the tag 0 even if it names an account (`Event::tag`), so that no search of the
            // account finds it.
            EventScope::Quarantine | EventScope::QuarantineOf(_) => 0,
        };
        let range = self.logs.events.offsets_in(query.from_us..query.until_us)?;
        let (first, end) = (range.start, range.end);
        let (mut page, mut bytes) = (EventPage::default(), 0);
        let mut at = match (query.start, query.ascending) {
            (Some(start), true) => start.max(first),
            (Some(start), false) => (start + 1).min(end),
            (None, true) => first,
            (None, false) => end,
        };
        while page.looked_at < LOOKED_AT {
            let batch = if query.ascending {
                self.logs.events.read_tags(&[tag], at, end, READ, READ_BYTES)?
            } else {
                self.logs.events.read_tags_back(&[tag], at, READ)?
            };
            for found in found(&batch, query.ascending).filter(|found| range.contains(&found.offset())) {
                // Counted whether the event is shown or not, so that a filter which matches nothing cannot make
                // one call read the whole log.
                page.looked_at += 1;
                let Some(row) = self.found(&found, query) else { continue };
                if page.rows.len() == query.limit || bytes >= ROWS_BYTES {
                    page.next = Some(found.offset());
                    return Ok(page);
                }
                bytes += fields_weight(&row.document);
                page.rows.push(row);
            }
            at = batch.next;
            // Checked before the bound on events, or the last page would name a next one that is empty.
            let is_over = if query.ascending { at >= end } else { at <= first };
            if is_over {
                return Ok(page);
            }
        }
        page.next = Some(if query.ascending { at } else { at - 1 });
        Ok(page)
    }

    fn found(&self, found: &Found<'_, EventOffset>, query: &EventQuery) -> Option<EventRow> {
        let record = match found {
            Found::Record(record) => record,
            Found::Damaged(offset) => return self.damaged(*offset, query),
        };
        let event = Event::decode(&record.payload).ok()?;
        if !(query.from_us..query.until_us).contains(&record.time_us) {
            return None;
        }
        // Two accounts may share a tag, so the whole id is compared.
        let in_scope = match query.scope {
            EventScope::Account(account) => event.account == Some(account) && event.quarantine.is_none(),
            EventScope::QuarantineOf(account) => event.account == Some(account) && event.quarantine.is_some(),
            EventScope::Quarantine => event.quarantine.is_some(),
        };
        let chosen = in_scope && query.filter.chooses(&event, kazoo::families_of(&event));
        chosen.then(|| self.event_row(record, &event))
    }

    /// The row of a damaged event. Left out with a filter, because it is unknown whether the event would pass.
    fn damaged(&self, offset: EventOffset, query: &EventQuery) -> Option<EventRow> {
        let EventScope::Account(account) = query.scope else { return None };
        let is_asked_for = query.filter == EventFilter::default();
        let id = self.logs.state.settings().log_ids.event_id(offset).to_string();
        let mut document = Map::from_iter([("id".to_owned(), id.into())]);
        document.extend(unreadable(EVENT_DAMAGED));
        is_asked_for.then_some(EventRow { offset, account: Some(account), document })
    }

    /// Events of these accounts (`None`: of all) from an offset on, among a bounded number of records.
    pub(super) fn event_news(
        &self,
        from: EventOffset,
        accounts: Option<&[AccountId]>,
    ) -> Result<EventNewsPage, ReadError> {
        let log = &self.logs.events;
        let batch = match accounts {
            None => log.read(from, NEWS_READ, READ_BYTES)?,
            Some(accounts) => {
                let tags: Vec<u64> = accounts.iter().map(|account| account.tag()).collect();
                log.read_tags(&tags, from, log.end(), NEWS_READ, READ_BYTES)?
            }
        };
        let news = batch.records.iter().filter_map(|record| {
            let event = Event::decode(&record.payload).ok().filter(|event| event.quarantine.is_none())?;
            let account = event.account?;
            let is_watched = accounts.is_none_or(|accounts| accounts.contains(&account));
            let id = self.logs.state.settings().log_ids.event_id(record.offset);
            let document = || self.event_row(record, &event).document;
            is_watched.then(|| EventNews { account, event: id, document: document() })
        });
        Ok(EventNewsPage { news: news.collect(), next: batch.next })
    }

    /// One event with its body; `None` if it was removed or does not exist yet.
    pub(super) fn event(&self, offset: EventOffset) -> Result<Option<EventRow>, ReadError> {
        let Some(record) = self.logs.events.get(offset)? else { return Ok(None) };
        let Ok(event) = Event::decode(&record.payload) else { return Ok(None) };
        let mut row = self.event_row(&record, &event);
        row.document.extend(body(&event));
        Ok(Some(row))
    }

    fn event_row(&self, record: &Record<EventOffset>, event: &Event<'_>) -> EventRow {
        let id = self.logs.state.settings().log_ids.event_id(record.offset);
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
        put("id", id.to_string().into());
        put("timestamp", gregorian_seconds(record.time_us).into());
        if let Some(account) = event.account {
            put("account_id", account.to_string().into());
        }
        if let Some(family) = event.family {
            put("hook_event", family.id().into());
        }
        if let Some(reason) = event.quarantine {
            put("reason", reason.into());
        }
        let source = match event.source {
            Source::Amqp => "amqp",
            Source::Http => "http",
            Source::Internal => "internal",
        };
        put("source", source.into());
        for (key, text) in [
            ("event_category", event.category),
            ("event_name", event.name),
            ("subject", event.subject),
            ("msg_id", event.msg_id),
            ("document_type", event.detail),
            ("exchange", event.exchange),
            ("routing_key", event.routing_key),
        ] {
            if !text.is_empty() {
                put(key, text.into());
            }
        }
        if !event.mended.is_nothing() {
            put("mended", event.mended.names().collect::<Vec<_>>().into());
        }
        put("bytes", event.body.len().into());
        EventRow { offset: record.offset, account: event.account, document }
    }
}

/// The body as JSON, otherwise as text or in base64. The body of a quarantined event is shown exactly as received.
fn body(event: &Event<'_>) -> Map<String, Value> {
    let text = if event.quarantine.is_none() { kazoo::stored_text(event).ok() } else { None };
    let bytes = text.as_deref().unwrap_or(event.body);
    let parsed = if event.quarantine.is_none() { serde_json::from_slice(bytes).ok() } else { None };
    let text = || std::str::from_utf8(bytes).ok().map(Value::from);
    let (key, value) = match parsed.or_else(text) {
        Some(body) => ("body", body),
        None => ("body_base64", STANDARD.encode(bytes).into()),
    };
    Map::from_iter([(key.to_owned(), value)])
}
