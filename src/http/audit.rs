//! `GET /admin/audit`: who changed what, newest first; by account (`account_id`) and time (`created_from`,
//! `created_to`).

use serde_json::{Value, json};

use super::attempts::{seconds, unix_us};
use super::call::Call;
use super::errors::ApiError;
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::Answer;
use super::reply::Reply;
use crate::state::{AuditQuery, State};

pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.request.query("account_id").map(|text| {
        text.parse().map_err(|_| {
            let details = json!({"message": "account_id must be 32 hex digits", "value": text});
            ApiError::field("account_id", "pattern", &details)
        })
    });
    let query = AuditQuery {
        account: account.transpose()?,
        from_us: seconds(call, "created_from")?.map_or(0, unix_us),
        until_us: seconds(call, "created_to")?.map_or(u64::MAX, |to| unix_us(to.saturating_add(1))),
        start: None,
        ascending: false,
        limit: 0,
    };
    List::of(call)?.answer(Trail { state: call.api.state.clone(), query }).await
}

/// The trail, in order of its places in the log.
struct Trail {
    state: State,
    query: AuditQuery,
}

impl Source for Trail {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            let start = ask.start()?;
            let (ascending, limit) = (ask.ascending, ask.most);
            let query = AuditQuery { start, ascending, limit, ..self.query.clone() };
            let state = self.state.clone();
            let read = tokio::task::spawn_blocking(move || state.audit(&query)).await;
            let page = read.map_err(|error| ApiError::unavailable(&error))?;
            let page = page.map_err(|error| ApiError::unavailable(&error))?;
            let rows = page.rows.into_iter().map(|(at, row)| (key(at), Item::from(Value::Object(row))));
            Ok(Batch { items: rows.collect(), next: page.next.map(key) })
        })
    }

    fn columns(&self) -> Vec<String> {
        ["timestamp", "action", "kind", "id", "account_id", "by", "changed", "error"]
            .map(str::to_owned)
            .into()
    }
}

/// Keys are compared as text.
fn key(position: u64) -> String {
    format!("{position:020}")
}
