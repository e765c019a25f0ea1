//! Where a request carries its token.

use serde_json::Value;

use super::request::Request;

/// The token of a request. In KAZOO's order: header, query string, envelope, `Authorization`.
pub(super) fn token_of(request: &Request, envelope: Option<&Value>) -> Option<String> {
    let in_envelope = || envelope?.get("auth_token")?.as_str();
    let bearer = || {
        let (scheme, token) = request.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    };
    request
        .header("x-auth-token")
        .or_else(|| request.query("auth_token"))
        .or_else(in_envelope)
        .or_else(bearer)
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
}
