//! The API of a program that runs: Switchhook, for commands that an operator gives on the same machine or another
//! one, or a KAZOO, whose API answers the same questions. Keys come from files or the environment, never from the
//! command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::Ours;
use crate::config::{Config, ConfigError};
use crate::model::AccountId;
use crate::onboarding::source::{Answer, Ask, Client, Manner, SourceError};

/// Rows that are asked for at once.
const PAGE: usize = 500;
/// Rows of one list.
const MOST_ROWS: usize = 200_000;

/// A running program, and a token of an account there.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    /// The client for changes. Changes are not retried, because a broken connection does not show whether they were
    /// made.
    changes: Client,
    token: Token,
    /// The account of the key.
    pub account: AccountId,
}

/// A token. It prints as `***`.
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Why the running program cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The configuration does not say where it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key file cannot be read.
    #[error("{path}: {error}")]
    KeyFile {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A key file is empty.
    #[error("{0} holds no key")]
    NoKey(PathBuf),
    /// It does not answer as it should.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The environment's key: other users of the machine see a command line, not an environment.
const KEY: &str = "SWITCHHOOK_API_KEY";

/// An API key in a file.
pub fn key_in(path: &Path) -> Result<String, RemoteError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| RemoteError::KeyFile { path: path.to_owned(), error })?;
    let key = text.trim();
    if key.is_empty() { Err(RemoteError::NoKey(path.to_owned())) } else { Ok(key.to_owned()) }
}

/// An API key of the running program: of a file, of `SWITCHHOOK_API_KEY`, of the configuration, or the one that the
/// first start wrote into the data directory.
pub fn key(file: Option<&Path>, config: &Config) -> Result<String, RemoteError> {
    let of_environment = std::env::var(KEY).ok().filter(|key| !key.trim().is_empty());
    match (file, of_environment, &config.auth.master_api_key) {
        (Some(file), ..) => key_in(file),
        (None, Some(key), _) => Ok(key.trim().to_owned()),
        (None, None, Some(key)) => Ok(key.reveal().to_owned()),
        (None, None, None) => key_in(&config.data_dir.join("master.key")),
    }
}

/// Where the program's listener is reached from this machine.
#[must_use]
pub fn local(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

impl Remote {
    /// This program, where the command line or its configuration say that it runs.
    pub async fn of(ours: &Ours) -> Result<Self, RemoteError> {
        let config = ours.settings.load()?;
        let address = ours.url.clone().unwrap_or_else(|| local(config.http.listen));
        let key = key(ours.key_file.as_deref(), &config)?;
        Ok(Self::log_in(&address, &key).await?)
    }

    /// Logs in with an API key, at an address with or without `/v2`.
    pub async fn log_in(address: &str, api_key: &str) -> Result<Self, SourceError> {
        let address = address.trim_end_matches('/').trim_end_matches("/v2");
        let manner = Manner { tries: 3, ..Manner::default() };
        let client = Client::new(address, None, manner.clone())?;
        let changes = Client::new(address, None, Manner { tries: 1, ..manner })?;
        let body = json!({"data": {"api_key": api_key}});
        let ask = Ask { method: Method::PUT, body: Some(&body), ..Ask::get("v2/api_auth", &[]) };
        let answer = client.ask(ask).await?;
        let token = answer.body.get("auth_token").and_then(Value::as_str);
        let account = answer.body.get("data").and_then(|data| data.get("account_id")?.as_str()?.parse().ok());
        let (Some(token), Some(account)) = (token, account) else {
            return Err(strange(address, "no token comes for the API key; is this the address of the API?"));
        };
        Ok(Self { client, changes, token: Token(token.to_owned()), account })
    }

    /// Reads a resource.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, SourceError> {
        let mut answer = self.ask(path, query).await?;
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// All rows of a list, page by page.
    pub async fn rows(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<Map<String, Value>>, SourceError> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            if rows.len() > MOST_ROWS {
                let reason =
                    format!("more than {MOST_ROWS} rows; ask for less, for example for a shorter time");
                return Err(strange(path, reason));
            }
            Ok(())
        };
        self.each_row(path, query, take).await?;
        Ok(rows)
    }

    /// Hands over the rows of a list one by one, so that only a page of them is in memory.
    pub async fn each_row(
        &self,
        path: &str,
        query: &[(&str, String)],
        mut take: impl FnMut(Map<String, Value>) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let (mut start, mut size) = (None::<String>, PAGE);
        loop {
            let mut query: Vec<(&str, String)> = query.to_vec();
            query.push(("page_size", size.to_string()));
            query.extend(start.clone().map(|key| ("start_key", key)));
            let mut answer = match self.ask(path, &query).await {
                Err(SourceError::TooLarge { .. }) if size > 1 => {
                    size /= 2;
                    continue;
                }
                answer => answer?,
            };
            let Some(Value::Array(page)) = answer.get_mut("data").map(Value::take) else {
                return Err(strange(path, "no list"));
            };
            for row in page {
                if let Value::Object(row) = row {
                    take(row)?;
                }
            }
            let next = match answer.get("next_start_key") {
                Some(Value::String(key)) if !key.is_empty() => key.clone(),
                None | Some(Value::Null | Value::String(_)) => return Ok(()),
                Some(other) => other.to_string(),
            };
            // More rows than a page have the same key: only a larger page gets past them.
            if start.as_ref() == Some(&next) {
                if size > MOST_ROWS {
                    return Err(strange(path, "its pages do not continue"));
                }
                size *= 4;
            }
            start = Some(next);
        }
    }

    async fn ask(&self, path: &str, query: &[(&str, String)]) -> Result<Value, SourceError> {
        let ask = Ask { token: Some(&self.token.0), ..Ask::get(path, query) };
        found(path, self.client.ask(ask).await?)
    }

    /// Makes a change and returns the `data` of the response.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        data: Option<&Value>,
    ) -> Result<Value, SourceError> {
        let body = json!({"data": data.unwrap_or(&json!({}))});
        let ask = Ask { method, body: Some(&body), token: Some(&self.token.0), ..Ask::get(path, &[]) };
        let mut answer = found(path, self.changes.ask(ask).await?)?;
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// Makes a change with POST.
    pub async fn post(&self, path: &str, data: &Value) -> Result<Value, SourceError> {
        self.change(Method::POST, path, Some(data)).await
    }
}

fn found(path: &str, answer: Answer) -> Result<Value, SourceError> {
    let Answer { status, body } = answer;
    if status == 404 {
        let reason = body.get("message").and_then(Value::as_str).unwrap_or("not found").to_owned();
        return Err(SourceError::Refused { url: path.to_owned(), status, reason });
    }
    Ok(body)
}

fn strange(url: &str, reason: impl Into<String>) -> SourceError {
    SourceError::Strange { url: url.to_owned(), reason: reason.into() }
}
