//! Pages beside the API, without envelope and token: `/health/…`, `/metrics`, `/openapi.json`, `/docs`. Each answers
//! GET, HEAD and OPTIONS.

use serde_json::json;
use warp::http::Method;

use super::api::Api;
use super::request::Request;
use super::response::{Body, Response};
use super::{health, metrics, openapi};

/// The pages may load only their own style and script, connect only to this origin, and must not be framed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A path outside of the API.
#[derive(Debug, Clone, Copy)]
enum Page {
    Live,
    Ready,
    Metrics,
    OpenApi,
    /// An embedded file: media type and text.
    Embedded(&'static str, &'static str),
}

const PAGES: &[(&str, Page)] = &[
    ("/health/live", Page::Live),
    ("/health/ready", Page::Ready),
    ("/metrics", Page::Metrics),
    ("/openapi.json", Page::OpenApi),
    ("/docs", Page::Embedded("text/html; charset=utf-8", include_str!("docs/page.html"))),
    ("/docs/style.css", Page::Embedded("text/css; charset=utf-8", include_str!("docs/style.css"))),
    ("/docs/script.js", Page::Embedded("text/javascript; charset=utf-8", include_str!("docs/script.js"))),
];

/// The methods of all pages.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(path, _)| *path)
}

const ALLOWED: &str = "OPTIONS, GET, HEAD";

/// The response, if the path is one of these pages.
pub(super) async fn answer(api: &Api, request: &Request) -> Option<Response> {
    let path = format!("/{}", request.segments.join("/"));
    let page = PAGES.iter().find(|(known, _)| *known == path)?.1;
    if request.method == Method::OPTIONS {
        let headers = vec![("allow", ALLOWED.to_owned()), ("access-control-allow-origin", "*".to_owned())];
        return Some(Response::new(200, headers, String::new().into()));
    }
    if request.method != Method::GET && request.method != Method::HEAD {
        let mut refusal = Response::json(405, &json!({"error": "method not allowed"}));
        refusal.headers.push(("allow", ALLOWED.to_owned()));
        return Some(refusal);
    }
    Some(match page {
        Page::Live => health::live(),
        Page::Ready => health::ready(api, metrics::visitor(api, request)).await,
        Page::Metrics => metrics::answer(api, request).await,
        Page::OpenApi => file("application/json", openapi::text()),
        Page::Embedded(content_type, text) => file(content_type, text),
    })
}

/// A file that browsers must revalidate, so that a new version shows at once.
fn file(content_type: &str, text: &'static str) -> Response {
    let headers = [
        ("content-type", content_type),
        ("cache-control", "no-cache"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("access-control-allow-origin", "*"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
    Response::new(200, headers, Body::Fixed(text))
}
