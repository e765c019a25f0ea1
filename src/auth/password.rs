//! Passwords: KAZOO's clients send the MD5 or SHA-1 of `username:password` (`docs/kazoo/webhooks.md#logging-in`), and
//! no name. What is kept is argon2id over each of both, salted with the account's id.
//!
//! The account's id is salt enough: it is random, and the name is in what is hashed. And since it is known before the
//! user is, one computation finds the user, instead of one for each user that the account has.

use std::net::IpAddr;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};

use super::{Auth, Role, User};
use crate::model::AccountId;
use crate::state::{IndexError, Kind, hex, is_deleted, owner};

type Document = Map<String, Value>;

/// Argon2id with 19 MiB, two passes, one lane: the least that OWASP's cheat sheet advises.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What a client sends to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Credentials {
    /// A hash in hex digits of either case.
    fn from(hash: &str) -> Self {
        Self(hash.to_ascii_lowercase())
    }
}

/// What is kept of a password: a user's fields.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifiers {
    /// Over the MD5.
    pub md5: String,
    /// Over the SHA-1.
    pub sha1: String,
}

impl std::fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Why a password was not checked or hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many others are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash failed.
    #[error("password hash: {0}")]
    Hash(String),
    /// The users cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Auth {
    /// What to keep of a user's new password. The name counts in lower case.
    pub async fn verifiers(
        &self,
        account: AccountId,
        username: &str,
        password: &str,
    ) -> Result<Verifiers, PasswordError> {
        let text = format!("{}:{password}", username.to_lowercase());
        let md5 = Credentials(hex(&Md5::digest(&text)));
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let sha1 = Credentials(hex(sha1.as_ref()));
        Ok(Verifiers { md5: self.hashed(account, md5).await?, sha1: self.hashed(account, sha1).await? })
    }

    /// The enabled user of an account whose credentials these are. An account that is not there takes as long as
    /// one that is. Wrong credentials count for the address that they came from.
    pub async fn log_in(
        &self,
        account: Option<AccountId>,
        credentials: Credentials,
        address: Option<IpAddr>,
    ) -> Result<Option<User>, PasswordError> {
        let verifier = self.hashed(account.unwrap_or_default(), credentials).await?;
        let found = account.map(|account| self.state.user_with(account, &verifier)).transpose()?.flatten();
        let user = found.as_ref().and_then(user_of);
        if let (Some(_), Some(account)) = (&user, account) {
            self.logged_in(address, account);
        } else {
            // Whether more are looked at is asked before the next one.
            let _is_within: bool = self.tried_in_vain(address, account);
        }
        Ok(user)
    }

    /// The user with this id, as long as he may log in.
    pub(super) fn user(&self, id: &str) -> Result<Option<User>, IndexError> {
        Ok(self.state.get(Kind::User, id)?.as_ref().and_then(user_of))
    }

    async fn hashed(&self, account: AccountId, credentials: Credentials) -> Result<String, PasswordError> {
        let turn = self.checks.acquire();
        let turn = tokio::time::timeout(self.options.password_wait, turn).await;
        let Ok(Ok(_turn)) = turn else { return Err(PasswordError::Busy) };
        let hashing = self.tasks.spawn_blocking(move || hash(account, &credentials));
        hashing.await.map_err(|error| PasswordError::Hash(error.to_string()))?
    }
}

/// What is kept of one hash of a password that another system kept, in the clear, as the credentials themselves. Takes
/// some hundredths of a second.
pub fn verifier(account: AccountId, hash_of_password: &str) -> Result<String, PasswordError> {
    hash(account, &Credentials::from(hash_of_password))
}

fn hash(account: AccountId, credentials: &Credentials) -> Result<String, PasswordError> {
    let failed = |error: argon2::Error| PasswordError::Hash(error.to_string());
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(failed)?;
    let mut out = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2
        .hash_password_into(credentials.0.as_bytes(), &account.0.to_be_bytes(), &mut out)
        .map_err(failed)?;
    Ok(hex(&out))
}

/// A user's document as a person who may log in.
#[must_use]
pub(super) fn user_of(doc: &Document) -> Option<User> {
    let text = |field: &str| doc.get(field).and_then(Value::as_str);
    if is_deleted(doc) || doc.get("enabled") == Some(&Value::Bool(false)) {
        return None;
    }
    let role = if text("priv_level") == Some("admin") { Role::Admin } else { Role::User };
    Some(User { account: owner(doc)?, id: text("_id")?.into(), role, stamp: text("pvt_stamp")?.into() })
}
