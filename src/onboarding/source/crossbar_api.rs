//! Requests to crossbar: a token for an API key, documents, and lists with or without pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::client::{Answer, Ask, Client, Manner, SourceError};
use super::{Bounds, fits, too_many};
use crate::model::AccountId;
use crate::onboarding::reading::Profile;

type Document = Map<String, Value>;

/// The number of rows in a page, if the server refuses to send a list whole.
const PAGE: usize = 1000;

/// A crossbar.
#[derive(Debug, Clone)]
pub struct Crossbar {
    pub(super) client: Client,
    key: ApiKey,
    token: Arc<Mutex<Option<Session>>>,
    pub(super) profile: Profile,
    pub(super) bounds: Bounds,
}

/// An API key: prints as `***`.
#[derive(Clone)]
struct ApiKey(String);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A token, with the account that it belongs to.
#[derive(Clone)]
pub(super) struct Session {
    token: String,
    pub(super) account: AccountId,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session of {}", self.account)
    }
}

impl Crossbar {
    /// A crossbar at an address, without `/v2`.
    pub fn new(
        address: &str,
        api_key: &str,
        manner: Manner,
        profile: Profile,
        bounds: Bounds,
    ) -> Result<Self, SourceError> {
        let address = address.trim_end_matches('/').trim_end_matches("/v2");
        let client = Client::new(address, None, manner)?;
        Ok(Self { client, key: ApiKey(api_key.trim().to_owned()), token: Arc::default(), profile, bounds })
    }

    pub(super) async fn session(&self, fresh: bool) -> Result<Session, SourceError> {
        // Held while the token is requested, so that parallel requests share one log-in.
        let mut kept = self.token.lock().await;
        if let Some(session) = kept.as_ref().filter(|_| !fresh) {
            return Ok(session.clone());
        }
        let body = json!({"data": {"api_key": self.key.0}});
        let path = "v2/api_auth";
        let answer =
            self.client.ask(Ask { method: Method::PUT, body: Some(&body), ..Ask::get(path, &[]) }).await?;
        let account = answer.body.get("data").and_then(|data| data.get("account_id")).and_then(Value::as_str);
        let (Some(token), Some(account)) =
            (answer.body.get("auth_token").and_then(Value::as_str), account.and_then(|id| id.parse().ok()))
        else {
            return Err(strange(path, "no token comes for the API key; is this the address of crossbar?"));
        };
        let session = Session { token: token.to_owned(), account };
        *kept = Some(session.clone());
        Ok(session)
    }

    /// Makes a request with a token. An expired token is renewed once.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, SourceError> {
        let session = self.session(false).await?;
        match self.client.ask(Ask { token: Some(&session.token), ..Ask::get(path, query) }).await {
            Err(error) if error.status() == Some(401) => {
                let session = self.session(true).await?;
                self.client.ask(Ask { token: Some(&session.token), ..Ask::get(path, query) }).await
            }
            other => other,
        }
    }

    /// A document; `None`: it does not exist.
    pub(super) async fn document(&self, path: &str) -> Result<Option<Document>, SourceError> {
        let answer = self.get(path, &[]).await?;
        if answer.status == 404 {
            // A proxy on the way answers 404 too. That must not make an existing document count as deleted.
            return if is_bad_identifier(&answer.body) {
                Ok(None)
            } else {
                Err(strange(path, "a 404 that is not crossbar's"))
            };
        }
        match answer.body.get("data") {
            Some(Value::Object(data)) => Ok(Some(data.clone())),
            _ => Err(strange(path, "no document")),
        }
    }

    /// All rows of a list: at once, or in pages if the server refuses that. A repeated row counts once.
    pub(super) async fn rows(
        &self,
        path: &str,
        filters: &[(&str, &str)],
        what: &'static str,
        most: usize,
    ) -> Result<Vec<Document>, SourceError> {
        let filters: Vec<_> = filters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let whole: Vec<_> = filters.iter().cloned().chain([("paginate", "false".to_owned())]).collect();
        let mut answer = match self.get(path, &whole).await {
            Err(error) if error.status() == Some(416) => None,
            Err(SourceError::TooLarge { .. }) => None,
            other => Some(other?),
        };
        let (mut rows, mut seen, mut start) = (Vec::new(), BTreeSet::new(), None::<String>);
        let (mut size, mut bytes) = (PAGE, 0);
        loop {
            let page = if let Some(answer) = answer.take() {
                answer
            } else {
                let mut query = filters.clone();
                query.push(("page_size", size.to_string()));
                query.extend(start.iter().map(|start| ("start_key", start.clone())));
                match self.get(path, &query).await {
                    Err(SourceError::TooLarge { .. }) if size > 1 => {
                        size /= 2;
                        continue;
                    }
                    page => page?,
                }
            };
            let Some(Value::Array(data)) = page.body.get("data").filter(|_| page.status == 200) else {
                return Err(strange(path, "no list"));
            };
            let before = rows.len();
            for row in data {
                let Some(row) = row.as_object() else { return Err(strange(path, "a row is not an object")) };
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                bytes += serde_json::to_vec(row).map_or(0, |text| text.len());
                fits(bytes)?;
                if seen.insert(id) {
                    rows.push(row.clone());
                }
            }
            if rows.len() > most {
                return Err(too_many(what, most));
            }
            let next = page.body.get("next_start_key").filter(|next| !next.is_null());
            let next = next.map(|next| next.as_str().map_or_else(|| next.to_string(), str::to_owned));
            match next {
                None => return Ok(rows),
                // A page with only known rows shows that further pages make no progress.
                Some(_) if rows.len() == before => return Err(strange(path, "its pages make no progress")),
                Some(next) => start = Some(next),
            }
        }
    }
}

fn is_bad_identifier(body: &Value) -> bool {
    let text = body.get("message").and_then(Value::as_str).unwrap_or_default();
    text.starts_with("bad") && text.ends_with("identifier")
}

pub(super) fn strange(path: &str, reason: &str) -> SourceError {
    SourceError::Strange { url: path.to_owned(), reason: reason.to_owned() }
}
