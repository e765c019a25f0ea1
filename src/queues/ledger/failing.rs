//! Which deliveries of a hook have failed, read from the ledger: what a replay of failed or dead deliveries sends again.

use std::collections::BTreeSet;
use std::ops::Range;

use super::logs::Logs;
use super::record::{LedgerRecord, Outcome, Settlement};
use crate::log::{ReadError, Record};
use crate::model::HookId;

const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;

/// What one ledger record says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWord {
    /// An attempt failed; it goes on.
    Failed,
    /// An attempt failed and was the last.
    LastFailed,
    /// Given up some time after its last attempt.
    GivenUp,
    /// Delivered, or there was nothing to send.
    Fine,
    /// Its event is gone.
    Expired,
}

/// Which failures are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Failures {
    /// Deliveries that were given up.
    Dead,
    /// All whose last attempt failed.
    All,
}

impl Logs {
    /// The offsets in a range whose deliveries to a hook have failed, as far as the ledger knows.
    pub(in crate::queues) fn failed(
        &self,
        hook: HookId,
        range: &Range<u64>,
        which: Failures,
    ) -> Result<BTreeSet<u64>, ReadError> {
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

    /// Calls `each` for every record of a hook's deliveries, oldest first: the record, the event's offset, and what the
    /// record says of the delivery. The record that comes last for an offset is the one that counts.
    pub fn each_outcome(
        &self,
        hook: HookId,
        mut each: impl FnMut(&Record, u64, LastWord),
    ) -> Result<(), ReadError> {
        let Some(hook) = self.hook(hook) else { return Ok(()) };
        let (mut at, end) = (self.ledger.first().max(hook.birth.ledger), self.ledger.end());
        let (own, tag) = (hook.id, hook.id.tag());
        let mut filed = self.filed([hook]);
        while at < end {
            let batch = self.ledger.read_tags(&[tag], at, end, READ, READ_BYTES)?;
            for record in &batch.records {
                let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                let is_its_own = filed.hook_of(record, &decoded, |replay| self.replay_of(replay)).is_some();
                if let Some((offset, word)) = last_word(&decoded, own).filter(|_| is_its_own) {
                    each(record, offset, word);
                }
            }
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        Ok(())
    }
}

fn last_word(record: &LedgerRecord, hook: HookId) -> Option<(u64, LastWord)> {
    match record {
        LedgerRecord::Attempt(attempt) => {
            let word = match attempt.outcome {
                Outcome::Delivered => LastWord::Fine,
                Outcome::Dead => LastWord::LastFailed,
                Outcome::Shadow if attempt.queue == hook => LastWord::Fine,
                // A replay that was not sent: what was dead before still is.
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
