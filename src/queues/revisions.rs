//! Which revision of a hook an attempt was made with: the ledger holds what a revision sends once, not in each attempt.
//!
//! A revision is written when the first attempt is made with it, and again when an attempt is made an hour or more
//! after that. So an attempt that retention keeps has its revision within an hour before it. An attempt whose revision
//! is gone is shown without its request, never with the request that the hook would make now.

use std::collections::HashMap;
use std::sync::Arc;

use super::attempts::AttemptReader;
use super::ledger::record::{AttemptRecord, LedgerRecord};
use crate::kazoo::{self, AsSent};
use crate::log::Record;
use crate::model::{Hook, HookId, Id};

/// Age at which a revision is written again, µs.
const WRITE_AGAIN_US: u64 = 3_600_000_000;
/// Revisions read at a time, newest first, and how often at most: a hook that is changed more often than this within
/// an hour has older attempts without their request.
const READ: usize = 64;
const READS: usize = 16;

/// The log tag of a hook's revisions. It differs from the tag of the hook's attempts.
pub(super) fn revision_tag(hook: HookId) -> u64 {
    Id(hook.0 ^ 0x7265_7669_7369_6f6e).tag()
}

/// The revision that was written last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    generation: u64,
    at_us: Option<u64>,
}

impl Written {
    /// The record to write before an attempt is made at this time; `None`: the ledger has it.
    pub(super) fn renewed(&mut self, hook: &Hook, now_us: u64) -> Option<LedgerRecord> {
        let generation = hook.generation();
        let is_there = self.at_us.is_some_and(|at| {
            // A clock that was set back makes the record look new for as long as it was ahead.
            self.generation == generation && now_us >= at && now_us - at < WRITE_AGAIN_US
        });
        if is_there || hook.one_shot {
            return None;
        }
        *self = Self { generation, at_us: Some(now_us) };
        Some(LedgerRecord::HookRevision { hook: hook.id, generation, sends: kazoo::sent_document(hook) })
    }
}

/// Revisions that one reading has looked up.
#[derive(Debug, Default)]
pub(super) struct Revisions(HashMap<(HookId, u64), Option<Arc<AsSent>>>);

impl AttemptReader {
    /// The hook as it was when an attempt was made. `None`: that is not known any more.
    pub(super) fn as_sent(
        &self,
        revisions: &mut Revisions,
        hook: &Hook,
        attempt: &AttemptRecord,
        record: &Record,
    ) -> Option<Arc<AsSent>> {
        let current = hook.generation();
        let Some(generation) = attempt.generation else {
            // A record of the first version. A hook that was written only once is still the same.
            return (current == 1).then(|| Arc::new(AsSent::of(hook)));
        };
        let found = revisions.0.entry((hook.id, generation)).or_insert_with(|| {
            let written = self.revision(hook, generation, record.offset);
            written.or_else(|| (current == generation).then(|| AsSent::of(hook))).map(Arc::new)
        });
        found.clone()
    }

    fn revision(&self, hook: &Hook, generation: u64, before: u64) -> Option<AsSent> {
        let mut before = before;
        for _ in 0..READS {
            let batch = self.ledger.read_tags_back(&[revision_tag(hook.id)], before, READ).ok()?;
            for record in batch.records.iter().filter(|record| record.offset >= hook.birth.ledger) {
                match LedgerRecord::decode(&record.payload) {
                    Ok(LedgerRecord::HookRevision { hook: id, generation: found, sends })
                        if id == hook.id && found == generation =>
                    {
                        return AsSent::read(hook, sends);
                    }
                    _ => {}
                }
            }
            if batch.next <= hook.birth.ledger.max(self.ledger.first()) || batch.records.is_empty() {
                return None;
            }
            before = batch.next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::hook;

    #[test]
    fn a_revision_is_written_once_then_after_each_change_and_again_after_an_hour() {
        let mut hook = hook(1);
        hook.revision = "1-a".into();
        let mut written = Written::default();
        assert!(written.renewed(&hook, 5).is_some());
        assert!(written.renewed(&hook, 5 + WRITE_AGAIN_US - 1).is_none());
        assert!(written.renewed(&hook, 5 + WRITE_AGAIN_US).is_some());
        hook.revision = "2-b".into();
        let again = written.renewed(&hook, 6 + WRITE_AGAIN_US).unwrap();
        assert!(matches!(again, LedgerRecord::HookRevision { generation: 2, .. }), "{again:?}");
        assert!(written.renewed(&hook, 5).is_some(), "the clock was set back");
    }
}
