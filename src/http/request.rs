//! A request as the API sees it: plain values, taken from warp.

use std::net::IpAddr;

use bytes::Bytes;
use warp::http::{HeaderMap, Method};

/// One request with its whole body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The segments of the path, percent-decoded, without empty ones (except for a missing account id).
    pub(super) segments: Vec<String>,
    /// The path as received.
    pub(super) path: String,
    query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) remote: Option<IpAddr>,
    /// Whether it is one of several requests of a console page. Only the first one is charged.
    pub(super) is_part: bool,
}

impl Request {
    pub(super) fn new(method: Method, path: &str, query: &str, headers: HeaderMap) -> Self {
        let segments = path.trim_end_matches('/').split('/').map(decode);
        let segments = segments.fold(Vec::new(), |mut kept: Vec<String>, segment| {
            let is_account = kept.len() == 2 && kept.last().is_some_and(|last| last == "accounts");
            if is_account || !segment.is_empty() {
                kept.push(segment);
            }
            kept
        });
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            method,
            segments,
            path: path.to_owned(),
            query,
            headers,
            body: Bytes::new(),
            remote: None,
            is_part: false,
        }
    }

    /// A parameter of the query string.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All parameters of the query string in order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a parameter of the query string is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "yes" | "1"))
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type of the body, in lower case, without parameters.
    pub(super) fn content_type(&self) -> Option<String> {
        let text = self.header("content-type")?.split(';').next().unwrap_or_default();
        Some(text.trim().to_ascii_lowercase()).filter(|text| !text.is_empty())
    }
}

fn decode(segment: &str) -> String {
    // In a path, a plus stands for itself.
    let escaped = segment.replace('+', "%2B");
    let text = format!("={escaped}");
    url::form_urlencoded::parse(text.replace('&', "%26").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_and_unescaped() {
        let request = Request::new(Method::GET, "/v2//accounts/a%20b+c&d=e/", "x=1&y=%26", HeaderMap::new());
        assert_eq!(request.segments, ["v2", "accounts", "a b+c&d=e"]);
        let segments = |path| Request::new(Method::GET, path, "", HeaderMap::new()).segments;
        assert_eq!(segments("/v2/accounts//webhooks//"), ["v2", "accounts", "", "webhooks"]);
        assert_eq!(segments("//v2/accounts//"), ["v2", "accounts"]);
        assert_eq!((request.query("x"), request.query("y")), (Some("1"), Some("&")));
    }
}
