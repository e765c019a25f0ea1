//! Which deliveries of hooks are dead, in memory, so that a page of many hooks can count them and a busy hook's list
//! begins at once.
//!
//! The ledger alone decides. The index reads the records of the hooks that it is asked about, each record once, a
//! bounded number in each call: until all are read, an answer says so, and `further` reads the rest meanwhile. Its memory
//! is bounded, too: of a hook with very many failing deliveries only the newest are in it, and a count is then a lower
//! bound. Empty after a start.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::{ReadError, Record};
use crate::model::{Dead, DeadLeft, EventOffset, Hook, HookId, LedgerOffset};
use crate::queues::{LastWord, Logs};

/// The reads of one step. Each has at most some thousand records, because a page waits for it.
const READS: usize = 1;
/// The most failing deliveries of one hook, and of all hooks, in memory.
const MOST_OF_HOOK: usize = 1 << 14;
const MOST: usize = 1 << 18;

/// The index. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct DeadIndex(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<HookId, OfHook>,
    /// The failing deliveries of all hooks.
    failing: usize,
    /// The hooks whose records are to be read by `further`.
    wanted: HashSet<HookId>,
    /// Whether somebody calls `further` until it has read all.
    has_reader: bool,
}

/// The dead deliveries of a hook that the index knows.
#[derive(Debug)]
pub(super) struct KnownDead {
    /// Oldest event first.
    pub(super) dead: Vec<Dead>,
    /// If some were left out: the last event of those. All later ones are known.
    pub(super) left_out: Option<EventOffset>,
}

/// What is known of one hook.
#[derive(Debug, Default)]
struct OfHook {
    /// The ledger's offset at which the hook began. A hook made again under its id begins later.
    birth: LedgerOffset,
    /// The records of the ledger below this offset have been read.
    read_until: LedgerOffset,
    /// Whether everything up to some moment has been read once.
    was_complete: bool,
    /// The failing deliveries by the offsets of their events.
    failing: BTreeMap<EventOffset, Failing>,
    /// The last event whose failing delivery was left out.
    left_out: Option<EventOffset>,
}

/// A failing delivery.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failing {
    /// The ledger's offset of its last attempt.
    pub(super) attempt: Option<LedgerOffset>,
    /// When it died; `None` if it is not dead.
    pub(super) died_us: Option<u64>,
}

impl Failing {
    /// Takes note of what a record says about the delivery. False: it no longer fails.
    pub(super) fn note(&mut self, record: &Record<LedgerOffset>, word: LastWord) -> bool {
        if matches!(word, LastWord::Fine | LastWord::Expired) {
            return false;
        }
        // A delivery that is given up later has no attempt at that moment. Its row shows its last one.
        if word != LastWord::GivenUp {
            self.attempt = Some(record.offset);
        }
        if word != LastWord::Failed {
            self.died_us = Some(record.time_us);
        }
        true
    }

    /// The dead delivery of the event at this offset.
    pub(super) fn dead(&self, offset: EventOffset) -> Option<Dead> {
        Some(Dead { offset, attempt: self.attempt?, died_us: self.died_us? })
    }
}

impl DeadIndex {
    /// How many deliveries of each hook are dead and have not been delivered since, after one bounded step of reading.
    /// `None`: the hook's records have not all been read yet, or there is no such hook.
    pub(super) fn left(&self, logs: &Logs, hooks: &[HookId]) -> Result<Vec<Option<DeadLeft>>, ReadError> {
        let hooks = hooks.iter().map(|id| logs.state.hook(*id)).collect::<Vec<_>>();
        let mut known = self.lock();
        let end = logs.ledger.end();
        known.step(logs, hooks.iter().flatten())?;
        let (first, first_attempt) = (logs.events.first(), logs.ledger.first());
        let left = hooks.iter().map(|hook| {
            let of = known.of.get_mut(&hook.as_ref()?.id).filter(|of| of.was_complete)?;
            of.drop_before(first);
            let dead = of.failing.iter().filter_map(|(offset, failing)| failing.dead(*offset));
            let (mut count, mut last_us) = (0, None);
            let is_behind = of.read_until < end;
            for dead in dead.filter(|dead| dead.attempt >= first_attempt) {
                count += 1;
                last_us = last_us.max(Some(dead.died_us));
            }
            Some(DeadLeft { count, is_exact: !is_behind && of.left_out.is_none(), is_behind, last_us })
        });
        Ok(left.collect())
    }

    /// Asks for the rest of these hooks' records. True: nobody reads them yet, so the caller has to call `further`.
    pub(super) fn want(&self, hooks: &[HookId]) -> bool {
        let mut known = self.lock();
        known.wanted.extend(hooks);
        !std::mem::replace(&mut known.has_reader, true)
    }

    /// Reads one more step of the records that were asked for. False: there is nothing left to read.
    pub(super) fn further(&self, logs: &Logs) -> Result<bool, ReadError> {
        let mut known = self.lock();
        let hooks: Vec<_> = known.wanted.iter().filter_map(|id| logs.state.hook(*id)).collect();
        if !known.step(logs, &hooks)? {
            return Ok(true);
        }
        known.wanted.clear();
        known.has_reader = false;
        Ok(false)
    }

