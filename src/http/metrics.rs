//! `/metrics`: the page of a scrape. Open unless `metrics.token` is set, as `/health` is.

use serde_json::json;

use super::api::Api;
use super::request::Request;
use super::response::Response;
use crate::metrics::CONTENT_TYPE;
use crate::state::key_hash;

pub(super) async fn answer(api: &Api, request: &Request) -> Response {
    if !is_allowed(api, request) {
        let mut refusal = Response::json(401, &json!({"error": "metrics.token is missing or wrong"}));
        refusal.headers.push(("www-authenticate", "Bearer".to_owned()));
        return refusal;
    }
    let headers = vec![("content-type", CONTENT_TYPE.to_owned()), ("cache-control", "no-store".to_owned())];
    Response { status: 200, headers, body: api.operator.metrics().await.into() }
}

/// Hashes are compared, so that the time it takes tells nothing of the token.
fn is_allowed(api: &Api, request: &Request) -> bool {
    let Some(expected) = &api.options.metrics_token_hash else { return true };
    let given = request.header("authorization").and_then(|text| text.split_once(' '));
    given.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && key_hash(token.trim()) == *expected
    })
}
