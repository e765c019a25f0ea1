//! Sites: pages that the listener serves beside the API, and how a site sends requests to the API.
//!
//! Promise: a site can do nothing that its visitor's token may not. Its requests pass the same checks, limits and audit
//! trail as any client's.

use std::net::IpAddr;

use bytes::Bytes;
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use warp::http::{HeaderMap, HeaderValue, Method};

use super::api::Api;
use super::errors::ApiError;
use super::ports::Answer;
use super::request::Request;
use super::response::{Body, Response};
use super::tenants::Presence;
use crate::auth::{Caller, TokenError};

/// Pages beside the API.
pub trait Site: Send + Sync {
    /// The response to a request; `None` if the path does not belong to the site.
    fn answer<'a>(&'a self, api: &'a Api, visit: Visit) -> Answer<'a, Option<Page>>;
    /// How a websocket on this path begins.
    fn socket(&self, path: &str, headers: &HeaderMap) -> Socket;
    /// The token of the visitor's session, for a path of the site.
    fn token(&self, path: &str, headers: &HeaderMap) -> Option<String>;
}

/// How a websocket begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Socket {
    /// As any client's: its frames bring the token.
    Plain,
    /// With the token of the site's session.
    With(String),
    /// Not at all: the request comes from no page of the site, or without a session.
    Refused,
}

/// A request for a page, with its whole body.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The method.
    pub method: Method,
    /// The path's segments, percent-decoded.
    pub segments: Vec<String>,
    /// The path as received.
    pub path: String,
    /// Parameters of the query string in order.
    pub query: Vec<(String, String)>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, within the bounds of the API.
    pub body: Bytes,
    /// The client's address.
    pub remote: Option<IpAddr>,
    /// Why the body was not read; `body` is empty then.
    pub refused: Option<ApiResponse>,
}

/// A page to be sent.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Headers. A name may occur several times.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub content: Content,
    /// The caller whose tenant is charged for the memory of a large page.
    pub caller: Option<Caller>,
}

/// The body of a page.
#[derive(Debug)]
pub enum Content {
    /// Made for this request.
    Made(String),
    /// Part of the program.
    Fixed(&'static str),
}

/// A request to the API.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The method.
    pub method: Method,
    /// The path's segments, not encoded: `["v2", "accounts", …]`.
    pub path: &'a [&'a str],
    /// Parameters of the query string.
    pub query: &'a [(&'a str, &'a str)],
    /// The `data` of the envelope.
    pub data: Option<Value>,
    /// The token of the caller.
    pub token: Option<&'a str>,
    /// The client's address.
    pub remote: Option<IpAddr>,
    /// Whether an earlier request for the same page was charged already.
    pub is_part: bool,
}

/// The response of the API.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: u16,
    /// The envelope; null if there is no body.
    pub envelope: Value,
}

impl Api {
    /// Sends a request as a client would.
    pub async fn ask(&self, ask: Ask<'_>) -> ApiResponse {
        let encoded = |segment: &&str| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string();
        let path: Vec<String> = ask.path.iter().map(encoded).collect();
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(ask.query).finish();
        let mut headers = HeaderMap::new();
        if let Some(Ok(token)) = ask.token.map(HeaderValue::from_str) {
            headers.insert("x-auth-token", token);
        }
        let mut request = Request::new(ask.method, &format!("/{}", path.join("/")), &query, headers);
        request.remote = ask.remote;
        request.is_part = ask.is_part;
        if let Some(data) = ask.data {
            request.headers.insert("content-type", HeaderValue::from_static("application/json"));
            request.body = json!({"data": data}).to_string().into();
        }
        let answer = self.answer(request, Ok(())).await;
        ApiResponse { status: answer.status, envelope: value_of(answer.body).await }
    }

    /// The holder of a token.
    pub async fn holder(&self, token: &str) -> Result<Caller, TokenError> {
        self.auth.verify(token).await
    }

    /// The token with a later expiry, at most `most_s` seconds after it was first issued; `None` if it need not or
    /// cannot be prolonged.
    #[must_use]
    pub fn prolonged(&self, caller: &Caller, most_s: u64) -> Option<String> {
        self.auth.prolonged(caller, most_s)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The site's page, if the path belongs to the site. `read` is the result of reading the body.
    pub(super) async fn page_of(
        &self,
        site: &dyn Site,
        request: &Request,
        read: Result<(), &ApiError>,
    ) -> Option<Response> {
        let refused = read
            .err()
            .map(|error| ApiResponse { status: error.status, envelope: json!({"data": error.data}) });
        let visit = Visit {
            method: request.method.clone(),
            segments: request.segments.clone(),
            path: request.path.clone(),
            query: request.parameters().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            remote: request.remote,
            refused,
        };
        let Page { status, headers, content, caller } = site.answer(self, visit).await?;
        let body = match content {
            Content::Made(text) => Body::Text(text),
            Content::Fixed(text) => Body::Fixed(text),
        };
        let tenant = caller.map(|caller| self.state.tenant_of(caller.account));
        let page = Response::new(status, headers, body);
        Some(
            self.sent(Presence::of(tenant), page, || {
                Response::json(429, &json!({"error": "too many requests"}))
            }),
        )
    }
}

/// A body as JSON; null if a list was cut off.
async fn value_of(body: Body) -> Value {
    match body {
        Body::Text(text) => serde_json::from_str(&text).unwrap_or_default(),
        Body::Fixed(text) => serde_json::from_str(text).unwrap_or_default(),
        Body::Stream(mut pieces) => {
            let mut whole = Vec::new();
            while let Some(piece) = pieces.next().await {
                let Ok(piece) = piece else { return Value::Null };
                whole.extend_from_slice(&piece);
            }
            serde_json::from_slice(&whole).unwrap_or_default()
        }
    }
}
