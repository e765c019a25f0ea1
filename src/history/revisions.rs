//! The request of an old attempt, rebuilt from the hook's revision at that time, which the ledger has.
//!
//! `queues` writes revisions (`queues/ledger/revisions.rs`). An attempt whose revision is gone is shown without its
//! request, and never with the request that the hook would make now.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kazoo::AsSent;
use crate::log::{ReaderOf, Record};
use crate::model::{Hook, HookId, LedgerOffset};
use crate::queues::{AttemptRecord, LedgerRecord, revision_tag};

/// The most revisions that one read examines, newest first. A hook that changes more often than this within an hour has
/// older attempts without their request.
const READ: usize = 64;
const READS: usize = 16;

/// The revisions that one query has looked up.
#[derive(Debug, Default)]
pub(super) struct Revisions(HashMap<(HookId, u64), Option<Arc<AsSent>>>);

impl Revisions {
    /// The hook as it was when an attempt was made; `None` if that is no longer known.
    pub(super) fn as_sent(
        &mut self,
        ledger: &ReaderOf<LedgerOffset>,
        hook: &Hook,
        attempt: &AttemptRecord,
        record: &Record<LedgerOffset>,
    ) -> Option<Arc<AsSent>> {
        let current = hook.generation();
        let Some(generation) = attempt.generation else {
            // Records of the first version have no revision. If the hook was never changed, it is still the same.
            return (current == 1).then(|| Arc::new(AsSent::of(hook)));
        };
        let found = self.0.entry((hook.id, generation)).or_insert_with(|| {
            // If the record of the revision is gone, the present hook may still be that revision. Any other one
            // would show a request that was never made.
            let written = revision(ledger, hook, generation, record.offset);
            written.or_else(|| (current == generation).then(|| AsSent::of(hook))).map(Arc::new)
        });
        found.clone()
    }
}

/// Looks up a revision among the records before `before`, newest first.
fn revision(
    ledger: &ReaderOf<LedgerOffset>,
    hook: &Hook,
    generation: u64,
    before: LedgerOffset,
) -> Option<AsSent> {
    let mut before = before;
    for _ in 0..READS {
        let batch = ledger.read_tags_back(&[revision_tag(hook.id)], before, READ).ok()?;
        // Revisions from before the birth belong to a deleted hook that had the same id.
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
        if batch.next <= hook.birth.ledger.max(ledger.first()) || batch.records.is_empty() {
            return None;
        }
        before = batch.next;
    }
    None
}
