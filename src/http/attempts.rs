//! Attempts of an account or of one hook, newest first, within a range of time
//! (`docs/kazoo/webhooks.md#attempts-over-the-api`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::answers::Answers;
use super::call::Call;
use super::errors::ApiError;
use super::event_filter::delivery_of;
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::{Answer, Queues, Signed};
use super::reply::Reply;
use crate::kazoo::ATTEMPT_FIELDS;
use crate::model::{AccountId, AttemptQuery, AttemptRow, GREGORIAN_OFFSET_S, HookId, Offset};
use crate::state::{Kind, State, owner};

/// The fields of an event that contain its body.
const BODY_FIELDS: [&str; 2] = ["body", "body_base64"];

/// Lists attempts. As in KAZOO, the list of a hook that does not exist, or belongs to another account, is empty.
pub(super) async fn list(call: &Call<'_>, hook: Option<&str>) -> Result<Reply, ApiError> {
    let list = List::of(call)?;
    let (from, to) = range(call)?;
    let account = call.account()?.id;
    let hook = match hook.map(str::parse::<HookId>) {
        None => None,
        Some(Ok(id)) if owner_of(call, id)? == Some(account) => Some(id),
        Some(_) => return list.rows(Vec::new()).await,
    };
    let query = AttemptQuery {
        account,
        hook,
        from_us: unix_us(from),
        until_us: unix_us(to.saturating_add(1)),
        ascending: false,
        start: None,
        limit: 0,
    };
    let most = list.most_examined().unwrap_or(usize::MAX);
    let queues = Arc::clone(&call.api.queues);
    let state = call.masks_secrets().then(|| call.api.state.clone());
    list.answer(Attempts { queues, query, looked_at: AtomicUsize::new(0), most, state }).await
}

/// `GET …/webhooks/{H}/attempts/{D}`: one delivery with its event and all of its attempts, newest first. The id may
/// be the delivery's or its event's.
pub(super) async fn read(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let unknown = || ApiError::unknown(id);
    let hook: HookId = hook.parse().map_err(|_| ApiError::unknown(hook))?;
    if owner_of(call, hook)? != Some(account) {
        return Err(ApiError::unknown(&hook.to_string()));
    }
    let offset = delivery_of(call, hook, id).ok_or_else(unknown)?;
    let found = call.api.queues.delivery(account, hook, offset).await?;
    let mut delivery = found.rows.into_iter().next().ok_or_else(unknown)?;
    if let Some(Value::Array(attempts)) = delivery.get_mut("attempts") {
        attempts.reverse();
        let mut answers = Answers::of(&call.api.state);
        for attempt in attempts {
            if call.masks_secrets() {
                answers.mask(attempt)?;
            } else {
                sign(call, hook, attempt);
            }
        }
    }
    let mut event = call.api.queues.event(offset).await?.map(|row| row.document).unwrap_or_default();
    // A plain user sees the requests that were sent, as in lists, but not the event's body.
    if call.masks_secrets() {
        event.retain(|field, _| !BODY_FIELDS.contains(&field.as_str()));
    }
    delivery.insert("complete".into(), found.complete.into());
    delivery.insert("event".into(), event.into());
    Ok(Reply::ok(delivery))
}

/// Shows an attempt's signature, which is stored nowhere: made again with the hook's present secret, over what was sent.
fn sign(call: &Call<'_>, hook: HookId, attempt: &mut Value) {
    let text = |field: &str| attempt.get(field).and_then(Value::as_str).unwrap_or_default();
    let header = |name: &str| attempt.get("req_headers")?.get(name)?.as_str();
    let timestamp_s = header("webhook-timestamp").and_then(|text| text.parse().ok());
    let Some((timestamp_s, compiled)) = timestamp_s.zip(call.api.state.hook(hook)) else { return };
    let (id, body) = (text("delivery_id"), text("req_body").as_bytes());
    let signed = call.api.tester.signature(&compiled, &Signed { id, timestamp_s, body });
    let shown = attempt.get_mut("req_headers").and_then(|headers| headers.get_mut("webhook-signature"));
    if let Some((shown, signed)) = shown.zip(signed) {
        *shown = signed.into();
    }
}

/// The attempts in a range of time, ordered by their position in the ledger.
struct Attempts {
    queues: Arc<dyn Queues>,
    query: AttemptQuery,
    looked_at: AtomicUsize,
    /// The most attempts that one page examines, listed or not.
    most: usize,
    /// The hooks whose secrets are masked in what was answered; `None`: the caller may see them.
    state: Option<State>,
}

impl Source for Attempts {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            let start = ask.start()?;
            let (ascending, limit) = (ask.ascending, ask.most);
            let query = AttemptQuery { ascending, start, limit, ..self.query.clone() };
            let page = self.queues.attempts(query).await?;
            self.looked_at.fetch_add(page.looked_at, Ordering::Relaxed);
            let mut answers = self.state.as_ref().map(Answers::of);
            let item = |row: AttemptRow| {
                let mut document = Value::Object(row.document);
                if let Some(answers) = &mut answers {
                    answers.mask(&mut document)?;
                }
                Ok((key(row.position), Item::from(document)))
            };
            let items = page.rows.into_iter().map(item).collect::<Result<_, ApiError>>()?;
            Ok(Batch { items, next: page.next.map(key) })
        })
    }

    fn is_spent(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed) >= self.most
    }

    fn columns(&self) -> Vec<String> {
        ATTEMPT_FIELDS.iter().chain(&["error"]).map(|field| (*field).to_owned()).collect()
    }
}

/// A key as text. The width is fixed because keys are compared as text.
pub(super) fn key(position: impl Offset) -> String {
    format!("{:020}", position.number())
}

/// The account that owns a hook. Works for deleted hooks too.
fn owner_of(call: &Call<'_>, hook: HookId) -> Result<Option<AccountId>, ApiError> {
    Ok(call.api.state.get(Kind::Hook, &hook.to_string())?.as_ref().and_then(owner))
}

/// The first and last second of the requested range, Gregorian.
fn range(call: &Call<'_>) -> Result<(u64, u64), ApiError> {
    let most = call.api.options.max_range_s;
    let to = seconds(call, "created_to")?.unwrap_or_else(|| call.now_s());
    let from = seconds(call, "created_from")?.unwrap_or_else(|| to.saturating_sub(most));
    let refuse = |message: String, cause: u64| {
        let details = json!({"message": message, "cause": cause});
        Err(ApiError::field("created_from", "date_range", &details))
    };
    if from > to {
        return refuse(format!("created_to {to} is prior to created_from {from}"), from);
    }
    if to - from > most {
        return refuse(format!("created_to {to} is more than {most} seconds from created_from {from}"), to);
    }
    Ok((from, to))
}

/// A parameter in Gregorian seconds.
pub(super) fn seconds(call: &Call<'_>, name: &str) -> Result<Option<u64>, ApiError> {
    let Some(value) = call.parameter(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    seconds.map(Some).ok_or_else(|| ApiError::wrong_type(name, "integer", &value))
}

/// The microseconds since 1970 of a Gregorian second. Times before 1970 count as 1970.
pub(super) fn unix_us(gregorian_s: u64) -> u64 {
    gregorian_s.saturating_sub(GREGORIAN_OFFSET_S).saturating_mul(1_000_000)
}
