//! `/admin/import`, used by `switchhook import kazoo --into`. GET lists the documents that an import compares, without
//! secrets. POST makes planned changes, or deletes a document.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::call::Call;
use super::errors::ApiError;
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::Answer;
use super::reply::Reply;
use crate::model::{AccountId, EventOffset};
use crate::onboarding::{Begin, LogEnds, Odd, OddKind, Outcome, put};
use crate::state::{Kind, Mirror, MirroredBy, State, TreeError, is_deleted};

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

    fn first_waiting(&self, account: AccountId) -> Option<EventOffset> {
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

/// The kinds of documents that an import compares, in the order of the list.
const KINDS: [(&str, Kind); 3] = [("account", Kind::Account), ("hook", Kind::Hook), ("user", Kind::User)];

/// All documents of these kinds, read from the index a batch at a time. A key is the kind, a dot and the id.
struct Everything {
    state: State,
}

impl Everything {
    fn read(&self, ask: &Ask) -> Result<Batch, ApiError> {
        let mut kinds = KINDS.to_vec();
        if !ask.ascending {
            kinds.reverse();
        }
        let (name, from) = match ask.from.as_deref().map(|key| key.split_once('.').unwrap_or((key, ""))) {
            // Without an id the batch begins at the first document of the kind in the order of the list.
            Some((name, "")) => (Some(name), None),
            Some((name, id)) => (Some(name), Some(id)),
            None => (None, None),
        };
        let at = name.map_or(Some(0), |name| kinds.iter().position(|(of, _)| *of == name));
        let Some((name, kind)) = at.and_then(|at| kinds.get(at)) else {
            return Err(ApiError::faulty_request("invalid start key"));
        };
        // One more than requested gives the start of the next batch.
        let mut docs = self.state.some(*kind, from, ask.ascending, ask.most + 1)?;
        let id = |doc: &Document| doc.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let next =
            (docs.len() > ask.most).then(|| docs.pop()).flatten().map(|doc| format!("{name}.{}", id(&doc)));
        let next_kind = at.and_then(|at| kinds.get(at + 1)).map(|(name, _)| format!("{name}."));
        let live = docs.into_iter().filter(|doc| !is_deleted(doc));
        let items = live.map(|mut doc| {
            let id = id(&doc);
            for field in SECRETS {
                drop(doc.shift_remove(field));
            }
            (format!("{name}.{id}"), Item::from(json!({"kind": kind, "id": id, "document": doc})))
        });
        Ok(Batch { items: items.collect(), next: next.or(next_kind) })
    }
}

impl Source for Everything {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(std::future::ready(self.read(&ask)))
    }

    fn columns(&self) -> Vec<String> {
        ["kind", "id", "document"].map(str::to_owned).into()
    }
}

pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    List::of(call)?.answer(Everything { state: call.api.state.clone() }).await
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
