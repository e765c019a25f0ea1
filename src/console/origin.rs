//! The origin of a request: whether a page of this console sent a form, and whether the client is a browser.

use warp::http::{HeaderMap, Method};

use crate::http::Visit;

/// Whether a page of this origin sent the request. Browsers say so in `Sec-Fetch-Site`. On an unencrypted connection
/// they send only `Origin`, which must then name the requested host. Without either header the answer is no.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin"), text("host")) {
        (Some(site), _, _) => site == "same-origin",
        (None, Some(origin), Some(host)) => {
            let named = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            named.is_some_and(|named| !named.is_empty() && named.eq_ignore_ascii_case(host))
        }
        _ => false,
    }
}

/// Whether a link on another site opened the page, so that the browser did not send the session's cookie.
pub(super) fn came_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// Whether the client accepts HTML.
pub(super) fn is_browser(visit: &Visit) -> bool {
    let accepted = visit.headers.get_all("accept").iter().filter_map(|value| value.to_str().ok());
    let reads = visit.method == Method::GET || visit.method == Method::HEAD;
    reads && accepted.flat_map(|value| value.split(',')).any(|range| range.trim().starts_with("text/html"))
}

/// Whether the browser's connection is encrypted, as the browser or a proxy says. A client that lies here only
/// changes the attributes of its own cookie.
pub(super) fn is_https(headers: &HeaderMap) -> bool {
    let starts = |name: &str, with: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with(with))
    };
    starts("x-forwarded-proto", "https") || starts("origin", "https://")
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_page_of_this_origin_may_send_a_form() {
        let host = ("host", "hooks.example:8000");
        for (sent, own) in [
            (vec![host], false),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "none")], false),
            (vec![host, ("sec-fetch-site", "cross-site"), ("origin", "http://hooks.example:8000")], false),
            (vec![host, ("origin", "http://hooks.example:8000")], true),
            (vec![host, ("origin", "https://hooks.example:8000")], true),
            (vec![host, ("origin", "http://hooks.example")], false),
            (vec![host, ("origin", "http://evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![("origin", "http://")], false),
        ] {
            assert_eq!(is_own(&headers(&sent)), own, "{sent:?}");
        }
    }
}
