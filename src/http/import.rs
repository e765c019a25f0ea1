//! `/admin/import`, used by `switchhook import kazoo --into`. GET lists the documents that an import compares, without
//! secrets. POST makes planned changes, or deletes a document.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::call::Call;
use super::errors::ApiError;
use super::list::{Item, List, Rows};
use super::reply::Reply;
use crate::model::AccountId;
use crate::onboarding::{Begin, LogEnds, Odd, OddKind, Outcome, put};
use crate::state::{Kind, Mirror, MirroredBy, TreeError, is_deleted};

type Document = Map<String, Value>;

/// Fields that an import does not need.
const SECRETS: [&str; 5] = ["secret", "pvt_secrets", "pvt_md5_auth", "pvt_sha1_auth", "pvt_stamp"];
/// The most changes of one request.
const MOST: usize = 1000;

/// The body of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    #[serde(default)]
    changes: Vec<Mirror>,
    gone: Option<Missing>,
}

/// Where new hooks of an import begin.
struct Beginning<'a> {
    api: &'a Api,
}

impl Begin for Beginning<'_> {
    fn places(&self) -> LogEnds {
        LogEnds { events: self.api.events.end(), ledger: self.api.queues.ledger_end() }
    }

    fn first_waiting(&self, account: AccountId) -> Option<u64> {
        self.api.queues.first_waiting(account)
    }
}

/// A document that is missing in KAZOO.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    kind: Kind,
    id: String,
}

pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mut rows = Vec::new();
    for kind in [Kind::Account, Kind::Hook, Kind::User] {
        for doc in call.api.state.all(kind)?.into_iter().filter(|doc| !is_deleted(doc)) {
            let id = doc.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            rows.push((format!("{}{id}", json!(kind)), (kind, id, doc)));
        }
    }
    let shape = |(kind, id, doc): &(Kind, String, Document)| {
        let mut doc = doc.clone();
        for field in SECRETS {
            drop(doc.shift_remove(field));
        }
        Item::from(json!({"kind": kind, "id": id, "document": doc}))
    };
    List::of(call)?.answer(Rows::new(rows, shape)).await
}

pub(super) async fn change(call: &Call<'_>) -> Result<Reply, ApiError> {
    let asked = serde_json::from_value::<ImportBody>(Value::Object(call.envelope.object()?));
    let ImportBody { changes, gone } = asked.map_err(|error| {
        ApiError::field(
            "changes",
            "invalid",
            &json!({"message": format!("this is not a request of an import: {error}")}),
        )
    })?;
    if changes.len() > MOST {
        let details =
            json!({"message": format!("at most {MOST} changes are allowed in one request"), "target": MOST});
        return Err(ApiError::field("changes", "maxItems", &details));
    }
    let begin = Beginning { api: call.api };
    let mut outcome = put(&call.api.state, MirroredBy::Import, changes, &begin).await?;
    if let Some(Missing { kind, id }) = gone {
        outcome = delete(call, kind, &id, outcome).await?;
    }
    Ok(Reply::ok(json!(outcome)))
}

async fn delete(call: &Call<'_>, kind: Kind, id: &str, mut outcome: Outcome) -> Result<Outcome, ApiError> {
    if !matches!(kind, Kind::Account | Kind::Hook | Kind::User) {
        return Err(ApiError::unknown(id));
    }
    match call.api.state.mirror_gone(kind, id, MirroredBy::Import).await {
        Ok(()) => outcome.made += 1,
        Err(TreeError::HasDescendants(_)) => {
            outcome.refused.push(Odd::new(OddKind::Kept, id, "it has child accounts here"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(outcome)
}
