//! The hook as it was when an attempt was made, so that the attempt's request can be made again.

use super::reader::HistoryReader;
use super::revisions::Revisions;
use crate::log::ReadError;
use crate::model::{Hook, HookId};
use crate::queues::LedgerRecord;

const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;
/// The most ledger records that are read for one attempt.
const LOOKED_AT: usize = 200_000;

impl HistoryReader {
    /// The hook at an attempt of a delivery, or at its last attempt if `attempt` is `None`, without secrets. `None`: there
    /// is no such attempt, or the ledger no longer has the hook of that time.
    pub(super) fn hook_at(
        &self,
        hook: HookId,
        offset: u64,
        attempt: Option<u16>,
    ) -> Result<Option<Hook>, ReadError> {
        let (Some(event), Some(hook)) = (self.logs.events.get(offset)?, self.logs.hook(hook)) else {
            return Ok(None);
        };
        let mut filed = self.logs.filed([hook]);
        let tags = filed.tags();
        let (mut at, end) = (self.first_try(&event)?, self.logs.ledger.end());
        let (mut revisions, mut found, mut looked_at) = (Revisions::default(), None, 0);
        while at < end && !tags.is_empty() && looked_at <= LOOKED_AT {
            let batch = self.logs.ledger.read_tags(&tags, at, end, READ, READ_BYTES)?;
            for record in &batch.records {
                let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                let LedgerRecord::Attempt(made) = &decoded else { continue };
                if made.offset != offset || attempt.is_some_and(|number| number != made.attempt) {
                    continue;
                }
                let hook = filed.hook_of(record, &decoded, |replay| self.logs.replay_of(replay));
                if let Some(hook) = hook {
                    let sent = revisions.as_sent(&self.logs.ledger, hook, made, record);
                    found = sent.filter(|sent| sent.has_data).map(|sent| sent.hook.clone());
                }
            }
            looked_at += batch.records.len();
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        Ok(found)
    }
}
