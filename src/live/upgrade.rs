//! The HTTP side of a websocket: which requests are upgraded, and how the others are answered
//! (`docs/kazoo/websockets.md#before-the-upgrade`).

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{Method, StatusCode};
use warp::hyper::upgrade::OnUpgrade;

/// The parts of a request that matter for an upgrade.
#[derive(Debug)]
pub struct UpgradeRequest<'a> {
    /// Method.
    pub method: &'a Method,
    /// Headers.
    pub headers: &'a HeaderMap,
    /// The connection, if it can be upgraded.
    pub upgrade: Option<OnUpgrade>,
}

/// A refused upgrade, with the status of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub StatusCode);

impl UpgradeRequest<'_> {
    /// Whether the client asks for a websocket.
    #[must_use]
    pub fn wants_websocket(&self) -> bool {
        self.method == Method::GET && names(self.headers, &UPGRADE, "websocket")
    }

    /// Whether the request names a sub-protocol; we support none.
    pub(super) fn names_protocol(&self) -> bool {
        self.headers.contains_key(SEC_WEBSOCKET_PROTOCOL)
    }

    /// The value of `Sec-WebSocket-Accept`, if the request is a valid upgrade.
    pub(super) fn accept_key(&self) -> Result<HeaderValue, Refused> {
        if !self.wants_websocket() || !names(self.headers, &CONNECTION, "upgrade") {
            return Err(Refused(StatusCode::UPGRADE_REQUIRED));
        }
        let version = self.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
        let is_known = matches!(version, Some(b"13" | b"8" | b"7"));
        let key = self.headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24 && is_known);
        let key = key.ok_or(Refused(StatusCode::BAD_REQUEST))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        accept.map_err(|_| Refused(StatusCode::BAD_REQUEST))
    }
}

impl Refused {
    /// The headers of the response, which has no body.
    #[must_use]
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.0 == StatusCode::UPGRADE_REQUIRED {
            upgrade_headers(&mut headers);
        }
        if matches!(self.0, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        headers
    }
}

/// The headers of a 101.
pub(super) fn switching(accept: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    upgrade_headers(&mut headers);
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers
}

fn upgrade_headers(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}
