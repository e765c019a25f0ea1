//! From a job to a request: KAZOO's body and headers, ours beside them, the hook's own last.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use url::Url;

use super::sign::signature;
use crate::kazoo::{self, Extras};
use crate::model::{AccountId, DeliveryId, Event, Family, Hook, Job, Verb};

/// The name that receivers see.
const USER_AGENT: &str = concat!("switchhook/", env!("CARGO_PKG_VERSION"));

/// What does not change from one delivery of a hook to the next.
#[derive(Debug)]
pub(super) struct Target {
    /// The hook that it was made from, to see when that has changed.
    pub(super) hook: Arc<Hook>,
    url: Option<Url>,
    method: Method,
    headers: HeaderMap,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("hook's filter leaves nothing to send")]
    Filtered,
    #[error("event cannot be sent: {0}")]
    Unsendable(String),
    #[error("hook's uri is not usable")]
    InvalidUri,
}

impl Target {
    pub(super) fn new(hook: Arc<Hook>) -> Self {
        let mut headers = HeaderMap::with_capacity(16);
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("user-agent", USER_AGENT);
        put("x-hook-id", &hook.id.to_string());
        put("x-account-id", &hook.account.to_string());
        let mut url = Url::parse(&hook.uri).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
        if let Some(url) = &mut url {
            if let Some(credentials) = take_credentials(url) {
                put("authorization", &credentials);
            }
            url.set_fragment(None);
        }
        for (name, value) in &hook.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        }
        let method = match hook.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        };
        Self { hook, url, method, headers }
    }

    /// The request of one attempt.
    pub(super) fn request(
        &self,
        job: &Job,
        record: &[u8],
        around: &Surroundings<'_>,
    ) -> Result<Request, NoRequest> {
        let event = Event::decode(record).map_err(|e| NoRequest::Unsendable(e.to_string()))?;
        let reseller_id = event.account.and_then(|account| (around.reseller_of)(account));
        let extras = Extras { cluster_id: around.cluster_id, reseller_id };
        let payload = kazoo::payload(&event, &self.hook, &extras)
            .map_err(|e| NoRequest::Unsendable(e.to_string()))?
            .ok_or(NoRequest::Filtered)?;
        let wire = kazoo::wire_request(&self.hook, &payload);
        let mut url = self.url.clone().ok_or(NoRequest::InvalidUri)?;
        if wire.verb == Verb::Get {
            url = Url::parse(&wire.url).map_err(|_| NoRequest::InvalidUri)?;
            take_credentials(&mut url);
        }
        let mut request = Request::new(self.method.clone(), url);
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let id = around.delivery.to_string();
        let timestamp_s = around.now_us / 1_000_000;
        if let Some(content_type) = wire.content_type {
            put("content-type", content_type);
        }
        put("webhook-id", &id);
        put("webhook-timestamp", &timestamp_s.to_string());
        put("x-event-id", &around.delivery.event.to_string());
        put("x-attempt", &job.attempt.to_string());
        if job.replay {
            put("x-replay", "true");
        }
        if !self.hook.secrets.is_empty() {
            put("webhook-signature", &signature(&self.hook.secrets, &id, timestamp_s, &wire.body));
        }
        *request.timeout_mut() = Some(self.hook.timeout_ms.map_or(around.timeout, Duration::from_millis));
        if wire.verb != Verb::Get {
            *request.body_mut() = Some(wire.body.into());
        }
        Ok(request)
    }
}

/// What a request needs beside hook and event.
pub(super) struct Surroundings<'a> {
    pub(super) delivery: DeliveryId,
    pub(super) now_us: u64,
    pub(super) timeout: Duration,
    pub(super) cluster_id: &'a str,
    pub(super) reseller_of: &'a (dyn Fn(AccountId) -> Option<AccountId> + Sync),
}

/// The target that an event of a callflow brings with it.
pub(super) fn one_shot_target(record: &[u8]) -> Result<Target, NoRequest> {
    let event = Event::decode(record).map_err(|e| NoRequest::Unsendable(e.to_string()))?;
    if event.family != Some(Family::Callflow) {
        return Err(NoRequest::Filtered);
    }
    let hook = kazoo::one_shot(&event).map_err(|e| NoRequest::Unsendable(e.to_string()))?;
    Ok(Target::new(Arc::new(hook)))
}

/// Takes user and password out of a URL; they go into `Authorization` as with KAZOO (`webhooks.md` 4.1).
fn take_credentials(url: &mut Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_decode(text);
    let pair = format!("{}:{}", plain(url.username()), plain(url.password().unwrap_or("")));
    // Neither call can fail for an http URL with a host.
    let _same = url.set_username("");
    let _same = url.set_password(None);
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

fn percent_decode(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
