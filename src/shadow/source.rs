//! Requests to one of the two systems. Both have KAZOO's API, so the same requests work.
//!
//! Promise: responses are bounded in size and number, a busy system is asked again a few times, and no error contains
//! the key or the token.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use crate::model::masked_uri;

/// The time limit for one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest response, in bytes.
const MOST_BYTES: usize = 64 << 20;
/// The rows of one page.
const PAGE: usize = 500;
/// The most rows of one list.
const MOST_ROWS: usize = 200_000;
/// How often a busy system is asked again, each time after twice the wait.
const AGAIN: u32 = 4;
const WAIT: Duration = Duration::from_millis(500);

/// Why a request to a system failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// The text is not a URL.
    #[error("{0} is not an http:// or https:// URL")]
    Url(String),
    /// The URL contains credentials, which other users of the machine could see on the command line.
    #[error("the URL contains credentials, which other users of this machine can see: leave them out")]
    Credentials,
    /// The system could not be reached, or the connection broke.
    #[error("{at}: {reason}")]
    Transport { at: String, reason: String },
    /// The system refused the request.
    #[error("{at} answered {status}{message}")]
    Refused { at: String, status: StatusCode, message: String },
    /// The response does not have the form of this API.
    #[error("{0} gave a response that cannot be understood")]
    NotUnderstood(String),
    /// The list has more rows than are read.
    #[error(
        "{0} lists more than {MOST_ROWS} attempts of one account; choose a shorter time with --from and --to"
    )]
    TooMuch(String),
}

/// A system after log-in.
pub(super) struct Source {
    client: Client,
    base: Url,
    /// The URL without a password, for messages.
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

    /// Sends a request and returns the `data` of its response.
    pub(super) async fn data(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, SourceError> {
        let answer = self.ask(method, path, &[], body).await?;
        answer.get("data").cloned().ok_or_else(|| self.not_understood())
    }

    /// Reads all rows of a list, page by page.
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
            // More rows than a page have the same key, so only a larger page gets past them.
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
            let message = answer.ok().as_ref().and_then(refusal_text);
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

/// The reason in a refusal: the message of a field if there is one, otherwise the general message.
fn refusal_text(answer: &Value) -> Option<String> {
    let of_field = answer.get("data").and_then(Value::as_object).and_then(|fields| {
        let (_, rules) = fields.iter().next()?;
        let (_, details) = rules.as_object()?.iter().next()?;
        details.get("message")?.as_str()
    });
    of_field.or_else(|| answer.get("message")?.as_str()).map(str::to_owned)
}
