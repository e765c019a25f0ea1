//! The revision of a hook with which an attempt was made. The ledger stores what a revision sends once, not with each
//! attempt.
//!
//! A revision is written before the first attempt that is made with it, and again before an attempt an hour or more later.
//! So if retention leaves an attempt in the ledger, its revision is within the hour before it. If a revision is missing, the
//! API returns the attempt without its request, and never with the request that the hook would make now.

use std::time::Duration;

use super::record::LedgerRecord;
use crate::kazoo;
use crate::model::{Hook, HookId, WallTime};

/// The age at which a revision is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(3_600);

/// The log tag of a hook's revisions. It differs from the tag of the hook's attempts.
#[must_use]
pub fn revision_tag(hook: HookId) -> u64 {
    HookId(hook.0 ^ 0x7265_7669_7369_6f6e).tag()
}

/// The last revision that was written.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::queues) struct Written {
    generation: u64,
    at: Option<WallTime>,
}

impl Written {
    /// The record to write before an attempt is made now. `None`: the ledger already has it.
    pub(in crate::queues) fn renewed(&mut self, hook: &Hook, now: WallTime) -> Option<LedgerRecord> {
        let generation = hook.generation();
        // Retention goes by the time of day. After the clock was set back, the age is unknown.
        let age = self.at.filter(|_| self.generation == generation).and_then(|at| now.since(at));
        let is_there = age.is_some_and(|age| age < WRITE_AGAIN);
        if is_there || hook.one_shot {
            return None;
        }
        *self = Self { generation, at: Some(now) };
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
        let start = WallTime::from_micros(5);
        let an_hour_later = start + WRITE_AGAIN;
        assert!(written.renewed(&hook, start).is_some());
        assert!(written.renewed(&hook, start + WRITE_AGAIN / 2).is_none());
        assert!(written.renewed(&hook, an_hour_later).is_some());
        hook.revision = "2-b".into();
        let again = written.renewed(&hook, an_hour_later).unwrap();
        assert!(matches!(again, LedgerRecord::HookRevision { generation: 2, .. }), "{again:?}");
        assert!(written.renewed(&hook, start).is_some(), "the clock was set back");
    }
}
