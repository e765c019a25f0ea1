//! Dead deliveries, read from the ledger: those that ran out of tries and have not been delivered since.
//!
//! The index knows them. Of very many it knows only the newest: a list that begins with these ends with them. The rest is
//! found by one pass over the hook's records, whose memory is bounded: of more than `MOST` failing deliveries, only those
//! at the front of the requested order are in memory. Lists say where to continue.

use std::collections::BTreeMap;

use super::damaged::{LEDGER_DAMAGED, error_of_event, unreadable};
use super::dead_index::{Failing, KnownDead};
use super::reader::HistoryReader;
use super::revisions::Revisions;
use crate::log::{ReadError, Record};
use crate::model::{
    Dead, DeadList, DeadQuery, DeadRow, Event, EventOffset, HookId, LedgerOffset, gregorian_seconds,
};
use crate::queues::{LastWord, LedgerRecord};

/// The most failing deliveries in memory.
const MOST: usize = 1 << 16;

impl HistoryReader {
    /// A hook's dead deliveries in one order, up to `MOST`.
    pub(super) fn dead(&self, query: &DeadQuery) -> Result<DeadList, ReadError> {
        let first = self.logs.events.first();
        let is_asked_for = |offset: EventOffset| {
            let started = query.start.is_none_or(|s| if query.ascending { offset >= s } else { offset <= s });
            // What retention has removed cannot be delivered again, so it is not listed.
            started && offset >= first
        };
        let Some(known) = self.dead.all(&self.logs, query.hook)? else { return Ok(DeadList::default()) };
        if let Some(list) = known.list(query, is_asked_for) {
            return Ok(list);
        }
        let mut front = Front { failing: BTreeMap::new(), ascending: query.ascending, left_out: None };
        self.logs.each_outcome(query.hook, |record, offset, word| {
            if is_asked_for(offset) {
                front.note(record, offset, word);
            }
        })?;
        let dead = front.failing.into_iter().filter_map(|(offset, failing)| failing.dead(offset));
        let dead: Vec<Dead> = if query.ascending { dead.collect() } else { dead.rev().collect() };
        Ok(DeadList { dead, next: front.left_out })
    }

    /// The rows of dead deliveries: the last attempt, and the event's header. Leaves out deliveries that retention has
    /// removed meanwhile. A row with something unreadable has an error.
    pub(super) fn dead_rows(&self, hook: HookId, dead: &[Dead]) -> Vec<DeadRow> {
        let Some(hook) = self.logs.state.hook(hook) else { return Vec::new() };
        let (mut filed, mut revisions) = (self.logs.filed([hook]), Revisions::default());
        let mut rows = Vec::with_capacity(dead.len());
        for Dead { offset, attempt, died_us } in dead {
            let mut document = match self.logs.ledger.get(*attempt) {
                Ok(None) => continue,
                Ok(Some(record)) => {
                    let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                    let hook = filed.hook_of(&record, &decoded, |replay| self.logs.replay_of(replay));
                    match (hook, &decoded) {
                        (Some(hook), LedgerRecord::Attempt(attempt)) => {
                            self.row(&mut revisions, hook, attempt, &record)
                        }
                        _ => continue,
                    }
                }
                Err(_) => unreadable(LEDGER_DAMAGED),
            };
            match self.logs.events.get(*offset) {
                Ok(None) => continue,
                Ok(Some(logged)) => {
                    let Ok(event) = Event::decode(&logged.payload) else { continue };
                    document.insert("event_name".into(), event.name.into());
                    document.insert("subject".into(), event.subject.into());
                    document.insert("received".into(), gregorian_seconds(logged.time_us).into());
                }
                Err(error) => document.extend(unreadable(error_of_event(&error))),
            }
            document.insert("died".into(), gregorian_seconds(*died_us).into());
            rows.push(DeadRow { offset: *offset, document });
        }
        rows
    }
}

impl KnownDead {
    /// The list that the index can give: all of it, or its front up to what was left out. `None`: it begins with what was
    /// left out.
    fn list(self, query: &DeadQuery, is_asked_for: impl Fn(EventOffset) -> bool) -> Option<DeadList> {
        let Self { mut dead, left_out } = self;
        // What is known for certain lies behind what was left out.
        if left_out.is_some_and(|out| query.ascending || query.start.is_some_and(|start| start <= out)) {
            return None;
        }
        dead.retain(|dead| is_asked_for(dead.offset) && left_out.is_none_or(|out| dead.offset > out));
        if !query.ascending {
            dead.reverse();
        }
        Some(DeadList { dead, next: left_out })
    }
}

/// The failing deliveries at the front of an order.
struct Front {
    failing: BTreeMap<EventOffset, Failing>,
    ascending: bool,
    /// The first offset in the order that is not in memory.
    left_out: Option<EventOffset>,
}

impl Front {
    fn note(&mut self, record: &Record<LedgerOffset>, offset: EventOffset, word: LastWord) {
        // Behind the first delivery that was left out, the list would have gaps. So it ends there, and the next
        // call begins there.
        if self.left_out.is_some_and(|out| if self.ascending { offset >= out } else { offset <= out }) {
            return;
        }
        if !self.failing.entry(offset).or_default().note(record, word) {
            self.failing.remove(&offset);
        }
        if self.failing.len() > MOST {
            let last = if self.ascending { self.failing.pop_last() } else { self.failing.pop_first() };
            self.left_out = last.map(|(offset, _)| offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets of a list from the index, and where it continues.
    fn listed(left_out: Option<u64>, ascending: bool, start: Option<u64>) -> Option<(Vec<u64>, Option<u64>)> {
        let (left_out, start) = (left_out.map(EventOffset), start.map(EventOffset));
        let dead = [50, 60, 70]
            .map(|offset| Dead { offset: EventOffset(offset), attempt: LedgerOffset(offset * 2), died_us: 1 })
            .to_vec();
        let query = DeadQuery { hook: HookId(1), ascending, start };
        let begins = |offset| start.is_none_or(|s| if ascending { offset >= s } else { offset <= s });
        let list = KnownDead { dead, left_out }.list(&query, begins)?;
        Some((list.dead.iter().map(|dead| dead.offset.0).collect(), list.next.map(|next| next.0)))
    }

    #[test]
    fn a_list_from_the_index_ends_before_what_was_left_out_and_says_so() {
        assert_eq!(listed(None, false, None), Some((vec![70, 60, 50], None)));
        assert_eq!(listed(None, true, Some(55)), Some((vec![60, 70], None)));
        // A delivery that was left out may lie between those known below it.
        assert_eq!(listed(Some(55), false, None), Some((vec![70, 60], Some(55))));
        assert_eq!(listed(Some(55), false, Some(65)), Some((vec![60], Some(55))));
        assert_eq!(listed(Some(80), false, None), Some((vec![], Some(80))), "all known ones are older");
        for (ascending, start) in [(false, Some(55)), (false, Some(50)), (true, None), (true, Some(60))] {
            assert_eq!(listed(Some(55), ascending, start), None, "{ascending} {start:?}");
        }
    }
}
