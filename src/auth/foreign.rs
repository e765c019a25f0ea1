//! Tokens that a KAZOO has issued: good here once its public key is known (RSA, as a PEM file or a JWKS file).
//!
//! What KAZOO keeps to itself is not asked for: a token that was revoked there, or a user who was restricted there,
//! is good here until the token's time is over. As with KAZOO, everybody with a token of an account may look after
//! its hooks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode};
use serde::Deserialize;
use serde_json::json;

use super::token::{Caller, Origin, Standing, TokenError};
use super::{Auth, Role};
use crate::model::{AccountId, GREGORIAN_OFFSET_S};
use crate::state::{TreeError, key_hash};

/// What KAZOO signs with.
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
    /// It cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no RSA public key: {error}")]
    Key {
        /// Which file.
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
        // A key without a name may be any.
        let is_named = self.0.iter().any(|(id, _)| named(id));
        let mut rules = Validation::new(header.alg);
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let keys = self.0.iter().filter(|(id, _)| !is_named || named(id));
        keys.filter_map(|(_, key)| decode::<Claims>(token, key, &rules).ok()).map(|found| found.claims).next()
    }
}

/// What is read of a foreign token.
#[derive(Debug, Deserialize)]
struct Claims {
    account_id: AccountId,
    exp: u64,
}

impl Auth {
    /// The caller behind a token with this header, if a KAZOO that is known here has signed it.
    pub(super) async fn verify_foreign(&self, token: &str, header: &Header) -> Result<Caller, TokenError> {
        let keys = self.options.foreign.as_ref().filter(|_| ALGORITHMS.contains(&header.alg));
        let claims = keys.and_then(|keys| keys.claims(token, header)).ok_or(TokenError::Invalid)?;
        // KAZOO counts from year 0 in most places; no token is good for 1970 years.
        let expires_s = claims.exp.checked_sub(GREGORIAN_OFFSET_S).unwrap_or(claims.exp);
        if expires_s <= self.now_s() {
            return Err(TokenError::Expired);
        }
        if self.state.account(claims.account_id).is_none() && self.options.auto_create {
            self.first_seen(claims.account_id).await?;
        }
        Ok(Caller {
            account: claims.account_id,
            role: Role::Admin,
            user: None,
            token: token.to_owned(),
            expires_s,
            standing: Standing {
                account: claims.account_id,
                origin: Origin::Foreign,
                identity: identity_of(token),
            },
        })
    }

    /// Makes an account that KAZOO knows and we do not, below the master account. One that was deleted here stays so.
    async fn first_seen(&self, id: AccountId) -> Result<(), TokenError> {
        let doc = json!({"name": id, "pvt_enabled": true, "pvt_reseller": false, "pvt_auto_created": true});
        let doc = doc.as_object().cloned().unwrap_or_default();
        match self.state.add_account(id, self.state.settings().master, doc).await {
            Ok(_) => {
                tracing::info!(account = %id, "account made for a token of KAZOO's");
                Ok(())
            }
            // Made by another request at the same time, or deleted before: whoever asks next will see.
            Err(TreeError::Write(error)) if error.is_conflict() => Ok(()),
            Err(error) => Err(TokenError::Unavailable(error.to_string())),
        }
    }
}

/// What tells one foreign token from another: it may have no id of its own.
fn identity_of(token: &str) -> String {
    key_hash(token).get(..32).unwrap_or_default().to_owned()
}
