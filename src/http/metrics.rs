//! `/metrics`. With `metrics.token` it needs that token. Without one it is open, but strangers see nothing of single
//! accounts and hooks. The same rule of who is a stranger applies to `/health/ready`.

use serde_json::json;

use super::api::Api;
use super::operator::Visitor;
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
    Response::new(200, headers, api.operator.metrics(visitor(api, request)).await.into())
}

/// Callers are strangers unless they have the token, the operator has made the metrics public, or the listener is
/// local.
pub(super) fn visitor(api: &Api, request: &Request) -> Visitor {
    let options = &api.options;
    let is_open = options.metrics_public || options.listen.ip().is_loopback();
    let has_token = options.metrics_token_hash.is_some() && is_allowed(api, request);
    if is_open || has_token { Visitor::Known } else { Visitor::Stranger }
}

/// Checks the token. Compares hashes, so that the time reveals nothing about the token.
fn is_allowed(api: &Api, request: &Request) -> bool {
    let Some(expected) = &api.options.metrics_token_hash else { return true };
    let given = request.header("authorization").and_then(|text| text.split_once(' '));
    given.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && key_hash(token.trim()) == *expected
    })
}
