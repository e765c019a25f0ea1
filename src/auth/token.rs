//! Tokens: JSON web tokens signed with a key kept in the state.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use super::Auth;
use crate::model::AccountId;
use crate::state::random_id;

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

/// Whoever holds a token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the token was issued for.
    pub account: AccountId,
    /// The token as it came, to be echoed.
    pub token: String,
    /// When the token ends, in seconds since 1970.
    pub expires_s: u64,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody issued it, or its account is gone or disabled.
    #[error("token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
}

/// A token could not be made.
#[derive(Debug, thiserror::Error)]
#[error("token was not signed: {0}")]
pub struct IssueError(#[from] jsonwebtoken::errors::Error);

impl Auth {
    /// A new token of an account; `method` names how its holder proved to be entitled.
    pub fn issue(&self, account: AccountId, method: &str) -> Result<String, IssueError> {
        let now_s = self.now_s();
        let claims = Claims {
            account_id: account,
            method: method.to_owned(),
            identity: random_id().to_string(),
            iat: now_s,
            exp: now_s.saturating_add(self.options.token_ttl_s),
        };
        let key = EncodingKey::from_secret(&self.state.settings().token_secret);
        Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
    }

    /// The caller behind a token.
    #[expect(
        clippy::unused_async,
        reason = "a token's account may have to be made, which waits for the disk"
    )]
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let mut rules = Validation::new(Algorithm::HS256);
        // Expiry is checked below, by our clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(&self.state.settings().token_secret);
        let claims = decode::<Claims>(token, &key, &rules).map_err(|_| TokenError::Invalid)?.claims;
        if claims.exp <= self.now_s() {
            return Err(TokenError::Expired);
        }
        match self.state.account(claims.account_id) {
            Some(account) if account.enabled => {
                Ok(Caller { account: account.id, token: token.to_owned(), expires_s: claims.exp })
            }
            _ => Err(TokenError::Invalid),
        }
    }
}
