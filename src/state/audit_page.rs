//! Reads the audit trail page by page. It has two parts, read in this order: older entries that were copied (`audit_kept`), then
//! the trail itself. A position below `FIRST_PART` belongs to a kept entry.

use std::ops::Range;

use serde_json::{Map, Value};

use super::audit::WAS;
use crate::log::{Batch, ReadError, Reader, Record};
use crate::model::AccountId;

/// The first position of the first part.
const FIRST_PART: u64 = 1 << 63;
/// The most records that one step of a page reads.
const STEP: usize = 256;
const STEP_BYTES: usize = 4 << 20;
/// The row of a damaged entry, whose content is lost.
const DAMAGED: &str = "entry cannot be read: its record in the audit trail is damaged";
/// A page ends once its entries have this many bytes.
const PAGE_BYTES: usize = 1 << 20;

/// The filter, order and size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only changes of documents of this account.
    pub account: Option<AccountId>,
    /// The earliest time, in microseconds since 1970.
    pub from_us: u64,
    /// The end of the range of time (exclusive), in microseconds since 1970.
    pub until_us: u64,
    /// The position at which the page begins.
    pub start: Option<u64>,
    /// Oldest first; otherwise newest first.
    pub ascending: bool,
    /// The most entries of the page.
    pub limit: usize,
}

/// A page of entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditPage {
    /// Positions, each with its entry in the form for clients.
    pub rows: Vec<(u64, Map<String, Value>)>,
    /// The position of the next page; `None` on the last page.
    pub next: Option<u64>,
}

/// One of the two logs of the trail.
struct Part<'a> {
    log: &'a Reader,
    /// The position of the log's offset 0.
    base: u64,
    /// Whether records are tagged with their account. The kept entries are tagged with their tenant.
    is_by_account: bool,
}

/// Reads a page of the trail (blocking). A damaged entry becomes a row with `error`.
pub(super) fn page(kept: &Reader, trail: &Reader, query: &AuditQuery) -> Result<AuditPage, ReadError> {
    let mut parts = [
        Part { log: kept, base: 0, is_by_account: false },
        Part { log: trail, base: FIRST_PART, is_by_account: true },
    ];
    if !query.ascending {
        parts.reverse();
    }
    let (mut page, mut bytes) = (AuditPage::default(), 0);
    for part in parts {
        part.fill(query, &mut page, &mut bytes)?;
        if page.next.is_some() {
            break;
        }
    }
    Ok(page)
}

impl Part<'_> {
    /// The offset at which the page begins in this part, whose offsets are `first..end`.
    fn start(&self, query: &AuditQuery, first: u64, end: u64) -> u64 {
        let Some(start) = query.start else { return if query.ascending { first } else { end } };
        let (is_ours, at) = (start & FIRST_PART == self.base, start & !FIRST_PART);
        match (query.ascending, is_ours) {
            (true, true) => at.max(first),
            (false, true) => at.saturating_add(1).min(end),
            // The page begins in the other part. This part lies wholly after it in the reading order, or wholly before.
            (_, false) => {
                if start < self.base {
                    first
                } else {
                    end
                }
            }
        }
    }

    /// Adds rows of this part until the page is full. Entries are parsed only as far as the page needs them: an entry has
    /// kilobytes of JSON.
    fn fill(&self, query: &AuditQuery, page: &mut AuditPage, bytes: &mut usize) -> Result<(), ReadError> {
        let range = self.log.offsets_in(query.from_us..query.until_us)?;
        let mut at = self.start(query, range.start, range.end);
        while if query.ascending { at < range.end } else { at > range.start } {
            // One more than the page needs says where the next page begins.
            let wanted = query.limit.saturating_sub(page.rows.len()).saturating_add(1).min(STEP);
            let batch = self.batch(query, at, &range, wanted)?;
            for found in found(&batch, query.ascending) {
                let offset = found.offset();
                let is_ahead = if query.ascending { offset >= at } else { offset < at };
                let Some(row) = found.row(query).filter(|_| is_ahead && range.contains(&offset)) else {
                    continue;
                };
                let position = self.base | offset;
                if page.rows.len() == query.limit || *bytes >= PAGE_BYTES {
                    page.next = Some(position);
                    return Ok(());
                }
                *bytes += found.size();
                page.rows.push((position, row));
            }
            if batch.next == at {
                break;
            }
            at = batch.next;
        }
        Ok(())
    }

    /// Reads one step of entries of the range, from `at` in the direction of the query.
    fn batch(
        &self,
        query: &AuditQuery,
        at: u64,
        range: &Range<u64>,
        wanted: usize,
    ) -> Result<Batch, ReadError> {
        let tag = query.account.filter(|_| self.is_by_account).map(AccountId::tag);
        match (tag, query.ascending) {
            (Some(tag), true) => self.log.read_tags(&[tag], at, range.end, wanted, STEP_BYTES),
            (Some(tag), false) => self.log.read_tags_back(&[tag], at, wanted),
            // Without the account's tag, most entries may be of others.
            (None, _) if query.account.is_some() => self.any(query, at, range.start, STEP),
            (None, _) => self.any(query, at, range.start, wanted),
        }
    }

    fn any(&self, query: &AuditQuery, at: u64, first: u64, most: usize) -> Result<Batch, ReadError> {
        if query.ascending { self.log.read(at, most, STEP_BYTES) } else { before(self.log, at, first, most) }
    }
}

