//! Dead deliveries: listing them, and delivering them again, singly or together. A repeated delivery is a replay of
//! exactly that delivery: durable once it is answered, attempted like any other, with the same id.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::attempts::key;
use super::call::Call;
use super::errors::ApiError;
use super::event_filter::{delivery_of, filter, texts};
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::{Answer, Queues};
use super::replays::{dry_run, rate, replay_row};
use super::reply::Reply;
use crate::kazoo::ATTEMPT_FIELDS;
use crate::model::{
    Dead, DeadList, DeadQuery, DeadRow, DeliveryId, EventOffset, HookId, ReplayId, ReplayOnly, ReplayPoint,
    ReplayRequest, ReplayStatus, fields_weight,
};
use crate::state::random_id;

/// The rows made at once, and the bytes of rows after which a batch ends.
const ROWS_AT_ONCE: usize = 8;
const ROWS_BYTES: usize = 1 << 20;

/// `GET …/webhooks/{H}/dead`: newest event first.
pub(super) async fn list(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let dead = DeadOfHook { queues: Arc::clone(&call.api.queues), hook, known: Mutex::default() };
    List::of(call)?.answer(dead).await
}

/// A hook's dead deliveries, in the order of the log.
struct DeadOfHook {
    queues: Arc<dyn Queues>,
    hook: HookId,
    /// Found in one pass over the ledger. The rows are made batch by batch.
    known: Mutex<Option<DeadList>>,
}

impl DeadOfHook {
    async fn some(&self, ask: &Ask) -> Result<(Vec<Dead>, Option<EventOffset>), ApiError> {
        let start = ask.start()?;
        let mut known = self.known.lock().await;
        // Uses the list of the previous batch, unless it ends where this batch begins.
        let list = match known.take().filter(|list| list.next.is_none() || list.next != start) {
            Some(list) => list,
            None => self.queues.dead(DeadQuery { hook: self.hook, ascending: ask.ascending, start }).await?,
        };
        let is_before = |dead: &Dead| {
            start.is_some_and(|s| if ask.ascending { dead.offset < s } else { dead.offset > s })
        };
        let mut rest = list.dead.iter().skip_while(|dead| is_before(dead)).copied();
        let some = rest.by_ref().take(ask.most).collect();
        let next = rest.next().map(|dead| dead.offset).or(list.next);
        *known = Some(list);
        Ok((some, next))
    }
}

impl Source for DeadOfHook {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            let (dead, mut next) = self.some(&ask).await?;
            let (mut rows, mut bytes) = (Vec::new(), 0);
            // Rows contain requests and may be large, so a few are made at a time.
            for some in dead.chunks(ROWS_AT_ONCE) {
                if bytes >= ROWS_BYTES {
                    next = some.first().map(|dead| dead.offset);
                    break;
                }
                let made = self.queues.dead_rows(self.hook, some.to_vec()).await?;
                bytes += made.iter().map(|row| fields_weight(&row.document)).sum::<usize>();
                rows.extend(made);
            }
            let item = |row: DeadRow| (key(row.offset), Item::from(Value::Object(row.document)));
            Ok(Batch { items: rows.into_iter().map(item).collect(), next: next.map(key) })
        })
    }

    fn columns(&self) -> Vec<String> {
        let own = ["received", "died", "error"];
        ATTEMPT_FIELDS.iter().chain(&own).map(|field| (*field).to_owned()).collect()
    }
}

/// `POST …/webhooks/{H}/dead`: delivers again all dead deliveries, or those in `event_ids` and `delivery_ids`.
pub(super) async fn redeliver(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let mut offsets = Vec::new();
    for field in ["event_ids", "delivery_ids"] {
        for text in texts(call, field)? {
            let Some(offset) = delivery_of(call, hook, &text) else {
                let details = json!({"message": "no delivery of this hook has that id", "value": text});
                return Err(ApiError::field(field, "error", &details));
            };
            offsets.push(offset);
        }
    }
    let only = if offsets.is_empty() { ReplayOnly::Dead } else { ReplayOnly::Chosen };
    let data = call.envelope.object()?;
    let wanted = request(call, hook, only, offsets, &data)?;
    if wanted.dry_run {
        return Ok(Reply::ok(replay_row(&call.api.queues.replay(wanted).await?)));
    }
    started(call, &call.api.queues.replay(wanted).await?)
}

/// `POST …/webhooks/{H}/attempts/{id}` and `POST …/webhooks/attempts/{id}`: delivers one delivery again, whatever its
/// result. The id is the delivery's, or (below a hook) its event's.
pub(super) async fn again(call: &Call<'_>, hook: Option<&str>, id: &str) -> Result<Reply, ApiError> {
    let named: Option<DeliveryId> = id.parse().ok();
    let of_delivery = || named.map(|delivery| delivery.hook.to_string());
    let of_hook = hook.map(str::to_owned).or_else(of_delivery).ok_or_else(|| ApiError::unknown(id))?;
    let (hook, _) = call.hook(&of_hook)?;
    let offset = delivery_of(call, hook, id).ok_or_else(|| ApiError::unknown(id))?;
    let again = request(call, hook, ReplayOnly::Chosen, vec![offset], &Map::new())?;
    // An event that retention has removed, or that this hook does not receive, is no delivery of the hook.
    let counted = call.api.queues.replay(ReplayRequest { dry_run: true, ..again.clone() }).await;
    if !counted.is_ok_and(|counted| counted.matched > 0) {
        return Err(ApiError::unknown(id));
    }
    started(call, &call.api.queues.replay(again).await?)
}

fn request(
    call: &Call<'_>,
    hook: HookId,
    only: ReplayOnly,
    offsets: Vec<EventOffset>,
    data: &Map<String, Value>,
) -> Result<ReplayRequest, ApiError> {
    Ok(ReplayRequest {
        id: ReplayId(random_id().0),
        hook,
        account: call.account()?.id,
        from: ReplayPoint::Offset(EventOffset::FIRST),
        until: None,
        only,
        offsets,
        filter: filter(call)?,
        dry_run: dry_run(call),
        rate: rate(data)?,
        by: call.actor(),
    })
}

fn started(call: &Call<'_>, replay: &ReplayStatus) -> Result<Reply, ApiError> {
    let (account, hook, id) = (call.account()?.id, replay.hook_id, replay.id);
    Ok(Reply::created(replay_row(replay), format!("/v2/accounts/{account}/webhooks/{hook}/replay/{id}")))
}
