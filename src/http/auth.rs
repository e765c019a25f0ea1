//! Tokens: signed with a key kept in the state, good for an account and everything below it.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::errors::ApiError;
use super::request::Request;
use crate::model::AccountId;
use crate::state::{State, random_id};

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    account_id: AccountId,
    method: String,
    /// Tells one token from another.
    identity: String,
    iat: u64,
    exp: u64,
}

/// Whoever made an authenticated request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: AccountId,
    /// As it came, to be echoed.
    pub(super) token: String,
}

/// A new token of an account.
pub(super) fn issue(
    state: &State,
    account: AccountId,
    method: &str,
    now_s: u64,
    ttl_s: u64,
) -> Result<String, ApiError> {
    let claims = Claims {
        account_id: account,
        method: method.to_owned(),
        identity: random_id().to_string(),
        iat: now_s,
        exp: now_s.saturating_add(ttl_s),
    };
    let key = EncodingKey::from_secret(&state.settings().token_secret);
    encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|e| ApiError::unavailable(&e))
}

/// The caller behind a token, unless its time is over or its account is gone or disabled.
pub(super) fn verify(state: &State, token: &str, now_s: u64) -> Result<Caller, ApiError> {
    let mut rules = Validation::new(Algorithm::HS256);
    // Expiry is checked below, by our clock.
    rules.validate_exp = false;
    rules.required_spec_claims.clear();
    let key = DecodingKey::from_secret(&state.settings().token_secret);
    let claims = decode::<Claims>(token, &key, &rules).map_err(|_| ApiError::invalid_credentials())?.claims;
    if claims.exp <= now_s {
        return Err(ApiError::expired());
    }
    match state.account(claims.account_id) {
        Some(account) if account.enabled => Ok(Caller { account: account.id, token: token.to_owned() }),
        _ => Err(ApiError::invalid_credentials()),
    }
}

/// The token of a request: header, query string, envelope, `Authorization`, in KAZOO's order.
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
