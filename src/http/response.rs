//! The response on the wire: envelope, headers, pretty printing, CORS.

use std::fmt;

use serde_json::{Map, Value};
use warp::http::Method;

use super::errors::ApiError;
use super::frame::Frame;
use super::reply::{EXPIRES, Pieces, Reply};
use super::request::Request;
use super::route::Route;
use super::tenants::Room;

const ALLOWED_HEADERS: &str = "content-type, depth, user-agent, x-http-method-override, x-file-size, \
    x-requested-with, if-modified-since, x-file-name, cache-control, x-auth-token, x-kazoo-cluster-id, if-match, \
    if-none-match, authorization, idempotency-key, traceparent, tracestate";
const EXPOSED_HEADERS: &str =
    "content-type, x-auth-token, x-request-id, x-kazoo-cluster-id, location, etag, retry-after";

/// Status, headers and body.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// The memory that it uses until it is sent.
    pub(super) room: Option<Room>,
}

/// The body of a response.
pub(super) enum Body {
    /// Made for this response.
    Text(String),
    /// Part of the program.
    Fixed(&'static str),
    /// Produced while it is sent. An error cuts it off.
    Stream(Pieces),
}

impl Body {
    /// The bytes in memory until the response is sent; `None` for a body that is produced while it is sent.
    pub(super) fn bytes(&self) -> Option<usize> {
        match self {
            Self::Stream(_) => None,
            Self::Fixed(_) => Some(0),
            Self::Text(text) => Some(text.len()),
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Fixed(text) => f.debug_tuple("Fixed").field(text).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Response {
    /// A response that holds no memory yet.
    pub(super) fn new(status: u16, headers: Vec<(&'static str, String)>, body: Body) -> Self {
        Self { status, headers, body, room: None }
    }

    /// Plain JSON without an envelope.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".into()), ("cache-control", "no-store".into())];
        Self::new(status, headers, body.to_string().into())
    }

    /// The response to OPTIONS, which needs no token.
    pub(super) fn options(frame: &Frame, route: Option<&Route>) -> Self {
        let mut headers = vec![("x-request-id", frame.request_id.clone()), ("allow", methods(route))];
        headers.extend(cors(route));
        Self::new(200, headers, String::new().into())
    }

    /// A resource's response or refusal in its envelope.
    pub(super) fn of(
        request: &Request,
        frame: &Frame,
        route: Option<&Route>,
        result: Result<Reply, ApiError>,
    ) -> Self {
        let mut headers = vec![("x-request-id", frame.request_id.clone())];
        if result.is_err() || asks_across_origins(request) {
            headers.extend(cors(route));
        }
        let (status, envelope) = match result {
            Ok(Reply { stream: Some(list), status, .. }) => {
                headers.extend(list.headers(request));
                let frame = frame.clone();
                let close = move |page| frame.success(Reply { page, ..Reply::ok(Value::Null) });
                return Self::new(status, headers, Body::Stream(list.body(Box::new(close))));
            }
            Ok(reply) => {
                let etag = reply.revision.as_ref().map(|revision| format!("\"{revision}\""));
                let is_known = etag.as_ref().is_some_and(|etag| has_already(request, etag));
                headers.extend(etag.map(|etag| ("etag", etag)));
                if is_known {
                    headers.push(("expires", EXPIRES.to_owned()));
                    return Self::new(304, headers, String::new().into());
                }
                headers.extend(reply.location.clone().map(|location| ("location", location)));
                (reply.status, Some(frame.success(reply)))
            }
            Err(error) => {
                match error.status {
                    405 => headers.push(("allow", methods(route))),
                    429 => headers.push(("retry-after", error.retry_after_s.unwrap_or(1).to_string())),
                    _ => {}
                }
                (error.status, frame.error(error))
            }
        };
        let Some(envelope) = envelope else { return Self::new(status, headers, String::new().into()) };
        let (content_type, body) = render(request, envelope);
        headers.push(("content-type", content_type.to_owned()));
        headers.push(("expires", EXPIRES.to_owned()));
        Self::new(status, headers, body.into())
    }
}

fn render(request: &Request, envelope: Map<String, Value>) -> (&'static str, String) {
    let envelope = Value::Object(envelope);
    let is_pretty = request.header("x-pretty-print") == Some("true") || request.flag("pretty_print");
    let text = if is_pretty { format!("{envelope:#}") } else { envelope.to_string() };
    // The line break puts a terminal's prompt on the next line.
    let end = if is_pretty { "\n" } else { "" };
    match request.query("jsonp").filter(|name| is_function_name(name)) {
        Some(function) => ("application/javascript", format!("{function}({text});{end}")),
        None => ("application/json", text + end),
    }
}

/// Whether the client already has the content of this `ETag`, according to `If-None-Match`. Tags are compared weakly
/// (RFC 9110, 13.1.2), because the request id and time in the envelope are not part of the tagged content.
fn has_already(request: &Request, etag: &str) -> bool {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let named = request.headers.get_all("if-none-match").iter().filter_map(|value| value.to_str().ok());
    let mut tags = named.flat_map(|value| value.split(',')).map(str::trim);
    reads && tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn is_function_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit() || c == '.')
}

fn asks_across_origins(request: &Request) -> bool {
    ["origin", "access-control-request-method", "access-control-request-headers"]
        .into_iter()
        .any(|name| request.headers.contains_key(name))
}

fn cors(route: Option<&Route>) -> [(&'static str, String); 5] {
    [
        ("access-control-allow-origin", "*".to_owned()),
        ("access-control-allow-methods", methods(route)),
        ("access-control-allow-headers", ALLOWED_HEADERS.to_owned()),
        ("access-control-expose-headers", EXPOSED_HEADERS.to_owned()),
        ("access-control-max-age", "86400".to_owned()),
    ]
}

fn methods(route: Option<&Route>) -> String {
    let known = route.map_or(&[][..], |route| route.resource.methods());
    let names: Vec<_> = std::iter::once("OPTIONS").chain(known.iter().map(Method::as_str)).collect();
    names.join(", ")
}
