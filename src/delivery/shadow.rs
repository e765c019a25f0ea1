//! Deliveries that this program must not send: everything is done up to the point of sending.
//!
//! Invariant: nothing reaches the receiver, not even a connection. The receiver's name is resolved, because only then
//! is it known whether deliveries to the address are allowed. With a sink, the request goes to the operator's own
//! receiver instead, without anything that grants access elsewhere.

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::sync::watch;
use url::Url;

use super::client::{Address, Client, Outgoing, RequestError};
use super::connect::NoConnection;
use super::fault::verdict;
use super::guard::Guard;
use super::request::take_credentials;
use super::send::{Caps, Exchange, send};
use crate::model::{AttemptResult, Hook, MASK, Phases, masked, masked_uri};

/// The operator's own receiver for deliveries that are not sent, if one is configured. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Sink(Arc<watch::Sender<Option<Arc<SinkTarget>>>>);

/// The address of the sink and the credentials for it.
#[derive(Debug)]
struct SinkTarget {
    address: Arc<Address>,
    authorization: Option<HeaderValue>,
}

impl Sink {
    /// The sink at a URI (`http` or `https`; anything else means no sink).
    #[must_use]
    pub fn new(uri: Option<&str>) -> Self {
        let sink = Self::default();
        sink.set(uri);
        sink
    }

    /// Replaces the sink for attempts that start from now on.
    pub fn set(&self, uri: Option<&str>) {
        self.0.send_replace(uri.and_then(sink_target).map(Arc::new));
    }

    fn now(&self) -> Option<Arc<SinkTarget>> {
        self.0.borrow().clone()
    }
}

fn sink_target(uri: &str) -> Option<SinkTarget> {
    let mut url = Url::parse(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let authorization = take_credentials(&mut url).and_then(|value| HeaderValue::try_from(value).ok());
    url.set_fragment(None);
    Some(SinkTarget { address: Arc::new(Address::new(url)?), authorization })
}

/// The parts for a delivery that is not sent.
pub(super) struct Unsent<'a> {
    pub(super) guard: &'a Guard,
    pub(super) client: &'a Client,
    pub(super) caps: Caps,
    pub(super) now_us: u64,
}

impl Unsent<'_> {
    /// Resolves the receiver's address, or sends the request to the sink.
    pub(super) async fn end(self, request: Outgoing, hook: &Hook, sink: &Sink) -> Exchange {
        if let Some(target) = sink.now() {
            let request = diverted(request, hook, &target);
            let Exchange { result, phases } = send(self.client, request, self.caps, self.now_us).await;
            return Exchange { result: shadow(result), phases };
        }
        let within = request.timeout.unwrap_or(self.client.timeout);
        let found = self.guard.addresses(request.account, &request.address.url, within).await;
        let result = match found {
            Ok(_) => AttemptResult::Shadow(None),
            Err(error) => shadow(verdict(&RequestError::Connect(NoConnection::NoAddress(error)))),
        };
        Exchange { result, phases: Phases::default() }
    }
}

/// The result of a delivery that is not sent, with the result of the checks or of the sink.
pub(super) fn shadow(result: AttemptResult) -> AttemptResult {
    AttemptResult::Shadow(Some(Box::new(result)))
}

/// The request for the sink: without the receiver's credentials, and without those of the hook's own headers that may
/// be secret.
fn diverted(mut request: Outgoing, hook: &Hook, target: &SinkTarget) -> Outgoing {
    let receiver = Url::parse(&hook.uri).ok();
    request.headers.change(|headers| {
        headers.remove(AUTHORIZATION);
        for (name, value) in &hook.headers {
            let is_secret = masked(&format!("headers.{name}"), &value.as_str().into()) == MASK;
            if let Ok(name) = HeaderName::try_from(name.as_str())
                && is_secret
            {
                headers.remove(name);
            }
        }
        if let Some(Ok(uri)) = receiver.as_ref().map(|url| HeaderValue::try_from(masked_uri(url.as_str()))) {
            headers.insert("x-shadow-uri", uri);
        }
        headers.insert("x-shadow", HeaderValue::from_static("true"));
        if let Some(authorization) = &target.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
    });
    let payload = receiver.filter(|_| request.method == Method::GET);
    let payload = payload.and_then(|receiver| added(&request.address.url, &receiver));
    let address = payload.and_then(|query| {
        let mut url = target.address.url.clone();
        url.set_query(Some(&query));
        Address::new(url)
    });
    request.address = address.map_or_else(|| target.address.clone(), Arc::new);
    request
}

/// The part of the query that the request has added to the receiver's URI, which is the payload of a GET. The
/// receiver's own query is left out, because it may contain a key.
fn added(url: &Url, receiver: &Url) -> Option<String> {
    let added = url.query()?.strip_prefix(receiver.query().unwrap_or_default())?;
    Some(added.trim_start_matches('&').to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;

    use super::super::headers::Headers;
    use super::*;
    use crate::kazoo;

    #[test]
    fn the_sink_gets_the_payload_and_nothing_that_grants_access_to_the_receiver() {
        let document = json!({
            "_id": "e".repeat(32), "pvt_account_id": "f".repeat(32), "_rev": "1-a", "hook": "channel_create",
            "uri": "https://u:pa55@r.example/a?key=k3y", "http_verb": "get", "headers": {"X-Api-Key": "k3y"},
        });
        let hook = kazoo::hook_from_document(document.as_object().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [("authorization", "Basic x"), ("x-api-key", "k3y"), ("webhook-id", "d")] {
            headers.insert(name, value.parse().unwrap());
        }
        let url = Url::parse("https://r.example/a?key=k3y&call_id=c").unwrap();
        let request = Outgoing {
            method: Method::GET,
            hook: hook.id,
            account: hook.account,
            address: Arc::new(Address::new(url).unwrap()),
            headers: Headers::Map(headers),
            body: Bytes::new(),
            timeout: None,
            span_id: None,
        };
        let request = diverted(request, &hook, &sink_target("http://me:pw@sink.example/in#x").unwrap());
        assert_eq!(request.address.url.as_str(), "http://sink.example/in?call_id=c");
        let headers = request.headers.map();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-shadow"), Some("true"));
        assert_eq!(header("x-shadow-uri"), Some("https://***@r.example/a?key=***"));
        assert_eq!((header("x-api-key"), header("webhook-id")), (None, Some("d")));
        assert_eq!(header("authorization"), Some("Basic bWU6cHc="), "the sink's own");
        assert!(sink_target("ftp://sink.example/").is_none());
    }
}
