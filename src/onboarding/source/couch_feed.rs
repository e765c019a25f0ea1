//! Asks CouchDB whether a document is deleted, and what has changed since a position in a feed.

use std::time::Duration;

use serde_json::Value;

use super::ACCOUNTS;
use super::Gone;
use super::client::{Ask, SourceError};
use super::couch::{Couch, WEBHOOKS};
use crate::kazoo::account_database;
use crate::state::Kind;

/// The changes in a feed of `accounts` or `webhooks` since a position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Ids of documents, with their revisions.
    pub documents: Vec<(String, Option<String>)>,
    /// The next position.
    pub next: Value,
}

impl Couch {
    /// Asks whether a document is really gone.
    pub async fn gone(&self, kind: Kind, id: crate::model::DocumentId) -> Result<Gone, SourceError> {
        let database = if kind == Kind::Account { ACCOUNTS } else { WEBHOOKS };
        let path = format!("{database}/{id}");
        let answer = match self.client.ask(Ask::get(&path, &[])).await {
            // A document that was left out because of its size exists.
            Err(SourceError::TooLarge { .. }) => return Ok(Gone::No),
            answer => answer?,
        };
        if answer.status == 200 {
            let Value::Object(doc) = answer.body else { return Ok(Gone::No) };
            let is_deleted = doc.get("pvt_deleted").is_some_and(|flag| *flag == true || *flag == "true");
            return Ok(if is_deleted { Gone::Yes } else { Gone::No });
        }
        match (answer.body.get("reason").and_then(Value::as_str), kind) {
            (Some("deleted"), _) | (Some("missing"), Kind::Hook) => Ok(Gone::Yes),
            // Without a tombstone, the copy in `accounts` may be missing by accident. The account's own
            // database decides.
            (Some("missing"), _) => {
                match self.get(&format!("{}/{id}", account_database(id.as_account()))).await {
                    Ok(Some(_)) => Ok(Gone::OnlyHalf),
                    Ok(None) => Ok(Gone::Yes),
                    // Nothing is known, and what may exist must not be deleted here.
                    Err(error) if matches!(error.status(), Some(401 | 403)) => Ok(Gone::No),
                    Err(error) => Err(error),
                }
            }
            _ => Err(strange(&path, format!("does not say whether it is deleted: {}", reason(&answer.body)))),
        }
    }

    /// The present position in a feed of changes.
    pub async fn place(&self, database: &str) -> Result<Value, SourceError> {
        let info = self.get(database).await?.unwrap_or_default();
        info.get("update_seq").cloned().ok_or_else(|| strange(database, "no update_seq"))
    }

    /// The changes since a position; the answer comes after at most `wait`.
    pub async fn changes(
        &self,
        database: &str,
        since: &Value,
        wait: Duration,
    ) -> Result<Changes, SourceError> {
        let path = format!("{database}/_changes");
        let since = since.as_str().map_or_else(|| since.to_string(), str::to_owned);
        let query = [
            ("feed", "longpoll".to_owned()),
            ("since", since),
            ("timeout", wait.as_millis().to_string()),
            ("limit", "1000".to_owned()),
        ];
        let answer = self.client.ask(Ask { within: Some(wait), ..Ask::get(&path, &query) }).await?;
        let (results, next) =
            (answer.body.get("results").and_then(Value::as_array), answer.body.get("last_seq"));
        let (Some(results), Some(next)) = (results, next) else {
            return Err(strange(&path, format!("no feed: {}", reason(&answer.body))));
        };
        let document = |row: &Value| {
            let rev = row.get("changes").and_then(|changes| changes.get(0)?.get("rev")?.as_str());
            Some((row.get("id")?.as_str()?.to_owned(), rev.map(str::to_owned)))
        };
        Ok(Changes { documents: results.iter().filter_map(document).collect(), next: next.clone() })
    }
}

pub(super) fn strange(path: &str, reason: impl Into<String>) -> SourceError {
    SourceError::Strange { url: path.to_owned(), reason: reason.into() }
}

pub(super) fn reason(body: &Value) -> String {
    let text = body.get("reason").or_else(|| body.get("error")).and_then(Value::as_str).unwrap_or("nothing");
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
