//! One of the two systems, asked over its API. Both speak KAZOO's, so the same questions do.
//!
//! Held: the answers that are read are bounded in size and number, a system that is busy is asked again a few times, and the
//! key and the token are in no error.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use crate::model::masked_uri;

/// Time of one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one answer.
const MOST_BYTES: usize = 64 << 20;
/// Rows that are asked for at once.
const PAGE: usize = 500;
/// Rows of one list.
const MOST_ROWS: usize = 200_000;
/// How often a system that is busy is asked again, with twice the wait each time.
const AGAIN: u32 = 4;
const WAIT: Duration = Duration::from_millis(500);

/// Why a system's answer is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// It is no address.
    #[error("{0} is no http:// or https:// URL")]
    Url(String),
    /// Other users of the machine could read it there.
    #[error("the URL holds credentials, which other users of this machine can read: leave them out")]
    Credentials,
    /// It was not reached, or broke off.
    #[error("{at}: {reason}")]
    Transport { at: String, reason: String },
    /// It refused.
    #[error("{at} answered {status}{message}")]
    Refused { at: String, status: StatusCode, message: String },
    /// Its answer is none of this API's.
    #[error("{0} gave an answer that is not understood")]
    NotUnderstood(String),
    /// There is more than is read.
    #[error(
        "{0} lists more than {MOST_ROWS} attempts of one account; choose a shorter time with --from and --to"
    )]
    TooMuch(String),
}

/// A system, logged in to.
pub(super) struct Source {
    client: Client,
    base: Url,
    /// The same without a password, for messages.
    shown: String,
    token: String,
}

impl Source {
    /// Logs in with an API key.
    pub(super) async fn log_in(base: &str, key: &str) -> Result<Self, SourceError> {
        let not_usable = || SourceError::Url(masked_uri(base));
        let mut url = Url::parse(base).map_err(|_| not_usable())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(not_usable());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SourceError::Credentials);
        }
        let path = url.path().trim_end_matches('/').trim_end_matches("/v2").to_owned();
        url.set_path(&format!("{path}/"));
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().timeout(TIMEOUT).no_proxy().redirect(redirect).build();
        let client = client
            .map_err(|error| SourceError::Transport { at: masked_uri(base), reason: error.to_string() })?;
        let shown = masked_uri(url.as_str());
        let mut source = Self { client, base: url, shown, token: String::new() };
        let body = json!({"data": {"api_key": key}});
        let answer = source.ask(Method::PUT, "v2/api_auth", &[], Some(&body)).await?;
        let token = answer.get("auth_token").and_then(Value::as_str);
        token.ok_or_else(|| source.not_understood())?.clone_into(&mut source.token);
        Ok(source)
    }

    /// `data` of one answer.
    pub(super) async fn data(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SourceError> {
        let answer = self.ask(method, path, &[], body).await?;
        answer.get("data").cloned().ok_or_else(|| self.not_understood())
    }

    /// All rows of a list, page by page.
    pub(super) async fn rows(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<Map<String, Value>>, SourceError> {
        let mut rows = Vec::new();
        let (mut start, mut size) = (None::<String>, PAGE);
        loop {
            let mut query: Vec<(&str, String)> = query.to_vec();
            query.push(("page_size", size.to_string()));
            query.extend(start.clone().map(|key| ("start_key", key)));
            let answer = self.ask(Method::GET, path, &query, None).await?;
            let Some(Value::Array(page)) = answer.get("data") else { return Err(self.not_understood()) };
            rows.extend(page.iter().filter_map(Value::as_object).cloned());
            if rows.len() > MOST_ROWS {
                return Err(SourceError::TooMuch(self.shown.clone()));
            }
            let next = match answer.get("next_start_key") {
                Some(Value::String(key)) if !key.is_empty() => key.clone(),
                None | Some(Value::Null | Value::String(_)) => return Ok(rows),
                Some(other) => other.to_string(),
            };
            // More rows than a page have the same key: only a larger page gets past them.
            if start.as_ref() == Some(&next) {
                size *= 4;
            }
            start = Some(next);
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Map<String, Value>, SourceError> {
        let mut wait = WAIT;
        for _ in 0..AGAIN {
            match self.ask_once(method.clone(), path, query, body).await {
                Err(SourceError::Refused { status, .. })
                    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() =>
                {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                answered => return answered,
            }
        }
        self.ask_once(method, path, query, body).await
    }

    async fn ask_once(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Map<String, Value>, SourceError> {
        let mut url = self.base.join(path).map_err(|_| self.not_understood())?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).header("accept", "application/json");
        if !self.token.is_empty() {
            request = request.header("x-auth-token", &self.token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let broken = |error: reqwest::Error| {
            let mut reason = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                reason = error.to_string();
                cause = error.source();
            }
            SourceError::Transport { at: self.shown.clone(), reason }
        };
        let mut answer = request.send().await.map_err(broken)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(SourceError::TooMuch(self.shown.clone()));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer = serde_json::from_slice::<Value>(&bytes);
        if !status.is_success() {
            let message = answer.ok().as_ref().and_then(told);
            let message = message.map(|message| format!(": {message}")).unwrap_or_default();
            return Err(SourceError::Refused { at: format!("{}{path}", self.shown), status, message });
        }
        match answer {
            Ok(Value::Object(answer)) => Ok(answer),
            _ => Err(self.not_understood()),
        }
    }

    fn not_understood(&self) -> SourceError {
        SourceError::NotUnderstood(self.shown.clone())
    }
}

/// What a refusal says: the reason of a field if there is one, else the message.
fn told(answer: &Value) -> Option<String> {
    let of_field = answer.get("data").and_then(Value::as_object).and_then(|fields| {
        let (_, rules) = fields.iter().next()?;
        let (_, details) = rules.as_object()?.iter().next()?;
        details.get("message")?.as_str()
    });
    of_field.or_else(|| answer.get("message")?.as_str()).map(str::to_owned)
}
