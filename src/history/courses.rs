//! What the ledger says about one event: for each of some hooks the state of the delivery, and where its attempts are.
//!
//! A look is bounded, so that a page about an old event of a busy hook stays fast. It reads the records after the event,
//! where nearly all attempts of it are; then further records only of hooks whose delivery has not ended by then;
//! then the newest records, where an attempt is that somebody has just requested. `complete` says whether this was all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::reader::HistoryReader;
use crate::kazoo;
use crate::log::{ReadError, ReaderOf, Record};
use crate::model::{DeliveryState, Event, EventOffset, Hook, HookId, LedgerOffset, ReplayId};
use crate::queues::{Fate, Filed, LedgerRecord, in_reach};

/// The most records of one read.
const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;
/// The usual bounds.
const BOUNDS: Bounds = Bounds { after: 1 << 13, further: 1 << 15, newest: 1024 };
/// The most attempts of one delivery that are remembered, the newest ones.
const REMEMBERED: usize = 100;
/// How far before its event an attempt is searched for, in microseconds. A clock that was set back causes this.
const BACK_US: u64 = 60_000_000;

/// The most records that the parts of a look read.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// After the event.
    after: usize,
    /// After these, for the deliveries that have not ended.
    further: usize,
    /// At the ledger's end.
    newest: usize,
}

/// The delivery of the event to one hook.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) hook: Arc<Hook>,
    /// The latest state in the ledger. Without one, the delivery waits if the hook's present filter wants the event.
    pub(super) state: Option<DeliveryState>,
    /// The positions of its newest attempts in the ledger, oldest first.
    pub(super) attempts: VecDeque<LedgerOffset>,
}

impl Course {
    fn note(&mut self, offset: EventOffset, record: &Record<LedgerOffset>, decoded: &LedgerRecord) {
        match decoded {
            LedgerRecord::Attempt(attempt) if attempt.offset == offset => {
                // The last record decides. So an attempt of a replay that will be repeated makes a dead delivery a
                // retrying one.
                self.state = Some(decoded.fate().map_or(DeliveryState::Retrying, state_of));
                if self.attempts.len() == REMEMBERED {
                    self.attempts.pop_front();
                }
                self.attempts.push_back(record.offset);
            }
            LedgerRecord::Settled { offset: settled, .. } if *settled == offset => {
                self.state = decoded.fate().map(state_of);
            }
            _ => {}
        }
    }

    fn has_ended(&self) -> bool {
        !matches!(self.state, None | Some(DeliveryState::Waiting | DeliveryState::Retrying))
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Courses {
    /// In the order of the hooks' ids; only hooks with a delivery.
    pub(super) of: BTreeMap<HookId, Course>,
    /// Whether all of the ledger after the event was read; otherwise later attempts may be missing.
    pub(super) complete: bool,
}

impl HistoryReader {
    /// The deliveries of an event to these hooks, including those that are still to be made.
    pub(super) fn courses(
        &self,
        hooks: impl IntoIterator<Item = Arc<Hook>>,
        offset: EventOffset,
    ) -> Result<Courses, ReadError> {
        let Some(event) = self.logs.events.get(offset)? else { return Ok(Courses::default()) };
        let filed = self.logs.filed(hooks);
        // With the filters of now: what a hook wanted when the event was routed is not stored. The ledger decides
        // wherever it says something.
        let expected = self.expecting(filed.hooks(), &event);
        let replay_of = |replay| self.logs.replay_of(replay);
        let mut look = Look::new(&self.logs.ledger, offset, filed, &replay_of);
        let complete = look.run(self.first_try(&event)?, &expected, BOUNDS)?;
        let mut of = look.of;
        for hook in &expected {
            if let Some(course) = of.get_mut(hook) {
                course.state.get_or_insert(DeliveryState::Waiting);
            }
        }
        of.retain(|_, course| course.state.is_some());
        Ok(Courses { of, complete })
    }

    /// The hooks whose present filters want the event.
    fn expecting<'a>(
        &self,
        hooks: impl Iterator<Item = &'a Arc<Hook>>,
        record: &Record<EventOffset>,
    ) -> BTreeSet<HookId> {
        let Ok(event) = Event::decode(&record.payload) else { return BTreeSet::new() };
        let account = event.account.and_then(|account| self.logs.state.account(account));
        let Some(account) = account else { return BTreeSet::new() };
        let is_expecting = |hook: &&Arc<Hook>| {
            record.offset >= hook.start_offset && in_reach(hook, &account) && kazoo::wanted(hook, &event)
        };
        hooks.filter(is_expecting).map(|hook| hook.id).collect()
    }

    /// An offset of the ledger before which no attempt of an event can be.
    fn first_try(&self, event: &Record<EventOffset>) -> Result<LedgerOffset, ReadError> {
        let since = self.tried_since(event)?;
        self.logs.ledger.offset_at_time(since.saturating_sub(BACK_US))
    }

    /// A time before which no attempt of an event can be. The clock may have been ahead when the event was logged, and
    /// corrected before the first attempt.
    fn tried_since(&self, event: &Record<EventOffset>) -> Result<u64, ReadError> {
        let before = self.logs.events.time_near(event.offset - 1)?;
        let behind = self.logs.events.earliest_from(event.offset)?;
        Ok([before, behind].into_iter().flatten().fold(event.time_us, u64::min))
    }
}

/// A look for the deliveries of one event.
struct Look<'a> {
    ledger: &'a ReaderOf<LedgerOffset>,
    offset: EventOffset,
    filed: Filed,
    /// The hook of a replay.
    replay_of: &'a dyn Fn(ReplayId) -> Option<HookId>,
    of: BTreeMap<HookId, Course>,
    /// The ledger's end when the look began.
    end: LedgerOffset,
}

