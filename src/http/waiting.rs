//! `GET …/webhooks/{H}/waiting`: the deliveries that a hook still has to get, oldest event first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::attempts::key;
use super::call::Call;
use super::errors::ApiError;
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::{Answer, Queues};
use super::reply::Reply;
use crate::model::{AccountId, EventOffset, HookId, WaitingQuery};

const FIELDS: [&str; 8] =
    ["delivery_id", "event_id", "event_name", "subject", "received", "state", "attempts", "next_try_at"];

pub(super) async fn list(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let account = call.account()?.id;
    let most = call.api.options.max_searched_events;
    let queues = Arc::clone(&call.api.queues);
    List::of(call)?
        .answer(WaitingOfHook { queues, account, hook, looked_at: AtomicUsize::new(0), most })
        .await
}

/// The number of an offset counted from the end of all, or of one that was counted so from the beginning.
fn mirrored(offset: EventOffset) -> EventOffset {
    EventOffset(EventOffset::MAX.since(offset))
}

/// A hook's deliveries that have not ended. The keys fall while the offsets rise, so that a list begins with the oldest.
struct WaitingOfHook {
    queues: Arc<dyn Queues>,
    account: AccountId,
    hook: HookId,
    looked_at: AtomicUsize,
    /// The most events of the log that one page examines: a hook may want few of very many.
    most: usize,
}

impl Source for WaitingOfHook {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            if ask.ascending {
                let message = "this list is ordered by age alone: the oldest event comes first";
                return Err(ApiError::field("ascending", "error", &json!({"message": message})));
            }
            let start = ask.start()?.map_or(EventOffset::FIRST, mirrored);
            let query = WaitingQuery { hook: self.hook, start, limit: ask.most };
            let page = self.queues.waiting(self.account, query).await?;
            self.looked_at.fetch_add(page.looked_at, Ordering::Relaxed);
            let item = |(offset, row)| (key(mirrored(offset)), Item::from(Value::Object(row)));
            let next = page.next.map(|offset| key(mirrored(offset)));
            Ok(Batch { items: page.rows.into_iter().map(item).collect(), next })
        })
    }

    fn is_spent(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed) >= self.most
    }

    fn columns(&self) -> Vec<String> {
        FIELDS.map(str::to_owned).into()
    }
}
