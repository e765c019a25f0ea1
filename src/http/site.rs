//! A site of pages that the listener serves beside the API, and the way in which such a site asks the API.
//!
//! Promise: a site learns and changes nothing that the token it shows may not. What it asks passes the same checks,
//! limits and audit trail as any client's request.

use std::net::IpAddr;

use bytes::Bytes;
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use warp::http::{HeaderMap, HeaderValue, Method};

use super::api::Api;
use super::ports::Answer;
use super::request::Request;
use super::response::{Body, Response};
use super::tenants::Presence;
use crate::auth::{Caller, TokenError};

/// Pages beside the API.
pub trait Site: Send + Sync {
    /// The answer to a request; `None` when the path is none of the site's.
    fn answer<'a>(&'a self, api: &'a Api, visit: Visit) -> Answer<'a, Option<Page>>;
}

/// A request for a page, with its whole body.
#[derive(Debug, Clone)]
pub struct Visit {
    /// As it came.
    pub method: Method,
    /// The path's segments, percent-decoded.
    pub segments: Vec<String>,
    /// The path as it came.
    pub path: String,
    /// Parameters of the query string, in their order.
    pub query: Vec<(String, String)>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, within the API's bounds.
    pub body: Bytes,
    /// The client's address.
    pub remote: Option<IpAddr>,
}

/// A page on its way to the client.
#[derive(Debug)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Headers; a name may come more than once.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub content: Content,
    /// Whose page it is: a large one takes its room from this caller's tenant.
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

/// A question to the API.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// What to do.
    pub method: Method,
    /// The path's segments, not encoded: `["v2", "accounts", …]`.
    pub path: &'a [&'a str],
    /// Parameters of the query string.
    pub query: &'a [(&'a str, &'a str)],
    /// What goes into the envelope as `data`.
    pub data: Option<Value>,
    /// The token of the caller.
    pub token: Option<&'a str>,
    /// Where the question comes from.
    pub remote: Option<IpAddr>,
    /// Whether it belongs to a request of which another question was charged already.
    pub is_part: bool,
}

/// The API's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// The whole envelope; null when there is no body.
    pub envelope: Value,
}

impl Api {
    /// Asks as a client would.
    pub async fn ask(&self, ask: Ask<'_>) -> Told {
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
        Told { status: answer.status, envelope: value_of(answer.body).await }
    }

    /// The holder of a token.
    pub async fn holder(&self, token: &str) -> Result<Caller, TokenError> {
        self.auth.verify(token).await
    }

    /// The same token with more time, within `most_s` seconds of when it was first issued; `None` when there is no more
    /// time to be had.
    #[must_use]
    pub fn prolonged(&self, caller: &Caller, most_s: u64) -> Option<String> {
        self.auth.prolonged(caller, most_s)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// The page of a site, if the path is one of its.
    pub(super) async fn page_of(&self, site: &dyn Site, request: &Request) -> Option<Response> {
        let visit = Visit {
            method: request.method.clone(),
            segments: request.segments.clone(),
            path: request.path.clone(),
            query: request.parameters().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            remote: request.remote,
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

/// A body as JSON; a list that is cut off is no answer.
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