    /// The caller of `further` ends before everything is read.
    pub(super) fn end_reading(&self) {
        self.lock().has_reader = false;
    }

    /// The dead deliveries of a hook. `None`: there is no such hook.
    pub(super) fn all(&self, logs: &Logs, hook: HookId) -> Result<Option<KnownDead>, ReadError> {
        let Some(hook) = logs.state.hook(hook) else { return Ok(None) };
        loop {
            // Released after each step, so that others get their turn.
            let mut known = self.lock();
            if known.step(logs, [&hook])? {
                return Ok(known.of.get_mut(&hook.id).map(|of| {
                    of.drop_before(logs.events.first());
                    let dead = of.failing.iter().filter_map(|(offset, failing)| failing.dead(*offset));
                    KnownDead { dead: dead.collect(), left_out: of.left_out }
                }));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Reads some more records of these hooks. True: everything up to now has been read.
    fn step<'a>(
        &mut self,
        logs: &Logs,
        hooks: impl IntoIterator<Item = &'a Arc<Hook>>,
    ) -> Result<bool, ReadError> {
        let (first, end) = (logs.ledger.first(), logs.ledger.end());
        self.of.retain(|id, _| logs.state.hook(*id).is_some());
        // Hooks that were read up to the same place are read together.
        let mut behind: BTreeMap<LedgerOffset, Vec<Arc<Hook>>> = BTreeMap::new();
        for hook in hooks {
            let of = self.of.entry(hook.id).or_default();
            let was_lost = of.left_out.is_some() && of.failing.is_empty();
            if of.birth != hook.birth.ledger || was_lost {
                *of = OfHook { birth: hook.birth.ledger, ..OfHook::default() };
            }
            if of.read_until < end {
                behind.entry(of.read_until.max(first)).or_default().push(Arc::clone(hook));
            } else {
                of.was_complete = true;
            }
        }
        self.failing = self.of.values().map(|of| of.failing.len()).sum();
        let mut reads = READS;
        for (from, hooks) in behind {
            let ids: Vec<HookId> = hooks.iter().map(|hook| hook.id).collect();
            let (mut filed, mut at) = (logs.filed(hooks), from);
            while at < end && reads > 0 {
                reads -= 1;
                let next = logs.some_outcomes(&mut filed, at..end, |record, hook, offset, word| {
                    self.note(hook, record, offset, word);
                })?;
                if next <= at {
                    break;
                }
                at = next;
            }
            for id in ids {
                if let Some(of) = self.of.get_mut(&id) {
                    (of.read_until, of.was_complete) = (at, of.was_complete || at >= end);
                }
            }
            if at < end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn note(&mut self, hook: HookId, record: &Record<LedgerOffset>, offset: EventOffset, word: LastWord) {
        let Some(of) = self.of.get_mut(&hook) else { return };
        let before = of.failing.len();
        if !of.failing.entry(offset).or_default().note(record, word) {
            of.failing.remove(&offset);
        }
        of.cut(MOST_OF_HOOK);
        self.failing = (self.failing + of.failing.len()).saturating_sub(before);
        if self.failing > MOST
            && let Some(largest) = self.of.values_mut().max_by_key(|of| of.failing.len())
        {
            let before = largest.failing.len();
            largest.cut(before / 2);
            self.failing = (self.failing + largest.failing.len()).saturating_sub(before);
        }
    }
}

impl OfHook {
    /// Leaves out the oldest deliveries beyond this number.
    fn cut(&mut self, most: usize) {
        while self.failing.len() > most {
            let out = self.failing.pop_first().map(|(offset, _)| offset);
            self.left_out = self.left_out.max(out);
        }
    }

    /// Drops the deliveries of events that retention has removed.
    fn drop_before(&mut self, first: EventOffset) {
        if self.failing.first_key_value().is_some_and(|(offset, _)| *offset < first) {
            self.failing = self.failing.split_off(&first);
        }
        self.left_out = self.left_out.filter(|out| *out >= first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_deliveries_are_left_out_and_the_newest_of_those_is_known_until_retention_removes_it() {
        let mut of = OfHook::default();
        of.failing.extend([10, 20, 30, 40].map(|offset| (EventOffset(offset), Failing::default())));
        of.cut(2);
        assert_eq!((of.failing.len(), of.left_out), (2, Some(EventOffset(20))));
        // An old one fails again, and is left out again.
        of.failing.insert(EventOffset(5), Failing::default());
        of.cut(2);
        assert_eq!((of.failing.len(), of.left_out), (2, Some(EventOffset(20))));
        of.drop_before(EventOffset(20));
        assert_eq!(of.left_out, Some(EventOffset(20)));
        of.drop_before(EventOffset(21));
        assert_eq!((of.failing.len(), of.left_out), (2, None), "nothing is missing any more");
    }
}
