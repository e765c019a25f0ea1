//! Attempts as the ledger takes them, for clients that watch hooks while they work.

use std::collections::HashMap;

use super::attempts::result_of;
use super::reader::HistoryReader;
use crate::kazoo::{self, AttemptParts};
use crate::log::{ReadError, Record};
use crate::model::{AccountId, AttemptNews, AttemptNewsPage, DeliveryId, HookId, Id};
use crate::queues::{AttemptRecord, LedgerRecord, Outcome};

const READ: usize = 512;
const READ_BYTES: usize = 1 << 20;

/// Members of a row that may be large, or that may tell a plain user what they may not see.
const LEFT_OUT: [&str; 2] = ["resp_headers", "resp_body"];

/// Which hooks are watched.
pub(super) type Watched<'a> = &'a (dyn Fn(AccountId, HookId) -> bool + Send + Sync);

impl HistoryReader {
    /// Attempts of watched hooks from an offset of the ledger on, among a bounded number of records.
    pub(super) fn news(&self, from: u64, watched: Watched<'_>) -> Result<AttemptNewsPage, ReadError> {
        let batch = self.logs.ledger.read(from, READ, READ_BYTES)?;
        let mut replays = HashMap::new();
        let news = batch.records.iter().filter_map(|record| self.news_of(record, &mut replays, watched));
        Ok(AttemptNewsPage { news: news.collect(), next: batch.next })
    }

    fn news_of(
        &self,
        record: &Record,
        replays: &mut HashMap<Id, Option<HookId>>,
        watched: Watched<'_>,
    ) -> Option<AttemptNews> {
        let Ok(LedgerRecord::Attempt(attempt)) = LedgerRecord::decode(&record.payload) else { return None };
        if attempt.outcome == Outcome::Delivered && !self.shows_successes {
            return None;
        }
        let is_live = attempt.queue.tag() == record.tag;
        let hook = if is_live {
            attempt.queue
        } else {
            *replays.entry(attempt.queue).or_insert_with(|| self.logs.replay_of(attempt.queue)).as_ref()?
        };
        // The tag is a hash: the whole id decides. What a former hook of the same id left behind is not this hook's.
        let hook = self.logs.state.hook(hook).filter(|hook| hook.id.tag() == record.tag)?;
        if record.offset < hook.birth.ledger || (is_live && attempt.offset < hook.birth.events) {
            return None;
        }
        watched(hook.account, hook.id).then(|| AttemptNews {
            account: hook.account,
            hook: hook.id,
            document: self.brief(hook.id, &attempt, record.time_us),
        })
    }

    /// What the ledger alone says of an attempt.
    fn brief(
        &self,
        hook_id: HookId,
        attempt: &AttemptRecord,
        ended_us: u64,
    ) -> serde_json::Map<String, serde_json::Value> {
        let event = self.logs.state.settings().log_ids.event_id(attempt.offset);
        let delivery_id = DeliveryId { event, hook: hook_id }.to_string();
        let mut row = kazoo::attempt_row(&AttemptParts {
            hook_id,
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
        row
    }
}
