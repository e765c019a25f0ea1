//! The request of an old attempt: which revision of its hook it was made with, read back from the ledger.
//!
//! `queues` writes revisions (`queues/ledger/revisions.rs`). An attempt whose revision is gone is shown without its request,
//! never with the request that the hook would make now.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kazoo::AsSent;
use crate::log::{Reader, Record};
use crate::model::{Hook, HookId};
use crate::queues::{AttemptRecord, LedgerRecord, revision_tag};

/// Revisions read at a time, newest first, and how often at most: a hook that is changed more often than this within
/// an hour has older attempts without their request.
const READ: usize = 64;
const READS: usize = 16;

/// Revisions that one reading has looked up.
#[derive(Debug, Default)]
pub(super) struct Revisions(HashMap<(HookId, u64), Option<Arc<AsSent>>>);

impl Revisions {
    /// The hook as it was when an attempt was made. `None`: that is not known any more.
    pub(super) fn as_sent(
        &mut self,
        ledger: &Reader,
        hook: &Hook,
        attempt: &AttemptRecord,
        record: &Record,
    ) -> Option<Arc<AsSent>> {
        let current = hook.generation();
        let Some(generation) = attempt.generation else {
            // A record of the first version. A hook that was written only once is still the same.
            return (current == 1).then(|| Arc::new(AsSent::of(hook)));
        };
        let found = self.0.entry((hook.id, generation)).or_insert_with(|| {
            let written = revision(ledger, hook, generation, record.offset);
            written.or_else(|| (current == generation).then(|| AsSent::of(hook))).map(Arc::new)
        });
        found.clone()
    }
}

/// Looks a revision up among the records before `before`, newest first.
fn revision(ledger: &Reader, hook: &Hook, generation: u64, before: u64) -> Option<AsSent> {
    let mut before = before;
    for _ in 0..READS {
        let batch = ledger.read_tags_back(&[revision_tag(hook.id)], before, READ).ok()?;
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
