//! Tokens: JSON web tokens signed with a secret that the state stores.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::{Auth, Holder, Role};
use crate::model::AccountId;
use crate::state::{IndexError, random_id};

/// The claims of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    account_id: AccountId,
    /// The user, for a user's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<String>,
    /// The API key, for a key's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    /// The console link, for a token of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link_id: Option<String>,
    /// The stamp of the key or user at the time of issue. A changed stamp makes the token invalid.
    stamp: String,
    method: String,
    /// A unique name of the token.
    identity: String,
    iat: u64,
    exp: u64,
}

/// The holder of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the token was issued for.
    pub account: AccountId,
    /// The role of the holder.
    pub role: Role,
    /// The user, if the token was issued to one.
    pub user: Option<String>,
    /// The token as received, for responses that repeat it.
    pub token: String,
    /// When the token expires, in seconds since 1970.
    pub expires_s: u64,
    /// What the token's rights depend on.
    pub(super) standing: TokenBasis,
}

impl Caller {
    /// Whether a console link has opened the session.
    #[must_use]
    pub fn is_by_link(&self) -> bool {
        matches!(self.standing.origin, Origin::Link { .. })
    }

    /// What the token's rights depend on, for checking them again later.
    #[must_use]
    pub fn standing(&self) -> &TokenBasis {
        &self.standing
    }
}

/// What the rights of a token depend on, apart from its expiry. They end when one of these is deleted or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBasis {
    pub(super) account: AccountId,
    pub(super) origin: Origin,
    /// The unique name of the token, for revoking it.
    pub(super) identity: String,
}

impl TokenBasis {
    /// Whether another system vouches for the token, and may cease to do so without telling.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.origin, Origin::Foreign { .. })
    }

    /// The unique name of the token. A prolonged token keeps it.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

/// What a token was issued for, with its stamp at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A user.
    User { id: String, stamp: String },
    /// An API key.
    Key { id: String, stamp: String },
    /// A token of a KAZOO, with the role that KAZOO reports.
    Foreign { role: Role },
    /// A link to the console.
    Link { id: String },
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The text does not have the form of a JSON web token.
    #[error("text is not a token")]
    Malformed,
    /// The token was not issued here, is revoked, or its holder was deleted, changed or disabled.
    #[error("token is not valid")]
    Invalid,
    /// The token has expired.
    #[error("token has expired")]
    Expired,
    /// The state cannot be read.
    #[error("token cannot be verified: {0}")]
    Unavailable(String),
}

impl From<IndexError> for TokenError {
    fn from(error: IndexError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("token could not be signed: {0}")]
pub struct IssueError(#[from] jsonwebtoken::errors::Error);

/// Whether a text has the form of a JSON web token: three parts in base64url.
fn has_form(text: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.split('.').count() == 3 && text.split('.').all(is_part)
}

impl Auth {
    /// Issues a token to the holder of a key or to a user.
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

    /// Issues a token for a console link. The token is named after the link, so revoking either revokes both.
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

    /// The caller's token with a later expiry, once half of its lifetime has passed; at most `most_s` seconds after
    /// it was first issued. It keeps its unique name, so revoking one revokes both. `None` when the token need not
    /// change.
    #[must_use]
    pub fn prolonged(&self, caller: &Caller, most_s: u64) -> Option<String> {
        let claims = self.claims(&caller.token).ok()?;
        let (now_s, ttl_s) = (self.now_s(), self.options.token_ttl_s);
        let end_s = now_s.saturating_add(ttl_s).min(claims.iat.saturating_add(most_s));
        // Not at every request, because each new token has to be sent to the client.
        if end_s.saturating_sub(claims.exp) < (ttl_s / 2).max(1) {
            return None;
        }
        let key = EncodingKey::from_secret(&self.state.settings().token_secret);
        encode(&Header::new(Algorithm::HS256), &Claims { exp: end_s, ..claims }, &key).ok()
    }

    /// The claims of one of our own tokens, even if it has expired.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let mut rules = Validation::new(Algorithm::HS256);
        // The expiry is checked with our own clock.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(&self.state.settings().token_secret);
        Ok(decode::<Claims>(token, &key, &rules).map_err(|_| TokenError::Invalid)?.claims)
    }

    /// The caller of a token, which is our own or a known KAZOO's.
    pub async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let header = decode_header(token)
            .map_err(|_| if has_form(token) { TokenError::Invalid } else { TokenError::Malformed })?;
        let caller = match header.alg {
            Algorithm::HS256 => self.verify_own(token)?,
            _ => self.verify_foreign(token, &header).await?,
        };
        // Looked up each time and not taken from the token, so that a changed role takes effect at once.
        let role = self.role_of(&caller.standing)?.ok_or(TokenError::Invalid)?;
        Ok(Caller { role, ..caller })
    }

    /// The present role of a token's holder; `None` when the rights have ended. Does not check the expiry.
    pub fn role_of(&self, standing: &TokenBasis) -> Result<Option<Role>, IndexError> {
        let TokenBasis { account, origin, identity } = standing;
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
            // A link's token may name a user too, but its rights come from the link (`role_by_link`).
            (Some(id), ..) => Origin::Link { id },
            (None, Some(id), _) => Origin::User { id: id.clone(), stamp },
            (None, None, Some(id)) => Origin::Key { id, stamp },
            (None, None, None) => return Err(TokenError::Invalid),
        };
        Ok(Caller {
            account,
            // A placeholder: `verify` looks up the present role.
            role: Role::User,
            user: owner_id,
            token: token.to_owned(),
            expires_s: exp,
            standing: TokenBasis { account, origin, identity },
        })
    }
}
