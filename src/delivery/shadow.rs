//! A delivery that is not this program's to make: everything up to the point of sending, and no further.
//!
//! Held: nothing reaches the receiver, not even a connection. The receiver's name is looked up, because whether an address
//! may be delivered to is known only then. With a sink, the request goes to the operator's own receiver instead, without
//! what could let that receiver in anywhere else.

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

/// The operator's own receiver, which gets what is not sent; none unless one is named. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Sink(Arc<watch::Sender<Option<Arc<Place>>>>);

/// Where it is, and what lets this program in there.
#[derive(Debug)]
struct Place {
    address: Arc<Address>,
    authorization: Option<HeaderValue>,
}

impl Sink {
    /// The receiver at a URI (`http` or `https`; anything else is none).
    #[must_use]
    pub fn new(uri: Option<&str>) -> Self {
        let sink = Self::default();
        sink.set(uri);
        sink
    }

    /// Another one, for every attempt that begins after this.
    pub fn set(&self, uri: Option<&str>) {
        self.0.send_replace(uri.and_then(place).map(Arc::new));
    }

    fn now(&self) -> Option<Arc<Place>> {
        self.0.borrow().clone()
    }
}

fn place(uri: &str) -> Option<Place> {
    let mut url = Url::parse(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let authorization = take_credentials(&mut url).and_then(|value| HeaderValue::try_from(value).ok());
    url.set_fragment(None);
    Some(Place { address: Arc::new(Address::new(url)?), authorization })
}

/// What a delivery that is not sent is made with.
pub(super) struct Unsent<'a> {
    pub(super) guard: &'a Guard,
    pub(super) client: &'a Client,
    pub(super) caps: Caps,
    pub(super) now_us: u64,
}

impl Unsent<'_> {
    /// Looks the receiver's address up, or sends the request to the sink.
    pub(super) async fn end(self, request: Outgoing, hook: &Hook, sink: &Sink) -> Exchange {
        if let Some(place) = sink.now() {
            let request = diverted(request, hook, &place);
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

/// A delivery that is not sent, and what became of it before or instead.
pub(super) fn shadow(result: AttemptResult) -> AttemptResult {
    AttemptResult::Shadow(Some(Box::new(result)))
}

/// The request as the sink gets it: without the credentials and the headers that the hook's owner has set.
fn diverted(mut request: Outgoing, hook: &Hook, place: &Place) -> Outgoing {
    request.headers.remove(AUTHORIZATION);
    for (name, value) in &hook.headers {
        let is_secret = masked(&format!("headers.{name}"), &value.as_str().into()) == MASK;
        if let Ok(name) = HeaderName::try_from(name.as_str())
            && is_secret
        {
            request.headers.remove(name);
        }
    }
    let receiver = Url::parse(&hook.uri).ok();
    if let Some(Ok(uri)) = receiver.as_ref().map(|url| HeaderValue::try_from(masked_uri(url.as_str()))) {
        request.headers.insert("x-shadow-uri", uri);
    }
    request.headers.insert("x-shadow", HeaderValue::from_static("true"));
    if let Some(authorization) = &place.authorization {
        request.headers.insert(AUTHORIZATION, authorization.clone());
    }
    let payload = receiver.filter(|_| request.method == Method::GET);
    let payload = payload.and_then(|receiver| added(&request.address.url, &receiver));
    let address = payload.and_then(|query| {
        let mut url = place.address.url.clone();
        url.set_query(Some(&query));
        Address::new(url)
    });
    request.address = address.map_or_else(|| place.address.clone(), Arc::new);
    request
}

/// What a request has added to the query of its receiver's URI: the payload of a GET. The receiver's own query may hold
/// a key.
fn added(url: &Url, receiver: &Url) -> Option<String> {
    let added = url.query()?.strip_prefix(receiver.query().unwrap_or_default())?;
    Some(added.trim_start_matches('&').to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::kazoo;

    #[test]
    fn the_sink_gets_the_payload_and_nothing_that_lets_it_in_at_the_receiver() {
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
            account: hook.account,
            address: Arc::new(Address::new(url).unwrap()),
            headers,
            body: Bytes::new(),
            timeout: None,
            span_id: None,
        };
        let request = diverted(request, &hook, &place("http://me:pw@sink.example/in#x").unwrap());
        assert_eq!(request.address.url.as_str(), "http://sink.example/in?call_id=c");
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-shadow"), Some("true"));
        assert_eq!(header("x-shadow-uri"), Some("https://***@r.example/a?key=***"));
        assert_eq!((header("x-api-key"), header("webhook-id")), (None, Some("d")));
        assert_eq!(header("authorization"), Some("Basic bWU6cHc="), "the sink's own");
        assert!(place("ftp://sink.example/").is_none());
    }
}
