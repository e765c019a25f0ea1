//! Builds the request of a job: KAZOO's body and headers, then our headers, then the hook's own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::client::{Address, Outgoing};
use super::headers::{Headers, Identity, Parts, Trace, Values};
use super::room::Share;
use super::sign::signature;
use crate::kazoo::{self, Extras, PayloadError};
use crate::model::{
    AccountId, DeliveryId, Event, Family, Format, Hook, Job, Unsendable, Verb, fields_weight,
};

/// The parts of a request that are the same for all deliveries of a hook.
#[derive(Debug)]
pub(super) struct Target {
    /// The hook from which the target was built, to detect changes.
    pub(super) hook: Arc<Hook>,
    address: Option<Arc<Address>>,
    method: Method,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    /// The hook's share of the memory for large events.
    pub(super) share: OnceLock<Share>,
    /// Bytes that the hook adds to every payload.
    own_bytes: usize,
}

/// Why no request can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("hook's filter leaves nothing to send")]
    Filtered,
    #[error("{}", .0.text())]
    Unsendable(Unsendable),
    #[error("hook's uri is not usable")]
    InvalidUri,
}

impl Target {
    pub(super) fn new(hook: Arc<Hook>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(kazoo::USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
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
        let address = url.and_then(Address::new).map(Arc::new);
        // A list instead of a map: there is one for each hook, and most of a small map is spare capacity.
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let own_bytes = hook.custom_data.as_deref().map_or(0, fields_weight)
            + hook.modifiers.as_deref().map_or(0, fields_weight);
        Self { hook, address, method, headers, share: OnceLock::new(), own_bytes }
    }

    /// Largest payload for a record of `record` bytes, including the hook's additions.
    pub(super) fn payload_bytes(&self, record: usize) -> usize {
        record.saturating_add(self.own_bytes)
    }

    /// Most bytes that an attempt uses for a record of `record` bytes: the record, its payload and the body.
    pub(super) fn needs(&self, record: usize) -> usize {
        let is_json = self.hook.format == Format::Json && self.method != Method::GET;
        self.payload_bytes(record).saturating_mul(if is_json { 3 } else { 2 + kazoo::FORM_MOST_TIMES })
    }

    /// The request of one attempt.
    pub(super) fn request(
        &self,
        job: &Job,
        record: &[u8],
        around: &Surroundings<'_>,
    ) -> Result<Outgoing, NoRequest> {
        let event = Event::decode(record).map_err(|_| NoRequest::Unsendable(Unsendable::Damaged))?;
        let reseller_id = event.account.and_then(|account| (around.reseller_of)(account));
        let extras = Extras { cluster_id: around.cluster_id, reseller_id };
        let payload = kazoo::payload(&event, &self.hook, &extras)
            .map_err(|error| unsendable(&error))?
            .ok_or(NoRequest::Filtered)?;
        let wire = kazoo::wire_request(&self.hook, &payload).map_err(|error| unsendable(&error))?;
        let address = if wire.verb == Verb::Get {
            // The URL contains the payload.
            if self.address.is_none() {
                return Err(NoRequest::InvalidUri);
            }
            let mut url = Url::parse(&wire.url).map_err(|_| NoRequest::InvalidUri)?;
            take_credentials(&mut url);
            // The hook's own URI is usable, so the payload has made it too long.
            Address::new(url).map(Arc::new).ok_or(NoRequest::Unsendable(Unsendable::TooLong))?
        } else {
            self.address.clone().ok_or(NoRequest::InvalidUri)?
        };
        let timestamp_s = around.now_us / 1_000_000;
        let identity = Identity {
            delivery: &around.delivery,
            timestamp_s,
            event: &around.delivery.event,
            attempt: job.attempt,
        };
        // Signed with the time of this attempt, so that a receiver can refuse an old request that somebody has
        // recorded.
        let sign = |id: &str| {
            let is_signed = !self.hook.secrets.is_empty();
            is_signed.then(|| signature(&self.hook.secrets, id, timestamp_s, &wire.body))
        };
        let headers = Headers::Parts(Parts {
            of_hook: Arc::clone(&self.headers),
            content_type: wire.content_type,
            values: Values::new(&identity, sign),
            trace: Trace::of(&event, around.span_id),
            is_replay: job.replay,
        });
        let span_id = event.trace.map(|_| around.span_id);
        let timeout = self.hook.timeout_ms.map(Duration::from_millis);
        let body = if wire.verb == Verb::Get { Bytes::new() } else { wire.body.into() };
        let (method, hook, account) = (self.method.clone(), self.hook.id, self.hook.account);
        Ok(Outgoing { method, hook, account, address, headers, body, timeout, span_id })
    }
}

/// The parts of a request that come neither from the hook nor from the event.
pub(super) struct Surroundings<'a> {
    pub(super) delivery: DeliveryId,
    pub(super) now_us: u64,
    /// A random id for this attempt.
    pub(super) span_id: u64,
    pub(super) cluster_id: &'a str,
    pub(super) reseller_of: &'a (dyn Fn(AccountId) -> Option<AccountId> + Sync),
}

/// The target in a callflow's event.
pub(super) fn one_shot_target(record: &[u8]) -> Result<Target, NoRequest> {
    let event = Event::decode(record).map_err(|_| NoRequest::Unsendable(Unsendable::Damaged))?;
    if event.family != Some(Family::Callflow) {
        return Err(NoRequest::Filtered);
    }
    let hook = kazoo::one_shot(&event).map_err(|_| NoRequest::Unsendable(Unsendable::NoPayload))?;
    Ok(Target::new(Arc::new(hook)))
}

fn unsendable(error: &PayloadError) -> NoRequest {
    NoRequest::Unsendable(match error {
        PayloadError::FormTooLarge => Unsendable::FormTooLarge,
        _ => Unsendable::NoPayload,
    })
}

/// Removes user and password from a URL and returns the value for `Authorization`, as in KAZOO
/// (`docs/kazoo/webhooks.md#the-request`).
pub(super) fn take_credentials(url: &mut Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or("")));
    // Neither call can fail for an http URL with a host.
    let _same = url.set_username("");
    let _same = url.set_password(None);
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_of_a_uri_are_sent_byte_for_byte() {
        let pairs: [(&str, &[u8]); 5] = [
            ("u:pa&ss", b"u:pa&ss"),
            ("u:a+b=c%26d", b"u:a+b=c&d"),
            ("u:%ff%FE", b"u:\xff\xfe"),
            ("u%3a:%", b"u::%"),
            ("u", b"u:"),
        ];
        for (written, sent) in pairs {
            let mut url = Url::parse(&format!("http://{written}@h.example/")).unwrap();
            let header = take_credentials(&mut url);
            assert_eq!(header, Some(format!("Basic {}", STANDARD.encode(sent))), "{written}");
            assert_eq!(url.as_str(), "http://h.example/");
        }
    }
}