impl<'a> Look<'a> {
    fn new(
        ledger: &'a ReaderOf<LedgerOffset>,
        offset: EventOffset,
        filed: Filed,
        replay_of: &'a dyn Fn(ReplayId) -> Option<HookId>,
    ) -> Self {
        let course = |hook: &Arc<Hook>| {
            let (hook, attempts) = (Arc::clone(hook), VecDeque::new());
            (hook.id, Course { hook, state: None, attempts })
        };
        let of = filed.hooks().map(course).collect();
        Self { ledger, offset, filed, replay_of, of, end: ledger.end() }
    }

    /// Whether everything was read. `expected` are the hooks that are to get the event.
    fn run(
        &mut self,
        from: LedgerOffset,
        expected: &BTreeSet<HookId>,
        bounds: Bounds,
    ) -> Result<bool, ReadError> {
        let all = self.filed.tags();
        let after = self.forward(&all, from, bounds.after)?;
        if after >= self.end {
            return Ok(true);
        }
        let is_open = |course: &&Course| {
            let is_tried = course.state.is_some();
            !course.has_ended() && (is_tried || expected.contains(&course.hook.id))
        };
        let open = self.of.values().filter(is_open);
        let mut open: Vec<u64> = open.map(|course| course.hook.id.tag()).collect();
        open.sort_unstable();
        open.dedup();
        let further = self.forward(&open, after, bounds.further)?;
        let newest = self.ledger.read_tags_back(&all, self.end, bounds.newest)?;
        for record in newest.records.iter().rev() {
            // A record of the newest part may have been read before. Noting it again would list its attempt twice.
            let read_until = if open.binary_search(&record.tag).is_ok() { further } else { after };
            if record.offset >= read_until {
                self.note(record);
            }
        }
        // What was not read of the ledger is between `after` and the newest records.
        Ok(newest.next <= after)
    }

    /// Reads records with these tags from an offset on, and returns the offset that was reached.
    fn forward(&mut self, tags: &[u64], from: LedgerOffset, most: usize) -> Result<LedgerOffset, ReadError> {
        if tags.is_empty() {
            return Ok(self.end);
        }
        let (mut at, mut left) = (from, most);
        while at < self.end && left > 0 {
            let batch = self.ledger.read_tags(tags, at, self.end, left.min(READ), READ_BYTES)?;
            for record in &batch.records {
                self.note(record);
            }
            left = left.saturating_sub(batch.records.len());
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        Ok(at)
    }

    fn note(&mut self, record: &Record<LedgerOffset>) {
        // Looked at before decoding: nearly all records of these hooks are about other events.
        if LedgerRecord::event_of(&record.payload) != Some(self.offset) {
            return;
        }
        let Ok(decoded) = LedgerRecord::decode(&record.payload) else { return };
        let hook = self.filed.hook_of(record, &decoded, self.replay_of).map(|hook| hook.id);
        if let Some(course) = hook.and_then(|hook| self.of.get_mut(&hook)) {
            course.note(self.offset, record, &decoded);
        }
    }
}

fn state_of(fate: Fate) -> DeliveryState {
    match fate {
        Fate::Delivered => DeliveryState::Delivered,
        Fate::Dead => DeliveryState::Dead,
        Fate::Skipped => DeliveryState::Skipped,
        Fate::Expired => DeliveryState::Expired,
        Fate::Shadow => DeliveryState::Shadow,
    }
}

#[cfg(test)]
#[path = "courses_tests.rs"]
mod tests;
