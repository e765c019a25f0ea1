//! The HTTP client for CouchDB and crossbar. It bounds time and bytes, and repeats requests to a server that is busy
//! or fails.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

/// The largest answer, in bytes. Parsed, an answer takes up to twenty times as much memory, so this bounds the memory
/// of a reading from a server that lies. Longer lists are read in pages.
const MOST_BYTES: usize = 16 << 20;
/// The longest wait that a server can request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a KAZOO could not be read. Contains no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The address is invalid.
    #[error("'{0}' is not an http:// or https:// address")]
    Address(String),
    /// The address contains credentials, which other users of the machine can read.
    #[error(
        "the address holds credentials, which other users of this machine can read; put them into a file or the environment"
    )]
    Credentials,
    /// The server cannot be reached, or breaks the connection.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The server refuses the request.
    #[error("{url} answers {status}: {reason}")]
    Refused {
        /// The URL of the request.
        url: String,
        /// The answer's status.
        status: u16,
        /// The server's text, shortened.
        reason: String,
    },
    /// Such a server does not send this answer.
    #[error("{url}: {reason}")]
    Strange {
        /// The URL of the request.
        url: String,
        /// What is strange.
        reason: String,
    },
    /// The answer is too large.
    #[error("{url}: the answer is larger than {MOST_BYTES} bytes")]
    TooLarge {
        /// The URL of the request.
        url: String,
    },
    /// There are more documents than the limit allows.
    #[error("there are more than {most} {what}; raise {key}")]
    TooMany {
        /// `accounts` or `hooks`.
        what: &'static str,
        /// The limit.
        most: usize,
        /// The limit's key in the configuration.
        key: &'static str,
    },
    /// The accounts and hooks have more text than this program keeps in memory.
    #[error("the accounts and hooks hold more than {0} bytes; such a KAZOO is not read")]
    TooMuch(usize),
    /// A file cannot be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The reason.
        reason: String,
    },
}

impl SourceError {
    /// The status of a refusal.
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

/// How requests are made.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The longest time of a request.
    pub timeout: Duration,
    /// The number of tries of a request.
    pub tries: u32,
    /// The first wait before another try; it doubles.
    pub first_wait: Duration,
    /// The largest number of simultaneous requests.
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

/// A server, with the way to make requests.
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
    /// Parses `name:password`; `None`: the text does not have this form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, password) = text.trim().split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

/// A request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The path, without a leading slash.
    pub path: &'a str,
    /// The query string.
    pub query: &'a [(&'a str, String)],
    /// The body.
    pub body: Option<&'a Value>,
    /// A token of crossbar's kind.
    pub token: Option<&'a str>,
    /// Extra time for an answer that waits until something changes.
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
        // Even an invalid address may contain a password.
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

    /// The URL in error texts: without the query, and without credentials.
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Makes a request, and repeats it after 429, 5xx, and broken or silent connections. Returns an error for a
    /// refusal, but not for 404, because callers examine the body of a 404.
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
                // A proxy's page, or an incomplete answer.
                Err(_) => {
                    Err((SourceError::Unreachable { url, reason: "the answer is not JSON".to_owned() }, None))
                }
            };
        }
        let reason = body.as_ref().map(short).unwrap_or_default();
        Err((SourceError::Refused { url, status: status.as_u16(), reason }, wait.map(Duration::from_secs)))
    }
}

/// The text of an error answer: the reason of a field if there is one. Leaves out quotations of the request.
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

/// The innermost cause. The outer ones repeat the URL with its query.
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
