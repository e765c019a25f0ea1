//! Requests to crossbar: bounded in time and size, without redirects, and never with a token in a URL.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::auth::Role;
use crate::model::AccountId;

/// The time limit for a whole request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest response that is read, in bytes.
const MOST: usize = 256 * 1024;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Refused {
    /// Crossbar refused it with this status.
    No(u16),
    /// Crossbar gave no usable response, for this reason.
    Away(String),
}

/// What a user may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) role: Role,
    pub(super) enabled: bool,
}

/// A client of crossbar.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    api_key: Option<String>,
    /// The token that crossbar gave for the API key.
    token: Mutex<Option<String>>,
}

impl Client {
    pub(super) fn new(url: &str, api_key: Option<String>) -> Result<Self, reqwest::Error> {
        // A proxy from the environment, or a redirect, would send the tokens of users to another host.
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), api_key, token: Mutex::new(None) })
    }

    /// Reads the public key with this id, as PEM. Uses our own token, or without an API key the token to be verified.
    pub(super) async fn public_key(&self, kid: &str, token: &str) -> Result<String, Refused> {
        let path = format!("/v2/auth/keys/{kid}");
        let data = match &self.api_key {
            None => self.get(&path, token).await?,
            Some(key) => match self.get(&path, &self.own_token(key, false).await?).await {
                // Our own token has expired.
                Err(Refused::No(401 | 403)) => self.get(&path, &self.own_token(key, true).await?).await?,
                read => read?,
            },
        };
        let pem = data.get("public_key_pem").and_then(Value::as_str);
        pem.map(str::to_owned).ok_or_else(|| Refused::Away("its response has no public_key_pem".to_owned()))
    }

    /// Whether crossbar accepts a token now.
    pub(super) async fn is_good(&self, token: &str) -> Result<bool, Refused> {
        let asked = self.http.post(format!("{}/v2/auth/tokeninfo", self.base));
        let body = json!({"data": {"token": token}}).to_string();
        data(asked.header("content-type", "application/json").body(body)).await.map(|_| true)
    }

    /// Reads a user with the user's own token.
    pub(super) async fn user(&self, account: AccountId, user: &str, token: &str) -> Result<User, Refused> {
        // The id comes from a token and becomes part of the path, so it must not be able to lead to another document.
        let user: String = user.bytes().filter(u8::is_ascii_alphanumeric).map(char::from).collect();
        let data = self.get(&format!("/v2/accounts/{account}/users/{user}"), token).await?;
        let is_admin = data.get("priv_level").and_then(Value::as_str) == Some("admin");
        let enabled = data.get("enabled").is_none_or(|enabled| *enabled != Value::Bool(false));
        Ok(User { role: if is_admin { Role::Admin } else { Role::User }, enabled })
    }

    async fn get(&self, path: &str, token: &str) -> Result<Map<String, Value>, Refused> {
        data(self.http.get(format!("{}{path}", self.base)).header("x-auth-token", token)).await
    }

    async fn own_token(&self, api_key: &str, again: bool) -> Result<String, Refused> {
        // Held during the request, so that callers which find no token wait for this one instead of requesting their
        // own.
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|_| !again) {
            return Ok(token.clone());
        }
        let body = json!({"data": {"api_key": api_key}}).to_string();
        let asked = self.http.put(format!("{}/v2/api_auth", self.base));
        let envelope = envelope(asked.header("content-type", "application/json").body(body)).await?;
        let token = envelope.get("auth_token").and_then(Value::as_str);
        let token =
            token.ok_or_else(|| Refused::Away("its response has no auth_token".to_owned()))?.to_owned();
        Ok(kept.insert(token).clone())
    }
}

/// The `data` of a response's envelope.
async fn data(request: reqwest::RequestBuilder) -> Result<Map<String, Value>, Refused> {
    match envelope(request).await?.remove("data") {
        Some(Value::Object(data)) => Ok(data),
        _ => Err(Refused::Away("its response has no data".to_owned())),
    }
}

async fn envelope(request: reqwest::RequestBuilder) -> Result<Map<String, Value>, Refused> {
    let away = |error: reqwest::Error| Refused::Away(error.without_url().to_string());
    let mut answer = request.send().await.map_err(away)?;
    let status = answer.status().as_u16();
    match status {
        200..300 => {}
        // A rate limit or a failing server says nothing about the token.
        429 => return Err(Refused::Away("it refuses requests because there are too many".to_owned())),
        400..500 => return Err(Refused::No(status)),
        _ => return Err(Refused::Away(format!("it responded with status {status}"))),
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(away)? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST {
            return Err(Refused::Away("its response is too large".to_owned()));
        }
    }
    serde_json::from_slice(&body).map_err(|_| Refused::Away("its response is not a JSON object".to_owned()))
}
