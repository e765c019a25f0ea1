//! One HTTP client for CouchDB and crossbar: bounded in time and bytes, patient with a server that is busy or breaks off.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

/// Bytes of one answer. Read into values it takes up to twenty times as much, so this is what bounds the memory of a reading
/// from a server that lies. Lists that are longer are read in pages.
const MOST_BYTES: usize = 16 << 20;
/// The longest wait that a server can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a KAZOO could not be read. Holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The address is none.
    #[error("'{0}' is no http:// or https:// address")]
    Address(String),
    /// Credentials stand in the address, where other users of the machine can read them.
    #[error(
        "the address holds credentials, which other users of this machine can read; put them into a file or the environment"
    )]
    Credentials,
    /// The server cannot be reached, or breaks off.
    #[error("{url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        reason: String,
    },
    /// The server refuses.
    #[error("{url} answers {status}: {reason}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer's status.
        status: u16,
        /// What it says, in short.
        reason: String,
    },
    /// The answer is not what such a server answers.
    #[error("{url}: {reason}")]
    Strange {
        /// What was asked for.
        url: String,
        /// What is strange.
        reason: String,
    },
    /// The answer is larger than an answer may be.
    #[error("{url}: the answer is larger than {MOST_BYTES} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
    },
    /// There is more than may be read.
    #[error("there are more than {most} {what}; raise {key}")]
    TooMany {
        /// `accounts` or `hooks`.
        what: &'static str,
        /// The limit.
        most: usize,
        /// Its name.
        key: &'static str,
    },
    /// What was read holds more text than is kept.
    #[error("the accounts and hooks hold more than {0} bytes; such a KAZOO is not read")]
    TooMuch(usize),
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

impl SourceError {
    /// Whether the server says that this reader may not have it, or that it is not there.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An answer with a body that is JSON.
#[derive(Debug)]
pub struct Answer {
    /// The status: a success, or 404.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is made at most before it has failed.
    pub tries: u32,
    /// The first wait before another try; it doubles.
    pub first_wait: Duration,
    /// Requests at once.
    pub at_once: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            tries: 6,
            first_wait: Duration::from_millis(250),
            at_once: 16,
        }
    }
}

/// A server and how it is asked.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    pub(super) manner: Manner,
    credentials: Option<Credentials>,
}

/// A name and a password: prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: String,
    password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Credentials {
    /// Of a text `name:password`; `None`: it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, password) = text.trim().split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The path, without a slash before it.
    pub path: &'a str,
    /// The query string.
    pub query: &'a [(&'a str, String)],
    /// The body.
    pub body: Option<&'a Value>,
    /// A token of crossbar's kind.
    pub token: Option<&'a str>,
    /// How much longer than usual it may take, for an answer that waits for something to happen.
    pub within: Option<Duration>,
}

impl<'a> Ask<'a> {
    /// A GET.
    #[must_use]
    pub fn get(path: &'a str, query: &'a [(&'a str, String)]) -> Self {
        Self { method: Method::GET, path, query, body: None, token: None, within: None }
    }
}

impl Client {
    /// A client of a server at an address without credentials in it.
    pub fn new(base: &str, credentials: Option<Credentials>, manner: Manner) -> Result<Self, SourceError> {
        // What is no address may hold a password all the same.
        let refused = || SourceError::Address(base.rsplit('@').next().unwrap_or_default().to_owned());
        let base = Url::parse(base).map_err(|_| refused())?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(refused());
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(SourceError::Credentials);
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("switchhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SourceError::Unreachable { url: base.to_string(), reason: error.to_string() })?;
        Ok(Self { http, base, manner, credentials })
    }

    /// The path as it is named in errors: without its query, and without a host's credentials.
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Asks until there is an answer that is worth something: 429, 5xx, broken and silent connections are tried again.
    /// A refusal is an error but for 404, which callers want to read.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, SourceError> {
        let mut waits = ExponentialBackoff {
            initial_interval: self.manner.first_wait,
            current_interval: self.manner.first_wait,
            max_interval: LONGEST_WAIT,
            multiplier: 2.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        let mut tried = 0;
        loop {
            tried += 1;
            let (error, asked) = match self.once(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let passes = match &error {
                SourceError::Unreachable { .. } => true,
                SourceError::Refused { status, .. } => *status == 429 || *status >= 500,
                _ => false,
            };
            if !passes || tried >= self.manner.tries {
                return Err(error);
            }
            let wait = waits.next_backoff().unwrap_or(LONGEST_WAIT);
            tokio::time::sleep(asked.map_or(wait, |asked| asked.min(LONGEST_WAIT).max(wait))).await;
        }
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, (SourceError, Option<Duration>)> {
        let url = self.url(ask.path);
        let failed = |error: reqwest::Error| {
            (SourceError::Unreachable { url: url.clone(), reason: said(&error) }, None)
        };
        let mut target = Url::parse(&url).map_err(|_| (SourceError::Address(url.clone()), None))?;
        if !ask.query.is_empty() {
            target
                .query_pairs_mut()
                .extend_pairs(ask.query.iter().map(|(name, value)| (name, value.as_str())));
        }
        let mut request = self.http.request(ask.method.clone(), target).header(ACCEPT, "application/json");
        request = request.timeout(ask.within.unwrap_or_default() + self.manner.timeout);
        if let Some(Credentials { name, password }) = &self.credentials {
            request = request.basic_auth(name, Some(password));
        }
        if let Some(token) = ask.token {
            request = request.header("x-auth-token", token);
        }
        if let Some(body) = ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        if response.content_length().is_some_and(|length| length > MOST_BYTES as u64) {
            return Err((SourceError::TooLarge { url }, None));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err((SourceError::TooLarge { url }, None));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = serde_json::from_slice::<Value>(&bytes);
        if status.is_success() || status == StatusCode::NOT_FOUND {
            return match body {
                Ok(body) => Ok(Answer { status: status.as_u16(), body }),
                // A proxy's page, or half of an answer.
                Err(_) => {
                    Err((SourceError::Unreachable { url, reason: "the answer is no JSON".to_owned() }, None))
                }
            };
        }
        let reason = body.as_ref().map(short).unwrap_or_default();
        Err((SourceError::Refused { url, status: status.as_u16(), reason }, wait.map(Duration::from_secs)))
    }
}

/// What an error answer says, without what it may quote of the request: the reason of a field if there is one.
fn short(body: &Value) -> String {
    let of_field = body.get("data").and_then(Value::as_object).and_then(|fields| {
        let (_, rules) = fields.iter().next()?;
        let (_, details) = rules.as_object()?.iter().next()?;
        details.get("message")?.as_str()
    });
    let text = of_field
        .or_else(|| ["reason", "message", "error"].iter().find_map(|field| body.get(field)?.as_str()));
    text.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The innermost cause: the outer ones repeat the address with its query.
fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
