//! The failed deliveries of a hook, read from the ledger. Replays of failed or dead deliveries send these again.

use std::collections::BTreeSet;
use std::ops::Range;

use super::filed::Filed;
use super::logs::Logs;
use super::record::{LedgerRecord, Outcome, Settlement};
use crate::log::{ReadError, Record};
use crate::model::{EventOffset, HookId, LedgerOffset};

/// The records and bytes of one read.
const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;

/// What a ledger record says about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWord {
    /// An attempt failed, and the delivery continues.
    Failed,
    /// An attempt failed, and the delivery is dead.
    LastFailed,
    /// The delivery is dead, some time after its last attempt.
    GivenUp,
    /// The delivery is delivered, or there was nothing to send.
    Fine,
    /// Retention removed the event.
    Expired,
}

/// The failures to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Failures {
    /// Dead deliveries.
    Dead,
    /// All deliveries whose last attempt failed.
    All,
}

impl Logs {
    /// The offsets in a range whose deliveries to a hook have failed, as far as the ledger goes back.
    pub(in crate::queues) fn failed(
        &self,
        hook: HookId,
        range: &Range<EventOffset>,
        which: Failures,
    ) -> Result<BTreeSet<EventOffset>, ReadError> {
        let mut found = BTreeSet::new();
        self.each_outcome(hook, |_, offset, word| {
            let has_failed = match word {
                LastWord::Fine | LastWord::Expired => false,
                LastWord::Failed if which == Failures::Dead => return,
                LastWord::Failed | LastWord::LastFailed | LastWord::GivenUp => range.contains(&offset),
            };
            if has_failed {
                found.insert(offset);
            } else {
                found.remove(&offset);
            }
        })?;
        Ok(found)
    }

    /// Calls `each` for every record of a hook's deliveries, oldest first, with the record, the event's offset, and what the
    /// record says about the delivery. The last record of an offset decides.
    pub fn each_outcome(
        &self,
        hook: HookId,
        mut each: impl FnMut(&Record<LedgerOffset>, EventOffset, LastWord),
    ) -> Result<(), ReadError> {
        let Some(hook) = self.hook(hook) else { return Ok(()) };
        // Records from before the birth belong to a deleted hook with the same id.
        let (mut at, end) = (self.ledger.first().max(hook.birth.ledger), self.ledger.end());
        let mut filed = self.filed([hook]);
        while at < end {
            let next = self.some_outcomes(&mut filed, at..end, |record, _, offset, word| {
                each(record, offset, word);
            })?;
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(())
    }

    /// Like `each_outcome` for several hooks, with the hook of each record. Makes one bounded read in a range of the
    /// ledger, and returns the offset at which the next one should start.
    pub fn some_outcomes(
        &self,
        filed: &mut Filed,
        range: Range<LedgerOffset>,
        mut each: impl FnMut(&Record<LedgerOffset>, HookId, EventOffset, LastWord),
    ) -> Result<LedgerOffset, ReadError> {
        // A tag is a hash, so it also finds records of other hooks. `hook_of` compares the whole id.
        let batch = self.ledger.read_tags(&filed.tags(), range.start, range.end, READ, READ_BYTES)?;
        for record in &batch.records {
            let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
            let hook = filed.hook_of(record, &decoded, |replay| self.replay_of(replay)).map(|hook| hook.id);
            let Some(hook) = hook else { continue };
            if let Some((offset, word)) = last_word(&decoded, hook) {
                each(record, hook, offset, word);
            }
        }
        Ok(batch.next)
    }
}

fn last_word(record: &LedgerRecord, hook: HookId) -> Option<(EventOffset, LastWord)> {
    match record {
        LedgerRecord::Attempt(attempt) => {
            let word = match attempt.outcome {
                Outcome::Delivered => LastWord::Fine,
                Outcome::Dead => LastWord::LastFailed,
                Outcome::Shadow if attempt.queue == hook.into() => LastWord::Fine,
                // A replay that was not sent changes nothing: a dead delivery stays dead.
                Outcome::Shadow => return None,
                Outcome::Retry | Outcome::Suspect | Outcome::Held => LastWord::Failed,
            };
            Some((attempt.offset, word))
        }
        LedgerRecord::Settled { offset, how, .. } => {
            let word = match how {
                Settlement::Skipped => LastWord::Fine,
                Settlement::Dead => LastWord::GivenUp,
                Settlement::Expired => LastWord::Expired,
            };
            Some((*offset, word))
        }
        _ => None,
    }
}
