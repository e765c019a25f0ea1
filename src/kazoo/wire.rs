//! The HTTP request of a delivery in KAZOO's form: verb, URL, content type and body.

use super::json::json;
use super::{Payload, PayloadError, form};
use crate::model::{Format, Hook, Verb};

/// A request, without the headers that do not depend on the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRequest {
    /// HTTP method.
    pub verb: Verb,
    /// Target; for GET, the payload is in its query.
    pub url: String,
    /// `Content-Type`; none for GET.
    pub content_type: Option<&'static str>,
    /// Body; empty for GET.
    pub body: Vec<u8>,
}

/// The request that delivers `payload` to `hook`.
pub fn wire_request(hook: &Hook, payload: &Payload<'_>) -> Result<WireRequest, PayloadError> {
    let form = || form(payload).ok_or(PayloadError::FormTooLarge);
    if hook.verb == Verb::Get {
        let url = with_query(&hook.uri, &form()?);
        return Ok(WireRequest { verb: hook.verb, url, content_type: None, body: Vec::new() });
    }
    let (content_type, body) = match hook.format {
        Format::Form => ("application/x-www-form-urlencoded", form()?.into_bytes()),
        Format::Json => ("application/json", json(payload)),
    };
    Ok(WireRequest { verb: hook.verb, url: hook.uri.clone(), content_type: Some(content_type), body })
}

/// Appends a query to a URI that may already have one. A fragment is removed, as it would swallow the query.
fn with_query(uri: &str, query: &str) -> String {
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    if query.is_empty() {
        return uri.to_owned();
    }
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, existing)) if existing.is_empty() || existing.ends_with('&') => "",
        Some(_) => "&",
    };
    [uri, joint, query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_appended_to_any_end_of_a_uri() {
        for (uri, expected) in [
            ("http://r.example/a", "http://r.example/a?k=v"),
            ("http://r.example/a?", "http://r.example/a?k=v"),
            ("http://r.example/a?t=1", "http://r.example/a?t=1&k=v"),
            ("http://r.example/a?t=1&", "http://r.example/a?t=1&k=v"),
            ("http://r.example/a#top", "http://r.example/a?k=v"),
            ("http://r.example/a?t=1#top", "http://r.example/a?t=1&k=v"),
        ] {
            assert_eq!(with_query(uri, "k=v"), expected);
        }
        assert_eq!(with_query("http://r.example/a?t", ""), "http://r.example/a?t");
    }
}