/// An entry, or the damage in its place.
enum Found<'a> {
    Entry(&'a Record),
    Damaged(u64),
}

impl Found<'_> {
    fn offset(&self) -> u64 {
        match self {
            Self::Entry(record) => record.offset,
            Self::Damaged(offset) => *offset,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Entry(record) => record.payload.len(),
            Self::Damaged(_) => 0,
        }
    }

    /// The row, if the query asks for it. A damaged entry has one, because it may have been asked for.
    fn row(&self, query: &AuditQuery) -> Option<Map<String, Value>> {
        let record = match self {
            Self::Entry(record) => record,
            Self::Damaged(_) => return Some(Map::from_iter([("error".to_owned(), DAMAGED.into())])),
        };
        let is_in_time = (query.from_us..query.until_us).contains(&record.time_us);
        if !is_in_time || query.account.is_some_and(|account| !names_account(record, account)) {
            return None;
        }
        let row = row(record)?;
        let of = row.get("account_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        query.account.is_none_or(|account| of == Some(account)).then_some(row)
    }
}

/// Whether an entry contains the id of an account anywhere. Finding a text is much cheaper than parsing the entry.
fn names_account(record: &Record, account: AccountId) -> bool {
    let id = account.to_string();
    record.payload.windows(id.len()).any(|part| part == id.as_bytes())
}

/// The entries and the damage of a batch, in the order of the page.
fn found(batch: &Batch, ascending: bool) -> impl Iterator<Item = Found<'_>> {
    let damaged = batch.damaged.iter().flat_map(|damage| damage.offsets.clone()).map(Found::Damaged);
    let mut all: Vec<Found<'_>> = batch.records.iter().map(Found::Entry).chain(damaged).collect();
    all.sort_unstable_by_key(Found::offset);
    if !ascending {
        all.reverse();
    }
    all.into_iter()
}

/// Reads one step of records before `at`. The result's `next` is the `at` of the following step.
fn before(trail: &Reader, at: u64, first: u64, most: usize) -> Result<Batch, ReadError> {
    let next = at.saturating_sub(most as u64).max(first);
    let mut all = Batch { next, ..Batch::default() };
    let mut from = next;
    while from < at {
        let wanted = usize::try_from(at - from).unwrap_or(most).min(most);
        let batch = trail.read(from, wanted, STEP_BYTES)?;
        from = batch.next.max(from + 1);
        all.records.extend(batch.records);
        all.damaged.extend(batch.damaged);
    }
    Ok(all)
}

fn row(record: &Record) -> Option<Map<String, Value>> {
    let mut row: Map<String, Value> = serde_json::from_slice(&record.payload).ok()?;
    row.shift_remove("v");
    row.shift_remove(WAS);
    Some(row)
}
