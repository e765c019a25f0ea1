//! New attempts, for clients that watch hooks.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::attempts::result_of;
use super::reader::HistoryReader;
use crate::kazoo::{self, AttemptParts};
use crate::log::{ReadError, Record};
use crate::model::{
    AccountId, AttemptNews, AttemptNewsPage, DeliveryId, Hook, HookId, KnownSecrets, LedgerOffset, ReplayId,
    TransportError,
};
use crate::queues::{AttemptRecord, LedgerRecord, Outcome};

const READ: usize = 512;
const READ_BYTES: usize = 1 << 20;

/// Members of a row that may be large, or that a plain user may not see.
const LEFT_OUT: [&str; 2] = ["resp_headers", "resp_body"];

/// The member that explains why there was no answer.
const FAULT: &str = "client_error_detail";

/// Whether a hook is watched.
pub(super) type Watched<'a> = &'a (dyn Fn(AccountId, HookId) -> bool + Send + Sync);

impl HistoryReader {
    /// The attempts of watched hooks among a bounded number of ledger records, from an offset on.
    pub(super) fn news(
        &self,
        from: LedgerOffset,
        watched: Watched<'_>,
    ) -> Result<AttemptNewsPage, ReadError> {
        let batch = self.logs.ledger.read(from, READ, READ_BYTES)?;
        let mut replays = HashMap::new();
        // Every record of the ledger is read once for all watching clients. Reading by tags would cost a read for
        // each watched hook.
        let news = batch.records.iter().filter_map(|record| self.news_of(record, &mut replays, watched));
        Ok(AttemptNewsPage { news: news.collect(), next: batch.next })
    }

    fn news_of(
        &self,
        record: &Record<LedgerOffset>,
        replays: &mut HashMap<ReplayId, Option<HookId>>,
        watched: Watched<'_>,
    ) -> Option<AttemptNews> {
        let Ok(LedgerRecord::Attempt(attempt)) = LedgerRecord::decode(&record.payload) else { return None };
        if attempt.outcome == Outcome::Delivered && !self.shows_successes {
            return None;
        }
        let is_live = attempt.queue.tag() == record.tag;
        let hook = if is_live {
            attempt.queue.as_hook()
        } else {
            let replay = attempt.queue.as_replay();
            *replays.entry(replay).or_insert_with(|| self.logs.replay_of(replay)).as_ref()?
        };
        // The tag is only a hash, so the whole id is compared. Records from before the hook's birth belong to a deleted hook
        // with the same id.
        let hook = self.logs.state.hook(hook).filter(|hook| hook.id.tag() == record.tag)?;
        if record.offset < hook.birth.ledger || (is_live && attempt.offset < hook.birth.events) {
            return None;
        }
        watched(hook.account, hook.id).then(|| AttemptNews {
            account: hook.account,
            hook: hook.id,
            document: self.brief(&hook, &attempt, record.time_us),
        })
    }

    /// The row of an attempt, from the ledger alone.
    fn brief(&self, hook: &Hook, attempt: &AttemptRecord, ended_us: u64) -> Map<String, Value> {
        let event = self.logs.state.settings().log_ids.event_id(attempt.offset);
        let delivery_id = DeliveryId { event, hook: hook.id }.to_string();
        // Without the event, or each watched attempt would cost a read of the events log.
        let mut row = kazoo::attempt_row(&AttemptParts {
            hook_id: hook.id,
            hook: None,
            event: None,
            event_id: &event.to_string(),
            delivery_id: &delivery_id,
            attempt: attempt.attempt,
            max_tries: attempt.tries.saturating_add(attempt.tries_left),
            body: None,
            headers: None,
            result: &result_of(attempt),
            delivered: attempt.outcome == Outcome::Delivered,
            duration_us: attempt.duration_us,
            phases: attempt.phases,
            ended_us,
        });
        row.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
        // Only this fault quotes the receiver, who may repeat what it was sent.
        if row.get("client_error").is_some_and(|error| error == TransportError::NotHttp.text())
            && let Some(Value::String(fault)) = row.get_mut(FAULT)
        {
            *fault = KnownSecrets::of_hook(hook).masked_in_fault(fault);
        }
        row
    }
}
