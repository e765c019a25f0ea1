//! Searching events (`GET …/events`), one event with its deliveries (`GET …/events/{id}`), and quarantined events
//! (`GET /v2/quarantine` for the master account, `GET …/quarantine` for the account that they name).
//!
//! An account finds its own events. By its id, an event of a descendant can be read too, with its deliveries to the
//! hooks of the requesting account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};

use super::attempts::{key, seconds, unix_us};
use super::call::Call;
use super::errors::ApiError;
use super::event_filter::{each, event_of, filter};
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::{Answer, Queues};
use super::reply::Reply;
use crate::model::{DeliveriesQuery, DeliveryState, EventQuery, EventRow, EventScope};

/// The fields of a row in order.
const FIELDS: [&str; 15] = [
    "id",
    "timestamp",
    "account_id",
    "hook_event",
    "reason",
    "mended",
    "source",
    "event_category",
    "event_name",
    "subject",
    "msg_id",
    "document_type",
    "exchange",
    "routing_key",
    "error",
];

/// `GET …/events`: newest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    search(call, EventScope::Account(call.account()?.id)).await
}

/// `GET /v2/quarantine`
pub(super) async fn quarantine(call: &Call<'_>) -> Result<Reply, ApiError> {
    must_be_master(call)?;
    search(call, EventScope::Quarantine).await
}

/// `GET …/quarantine`: quarantined events that name the account.
pub(super) async fn quarantine_of(call: &Call<'_>) -> Result<Reply, ApiError> {
    search(call, EventScope::QuarantineOf(call.account()?.id)).await
}

async fn search(call: &Call<'_>, scope: EventScope) -> Result<Reply, ApiError> {
    let (from_s, to_s) = (seconds(call, "created_from")?, seconds(call, "created_to")?);
    if let (Some(from), Some(to)) = (from_s, to_s)
        && from > to
    {
        let message = format!("created_to {to} is prior to created_from {from}");
        return Err(ApiError::field(
            "created_from",
            "date_range",
            &json!({"message": message, "cause": from}),
        ));
    }
    let query = EventQuery {
        scope,
        from_us: from_s.map_or(0, unix_us),
        // Times are whole seconds, and the last one counts to its end.
        until_us: to_s.map_or(u64::MAX, |to| unix_us(to.saturating_add(1))),
        filter: filter(call)?,
        ascending: false,
        start: None,
        limit: 0,
    };
    let most = call.api.options.max_searched_events;
    let found =
        EventSearch { queues: Arc::clone(&call.api.queues), query, looked_at: AtomicUsize::new(0), most };
    List::of(call)?.answer(found).await
}

/// `GET …/events/{id}`. The deliveries are paged like a list, in the order of the hooks' ids; `state` filters them.
pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let offset = event_of(call, id).ok_or_else(|| ApiError::unknown(id))?;
    let is_theirs =
        |row: &EventRow| row.account.is_some_and(|owner| call.api.state.is_ancestor_or_self(account, owner));
    let row = call.api.queues.event(offset).await?.filter(is_theirs);
    let mut document = row.ok_or_else(|| ApiError::unknown(id))?.document;
    let list = List::of(call)?;
    let (start, limit) = list.part();
    let start = start.map(str::parse).transpose();
    let start = start.map_err(|_| ApiError::faulty_request("invalid start key"))?;
    let state = |word: &str| DeliveryState::ALL.into_iter().find(|state| state.id() == word);
    let states = each(call, "state", state, || json!(DeliveryState::ALL.map(DeliveryState::id)))?;
    let query = DeliveriesQuery { account, offset, start, states, limit };
    let found = call.api.queues.deliveries(query).await?;
    let rows: Vec<Value> = found.rows.into_iter().map(Value::Object).collect();
    let page = list.page_of(rows.len(), found.next.map(|hook| hook.to_string()).as_deref());
    let by_state = found.by_state.iter().map(|(state, count)| (state.id().to_owned(), (*count).into()));
    document.insert("deliveries".into(), rows.into());
    document.insert("deliveries_by_state".into(), by_state.collect::<Map<_, _>>().into());
    document.insert("deliveries_complete".into(), found.complete.into());
    Ok(Reply { page: Some(page), ..Reply::ok(document) })
}

/// `GET /v2/quarantine/{id}`: with the body as received.
pub(super) async fn quarantined(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    quarantined_row(call, id).await.map(|row| Reply::ok(row.document))
}

/// `GET …/quarantine/{id}`: with the body as received.
pub(super) async fn quarantined_of(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    quarantined_row_of(call, id).await.map(|row| Reply::ok(row.document))
}

/// Any quarantined event, for the master account.
pub(super) async fn quarantined_row(call: &Call<'_>, id: &str) -> Result<EventRow, ApiError> {
    must_be_master(call)?;
    let offset = event_of(call, id).ok_or_else(|| ApiError::unknown(id))?;
    let row = call.api.queues.event(offset).await?.filter(|row| row.document.contains_key("reason"));
    row.ok_or_else(|| ApiError::unknown(id))
}

/// A quarantined event that names the path's account.
pub(super) async fn quarantined_row_of(call: &Call<'_>, id: &str) -> Result<EventRow, ApiError> {
    let account = call.account()?.id;
    let offset = event_of(call, id).ok_or_else(|| ApiError::unknown(id))?;
    let row = call.api.queues.event(offset).await?;
    let row = row.filter(|row| row.account == Some(account) && row.document.contains_key("reason"));
    row.ok_or_else(|| ApiError::unknown(id))
}

fn must_be_master(call: &Call<'_>) -> Result<(), ApiError> {
    if call.is_master() { Ok(()) } else { Err(ApiError::forbidden()) }
}

/// The source of found events.
struct EventSearch {
    queues: Arc<dyn Queues>,
    query: EventQuery,
    looked_at: AtomicUsize,
    /// The most events that one page examines.
    most: usize,
}

impl Source for EventSearch {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            let start = ask.start()?;
            let (ascending, limit) = (ask.ascending, ask.most);
            let page =
                self.queues.search(EventQuery { ascending, start, limit, ..self.query.clone() }).await?;
            self.looked_at.fetch_add(page.looked_at, Ordering::Relaxed);
            let item = |row: EventRow| (key(row.offset), Item::from(Value::Object(row.document)));
            Ok(Batch { items: page.rows.into_iter().map(item).collect(), next: page.next.map(key) })
        })
    }

    fn is_spent(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed) >= self.most
    }

    fn columns(&self) -> Vec<String> {
        FIELDS.map(str::to_owned).into()
    }
}
