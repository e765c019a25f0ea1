//! Which revision of a hook an attempt was made with: the ledger holds what a revision sends once, not in each attempt.
//!
//! A revision is written when the first attempt is made with it, and again when an attempt is made an hour or more
//! after that. So an attempt that retention keeps has its revision within an hour before it. An attempt whose revision
//! is gone is shown without its request, never with the request that the hook would make now.

use super::record::LedgerRecord;
use crate::kazoo;
use crate::model::{Hook, HookId, Id};

/// Age at which a revision is written again, µs.
const WRITE_AGAIN_US: u64 = 3_600_000_000;
/// The log tag of a hook's revisions. It differs from the tag of the hook's attempts.
#[must_use]
pub fn revision_tag(hook: HookId) -> u64 {
    Id(hook.0 ^ 0x7265_7669_7369_6f6e).tag()
}

/// The revision that was written last.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::queues) struct Written {
    generation: u64,
    at_us: Option<u64>,
}

impl Written {
    /// The record to write before an attempt is made at this time; `None`: the ledger has it.
    pub(in crate::queues) fn renewed(&mut self, hook: &Hook, now_us: u64) -> Option<LedgerRecord> {
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
