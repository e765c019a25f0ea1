//! `GET /admin/audit` and `GET …/audit`: the audit trail, newest first, optionally by account (`account_id`) and time
//! (`created_from`, `created_to`).

use serde_json::{Map, Value, json};

use super::attempts::{seconds, unix_us};
use super::call::Call;
use super::errors::ApiError;
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::Answer;
use super::reply::Reply;
use crate::model::AccountId;
use crate::state::{AuditQuery, State};

pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.request.query("account_id").map(|text| {
        text.parse().map_err(|_| {
            let details = json!({"message": "account_id must be 32 hex digits", "value": text});
            ApiError::field("account_id", "pattern", &details)
        })
    });
    answer(call, account.transpose()?).await
}

/// `GET …/audit`: changes of what an account owns. An actor above the caller's reach is named by account only.
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    answer(call, Some(call.account()?.id)).await
}

async fn answer(call: &Call<'_>, account: Option<AccountId>) -> Result<Reply, ApiError> {
    let query = AuditQuery {
        account,
        from_us: seconds(call, "created_from")?.map_or(0, unix_us),
        until_us: seconds(call, "created_to")?.map_or(u64::MAX, |to| unix_us(to.saturating_add(1))),
        start: None,
        ascending: false,
        limit: 0,
    };
    let own = call.caller.map(|caller| caller.account).unwrap_or_default();
    List::of(call)?.answer(Trail { state: call.api.state.clone(), query, own }).await
}

/// The private fields with the account of an author, and those with details of the author.
const AUTHORS: [(&str, &[&str]); 2] = [
    ("pvt_auth_account_id", &["pvt_request_id"]),
    ("pvt_maker_account", &["pvt_maker_kind", "pvt_maker_id", "pvt_stamp_of_maker", "pvt_maker_identity"]),
];

/// The audit trail, ordered by position.
struct Trail {
    state: State,
    query: AuditQuery,
    /// The caller's account.
    own: AccountId,
}

impl Trail {
    /// The row for the caller. Hides details of actors in accounts that the caller may not see.
    fn visible_row(&self, mut row: Map<String, Value>) -> Value {
        if let Some(Value::Object(by)) = row.get_mut("by") {
            let account: Option<AccountId> =
                by.get("account_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            if account.is_some_and(|account| !self.state.is_ancestor_or_self(self.own, account)) {
                by.retain(|field, _| matches!(field.as_str(), "kind" | "account_id"));
            }
        }
        for field in ["before", "after"] {
            if let Some(Value::Object(document)) = row.get_mut(field) {
                self.hide_author(document);
            }
        }
        row.into()
    }

    /// Hides the same details of the last author of a document, and of the creator of a link.
    fn hide_author(&self, document: &mut Map<String, Value>) {
        for (account, details) in AUTHORS {
            let author: Option<AccountId> =
                document.get(account).and_then(Value::as_str).and_then(|id| id.parse().ok());
            if author.is_some_and(|author| !self.state.is_ancestor_or_self(self.own, author)) {
                document.retain(|field, _| !details.contains(&field.as_str()));
            }
        }
    }
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
            let rows = page.rows.into_iter().map(|(at, row)| (key(at), Item::from(self.visible_row(row))));
            Ok(Batch { items: rows.collect(), next: page.next.map(key) })
        })
    }

    fn columns(&self) -> Vec<String> {
        ["timestamp", "action", "kind", "id", "account_id", "by", "changed", "error"]
            .map(str::to_owned)
            .into()
    }
}

/// A key as text. The width is fixed because keys are compared as text.
fn key(position: u64) -> String {
    format!("{position:020}")
}
