//! Tokens issued by a KAZOO. They are accepted once KAZOO's public key is known, from a file (RSA, as PEM or JWKS) or
//! from its crossbar.
//!
//! With a crossbar (`super::crossbar`), KAZOO is asked whether it still accepts the token and what its user may do.
//! With only a file, a token that KAZOO has revoked, or whose user KAZOO has restricted, stays valid until it
//! expires, and every token of an account has the rights of an admin.
//!
//! A token whose claim `as` names another account is valid only for that account. The claim never adds rights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode};
use serde::Deserialize;
use serde_json::json;

use super::crossbar::Person;
use super::token::{Caller, Origin, TokenBasis, TokenError};
use super::{Auth, Role};
use crate::model::{AccountId, GREGORIAN_OFFSET_S};
use crate::state::{TreeError, key_hash};

/// The algorithms with which KAZOO signs.
// Only signatures with RSA: with a symmetric algorithm, anybody who knows the public key could sign a token.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512];

/// The public keys of a KAZOO.
#[derive(Clone)]
pub struct ForeignKeys(Arc<Vec<(Option<String>, DecodingKey)>>);

impl std::fmt::Debug for ForeignKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

/// Why a file with public keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file holds no usable key.
    #[error("{path} holds no RSA public key: {error}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

impl ForeignKeys {
    /// Reads a PEM file with one public key, or a JWKS file with several.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read(path).map_err(|error| LoadError::File { path: path.into(), error })?;
        let wrong = |error: String| LoadError::Key { path: path.into(), error };
        let keys = if text.trim_ascii_start().starts_with(b"{") {
            let set: JwkSet = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
            let keys =
                set.keys.iter().map(|key| Ok((key.common.key_id.clone(), DecodingKey::from_jwk(key)?)));
            keys.collect::<jsonwebtoken::errors::Result<Vec<_>>>()
        } else {
            DecodingKey::from_rsa_pem(&text).map(|key| vec![(None, key)])
        };
        let keys = keys.map_err(|e| wrong(e.to_string()))?;
        if keys.is_empty() { Err(wrong("it is empty".into())) } else { Ok(Self(Arc::new(keys))) }
    }

    fn claims(&self, token: &str, header: &Header) -> Option<Claims> {
        let named = |id: &Option<String>| id.is_some() && *id == header.kid;
        // If no key has the token's key id, every key may be the right one.
        let is_named = self.0.iter().any(|(id, _)| named(id));
        let mut keys = self.0.iter().filter(|(id, _)| !is_named || named(id));
        keys.find_map(|(_, key)| signed_claims(token, key, header))
    }
}

/// The claims of a token, if it is signed with this key. Does not check the expiry.
pub(super) fn signed_claims(token: &str, key: &DecodingKey, header: &Header) -> Option<Claims> {
    let mut rules = Validation::new(header.alg);
    // `end_of` checks the expiry: KAZOO may leave it out, or count it from year 0.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    decode::<Claims>(token, key, &rules).ok().map(|found| found.claims)
}

/// The claims of a foreign token.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    account_id: AccountId,
    /// The user; without one the token stands for the account.
    owner_id: Option<String>,
    /// The identity that the holder chose to act as at log-in.
    #[serde(rename = "as")]
    acts_as: Option<ActsAs>,
    exp: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct ActsAs {
    account_id: AccountId,
    owner_id: Option<String>,
}

/// The expiry of a token that never expires: the end of the year 9999.
const NEVER_S: u64 = 253_402_300_799;

impl Auth {
    /// The caller of a token with this header, if a known KAZOO has signed it.
    pub(super) async fn verify_foreign(&self, token: &str, header: &Header) -> Result<Caller, TokenError> {
        let keys = self.options.foreign.as_ref().filter(|_| ALGORITHMS.contains(&header.alg));
        let crossbar = self.options.crossbar.as_deref().filter(|_| ALGORITHMS.contains(&header.alg));
        // The file comes first, because it needs no request.
        let claims = match (keys.and_then(|keys| keys.claims(token, header)), crossbar) {
            (Some(claims), _) => claims,
            (None, Some(crossbar)) => crossbar.claims(token, header).await?,
            (None, None) => return Err(TokenError::Invalid),
        };
        let expires_s = self.end_of(&claims)?;
        let (identity, mut role) = (identity_of(token), Role::Admin);
        if let Some(crossbar) = crossbar {
            let mut persons = vec![Person { account: claims.account_id, user: claims.owner_id.as_deref() }];
            let other = claims.acts_as.as_ref();
            persons.extend(
                other.map(|other| Person { account: other.account_id, user: other.owner_id.as_deref() }),
            );
            role = crossbar.role(token, &identity, &persons).await?;
        }
        // After crossbar has accepted the token, so that a revoked token cannot create an account.
        if self.state.account(claims.account_id).is_none() && self.options.auto_create {
            self.first_seen(claims.account_id).await?;
        }
        // After the role, because crossbar may refuse the person. A token acts only for accounts below its own.
        let account = match &claims.acts_as {
            None => claims.account_id,
            Some(other) if self.state.is_ancestor_or_self(claims.account_id, other.account_id) => {
                other.account_id
            }
            Some(_) => return Err(TokenError::Invalid),
        };
        Ok(Caller {
            account,
            role,
            user: None,
            token: token.to_owned(),
            expires_s,
            standing: TokenBasis { account, origin: Origin::Foreign { role }, identity },
        })
    }

    /// The expiry of a token, unless it has expired.
    fn end_of(&self, claims: &Claims) -> Result<u64, TokenError> {
        match claims.exp {
            // KAZOO counts seconds from year 0 in most places. A larger value must be meant so, as no token lasts
            // 1970 years.
            Some(exp) => Some(exp.checked_sub(GREGORIAN_OFFSET_S).unwrap_or(exp))
                .filter(|expires_s| *expires_s > self.now_s())
                .ok_or(TokenError::Expired),
            None if self.options.foreign_without_end => Ok(NEVER_S),
            None => Err(TokenError::Invalid),
        }
    }

    /// Creates an account that KAZOO has and Switchhook lacks, below the master account. A deleted account is not
    /// restored.
    async fn first_seen(&self, id: AccountId) -> Result<(), TokenError> {
        let doc = json!({"name": id, "pvt_enabled": true, "pvt_reseller": false, "pvt_auto_created": true});
        let doc = doc.as_object().cloned().unwrap_or_default();
        match self.state.add_account(id, self.state.settings().master, doc).await {
            Ok(_) => {
                tracing::info!(account_id = %id, "created an account for a token of KAZOO's");
                Ok(())
            }
            // Another request created it at the same time, or it was deleted before. The next check decides.
            Err(TreeError::Write(error)) if error.is_conflict() => Ok(()),
            Err(error) => Err(TokenError::Unavailable(error.to_string())),
        }
    }
}

/// A unique name of a foreign token, which may have no id of its own: a hash of its text.
fn identity_of(token: &str) -> String {
    key_hash(token).get(..32).unwrap_or_default().to_owned()
}
