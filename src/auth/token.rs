//! Tokens: JSON web tokens signed with a key kept in the state.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::{Auth, Holder, Role};
use crate::model::AccountId;
use crate::state::{IndexError, random_id};

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    account_id: AccountId,
    /// The user it was issued for.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
    /// Or else the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// Or the link to the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_id: Option<String>,
    /// The key's or the user's; it changes when they do.
    stamp: String,
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
    /// What its holder may do.
    pub role: Role,
    /// The user it was issued for, if it was for one.
    pub user: Option<String>,
    /// The token as it came, to be echoed.
    pub token: String,
    /// When the token ends, in seconds since 1970.
    pub expires_s: u64,
    /// What its rights rest on.
    pub(super) standing: Standing,
}

impl Caller {
    /// What the token's rights rest on, to look at them again later.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }
}

/// What the rights of a token rest on, beside its time: they end when one of these is gone or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub(super) account: AccountId,
    pub(super) origin: Origin,
    /// Tells the token from others, to revoke it.
    pub(super) identity: String,
}

impl Standing {
    /// Tells the token from others; a token that was prolonged keeps it.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// What a token was issued for, with the stamp that this had then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A user.
    User { id: String, stamp: String },
    /// An API key.
    Key { id: String, stamp: String },
    /// A KAZOO vouches for it, and for what its holder may do.
    Foreign { role: Role },
    /// A link to the console.
    Link { id: String },
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text does not have the form of a token: no JSON web token.
    #[error("text is no token")]
    Malformed,
    /// Nobody issued it, it is revoked, or what it was issued for is gone, changed or disabled.
    #[error("token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// The state cannot tell.
    #[error("token cannot be verified: {0}")]
    Unavailable(String),
}

impl From<IndexError> for TokenError {
    fn from(error: IndexError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A token could not be made.
#[derive(Debug, thiserror::Error)]
#[error("token was not signed: {0}")]
pub struct IssueError(#[from] jsonwebtoken::errors::Error);

/// Whether a text is made like a JSON web token: three parts in base64url.
fn has_form(text: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.split('.').count() == 3 && text.split('.').all(is_part)
}

impl Auth {
    /// A new token for whoever holds a key or is a user.
    pub fn issue(&self, holder: &Holder) -> Result<String, IssueError> {
        let now_s = self.now_s();
        let (account, owner_id, key_id, stamp, method) = match holder {
            Holder::Key(key) => (key.account, None, Some(key.id.clone()), &key.stamp, "cb_api_auth"),
            Holder::User(user) => (user.account, Some(user.id.clone()), None, &user.stamp, "cb_user_auth"),
        };
        let claims = Claims {
            account_id: account,
            owner_id,
            key_id,
            link_id: None,
            stamp: stamp.clone(),
            method: method.to_owned(),
            identity: random_id().to_string(),
            iat: now_s,
            exp: now_s.saturating_add(self.options.token_ttl_s),
        };
        self.signed(&claims)
    }

    /// A token for who came by a link. Revoking it and revoking the link are the same.
    pub(super) fn issue_for_link(
        &self,
        account: AccountId,
        user: Option<String>,
        link: &str,
    ) -> Result<String, IssueError> {
        let now_s = self.now_s();
        self.signed(&Claims {
            account_id: account,
            owner_id: user,
            key_id: None,
            link_id: Some(link.to_owned()),
            stamp: String::new(),
            method: "console_link".to_owned(),
            identity: link.to_owned(),
            iat: now_s,
            exp: now_s.saturating_add(self.options.token_ttl_s),
        })
    }

    fn signed(&self, claims: &Claims) -> Result<String, IssueError> {
        let key = EncodingKey::from_secret(&self.state.settings().token_secret);
        Ok(encode(&Header::new(Algorithm::HS256), claims, &key)?)
    }

    /// The token of a caller with more time, once half of its time is over: never more than `most_s` seconds after it was
    /// first issued. It keeps its identity, so that revoking one revokes both. `None`: the token stays as it is.
    #[must_use]
    pub fn prolonged(&self, caller: &Caller, most_s: u64) -> Option<String> {
        let claims = self.claims(&caller.token).ok()?;
        let (now_s, ttl_s) = (self.now_s(), self.options.token_ttl_s);
        let end_s = now_s.saturating_add(ttl_s).min(claims.iat.saturating_add(most_s));
        if end_s.saturating_sub(claims.exp) < (ttl_s / 2).max(1) {
            return None;
        }
        let key = EncodingKey::from_secret(&self.state.settings().token_secret);
        encode(&Header::new(Algorithm::HS256), &Claims { exp: end_s, ..claims }, &key).ok()
    }

    /// What a token of ours says, whether its time is over or not.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let mut rules = Validation::new(Algorithm::HS256);
        // Expiry is checked by our clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(&self.state.settings().token_secret);
        Ok(decode::<Claims>(token, &key, &rules).map_err(|_| TokenError::Invalid)?.claims)
    }

    /// The caller behind a token, ours or a known KAZOO's.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let header = decode_header(token)
            .map_err(|_| if has_form(token) { TokenError::Invalid } else { TokenError::Malformed })?;
        let caller = match header.alg {
            Algorithm::HS256 => self.verify_own(token)?,
            _ => self.verify_foreign(token, &header).await?,
        };
        let role = self.role_of(&caller.standing)?.ok_or(TokenError::Invalid)?;
        Ok(Caller { role, ..caller })
    }

    /// What the holder of a token may do now; none when its rights are gone. The token's time is not looked at.
    pub fn role_of(&self, standing: &Standing) -> Result<Option<Role>, IndexError> {
        let Standing { account, origin, identity } = standing;
        let is_enabled = self.state.account(*account).is_some_and(|account| account.enabled);
        if !is_enabled || self.is_revoked(identity)? {
            return Ok(None);
        }
        let is_same = |owner: AccountId, now: &str, stamp: &str| owner == *account && now == stamp;
        Ok(match origin {
            Origin::User { id, stamp } => {
                let user = self.user(id)?.filter(|user| is_same(user.account, &user.stamp, stamp));
                user.map(|user| user.role)
            }
            Origin::Key { id, stamp } => {
                let key = self.state.api_key_with_id(id)?;
                key.filter(|key| is_same(key.account, &key.stamp, stamp)).map(|_| Role::Admin)
            }
            Origin::Foreign { role } => Some(*role),
            Origin::Link { id } => self.role_by_link(id, *account)?,
        })
    }

    fn verify_own(&self, token: &str) -> Result<Caller, TokenError> {
        let claims = self.claims(token)?;
        if claims.exp <= self.now_s() {
            return Err(TokenError::Expired);
        }
        let Claims { account_id: account, owner_id, key_id, link_id, stamp, identity, exp, .. } = claims;
        let origin = match (link_id, &owner_id, key_id) {
            (Some(id), ..) => Origin::Link { id },
            (None, Some(id), _) => Origin::User { id: id.clone(), stamp },
            (None, None, Some(id)) => Origin::Key { id, stamp },
            (None, None, None) => return Err(TokenError::Invalid),
        };
        Ok(Caller {
            account,
            // What it is in truth, the caller of this looks up.
            role: Role::User,
            user: owner_id,
            token: token.to_owned(),
            expires_s: exp,
            standing: Standing { account, origin, identity },
        })
    }
}
