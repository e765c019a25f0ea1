//! Arbitrary requests, for the fuzz targets.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a property that does not hold is to stop the run"
)]

use serde_json::Value;
use warp::http::{HeaderMap, HeaderValue, Method};

use super::body::values;
use super::envelope::Envelope;
use super::errors::ApiError;
use super::frame::Frame;
use super::list;
use super::options::ApiOptions;
use super::request::Request;
use super::response::{Body, Response};
use super::route::route;

/// A path and, after a `?`, a query string with page sizes, keys and filters: it is routed and answered or refused
/// without a panic, and our keys can be decoded again.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').unwrap_or(("/v2/webhooks", text));
    let request = Request::new(Method::GET, path, query, HeaderMap::new());
    assert!(request.segments.len() <= path.len() + 1);
    let known = request.segments.split_first().and_then(|(_, rest)| route(rest));
    list::fuzz::paging(&request, &ApiOptions::default());
    list::fuzz::key(query);
    answer(&request, known.as_ref(), ApiError::not_found());
}

/// A body, after a byte for its content type and method: it has no more values than were counted, and is read the same
/// with and without parsing its `data`.
pub fn body(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let types = ["application/json", "application/x-www-form-urlencoded", "text/plain", ""];
    let content_type = types.get(usize::from(how & 3)).copied().unwrap_or_default();
    let methods = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    let method = methods.get(usize::from(how >> 2 & 3)).cloned().unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    let mut request = Request::new(method, "/v2/accounts", "", headers);
    request.body = rest.to_vec().into();
    let shallow = Envelope::shallow(&request).and_then(|envelope| envelope.members);
    match Envelope::read(&request) {
        Ok(envelope) => {
            if let (Some(mut shallow), Some(mut read)) = (shallow, envelope.members.clone()) {
                let is_array =
                    |members: &mut Value| members.get_mut("data").map(|data| data.take().is_array());
                assert_eq!((is_array(&mut shallow), shallow), (is_array(&mut read), read));
            }
            let is_form = content_type.contains("form");
            let count = envelope.members.as_ref().map_or(0, count);
            assert!(count <= values(rest, is_form), "{count} values");
            drop(envelope.object());
        }
        Err(refused) => answer(&request, None, refused),
    }
}

/// A refusal is a complete envelope with a status, for every request.
fn answer(request: &Request, route: Option<&super::route::Route>, refused: ApiError) {
    let status = refused.status;
    let response = Response::of(request, &Frame::default(), route, Err(refused));
    assert!((400..500).contains(&status) && response.status == status);
    let Body::Text(text) = response.body else { return };
    // A pretty-printed response ends with a line break.
    let text = text.trim_end();
    let text = match request.query("jsonp") {
        Some(name) if text.starts_with(&format!("{name}(")) => text
            .strip_prefix(name)
            .and_then(|text| text.trim_end().get(1..)?.strip_suffix(");"))
            .unwrap_or_default()
            .to_owned(),
        _ => text.to_owned(),
    };
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope.get("status"), Some(&"error".into()), "{text}");
}

/// The exact number of values and names.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(|value| 1 + count(value)).sum::<usize>(),
        _ => 1,
    }
}
