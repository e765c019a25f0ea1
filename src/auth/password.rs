//! Passwords. KAZOO's clients send the MD5 or SHA-1 of `username:password` (`docs/kazoo/webhooks.md#logging-in`)
//! without the name. An argon2id hash of each of the two is stored, with the account's id as the salt.
//!
//! The account's id is a sufficient salt: it is random, and the user's name is part of what is hashed. Since the
//! account is known before the user is, one hash finds the user; with a salt per user, every user of the account
//! would need a hash.

use std::net::IpAddr;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};

use super::{Auth, Role, User};
use crate::model::AccountId;
use crate::state::{IndexError, Kind, hex, is_deleted, owner};

type Document = Map<String, Value>;

/// Argon2id with 19 MiB, two passes, one lane: the minimum that OWASP's cheat sheet recommends.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// The credentials that a client sends to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Credentials {
    /// Takes a hash in hex digits of either case.
    fn from(hash: &str) -> Self {
        Self(hash.to_ascii_lowercase())
    }
}

/// The stored hashes of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifiers {
    /// The hash of the MD5.
    pub md5: String,
    /// The hash of the SHA-1.
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
    /// Too many passwords are being checked.
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
    /// The hashes to store for a user's new password. The name is used in lower case.
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

    /// The enabled user of an account with these credentials. The check takes as long for an account that does not
    /// exist. Wrong credentials are counted for the address they came from.
    pub async fn log_in(
        &self,
        account: Option<AccountId>,
        credentials: Credentials,
        address: Option<IpAddr>,
    ) -> Result<Option<User>, PasswordError> {
        // Hashed for an unknown account too. A quick refusal would tell which accounts exist.
        let verifier = self.hashed(account.unwrap_or_default(), credentials).await?;
        let found = account.map(|account| self.state.user_with(account, &verifier)).transpose()?.flatten();
        let user = found.as_ref().and_then(user_of);
        if let (Some(_), Some(account)) = (&user, account) {
            self.logged_in(address, account);
        } else {
            // The result does not matter here: `may_try` checks the bucket before the next password.
            let _is_within: bool = self.note_wrong(address, account);
        }
        Ok(user)
    }

    /// The user with this id, if the user may log in.
    pub(super) fn user(&self, id: &str) -> Result<Option<User>, IndexError> {
        Ok(self.state.get(Kind::User, id)?.as_ref().and_then(user_of))
    }

    async fn hashed(&self, account: AccountId, credentials: Credentials) -> Result<String, PasswordError> {
        let turn = self.checks.acquire();
        // Bounded, because a flood of log-ins must not use all memory: each check takes 19 MiB.
        let turn = tokio::time::timeout(self.options.password_wait, turn).await;
        let Ok(Ok(_turn)) = turn else { return Err(PasswordError::Busy) };
        let hashing = self.tasks.spawn_blocking(move || hash(account, &credentials));
        hashing.await.map_err(|error| PasswordError::Hash(error.to_string()))?
    }
}

/// The hash to store for a hash of a password that another system stored unprotected. Takes some hundredths of a
/// second.
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

/// The user of a document, if the user may log in.
#[must_use]
pub(super) fn user_of(doc: &Document) -> Option<User> {
    let text = |field: &str| doc.get(field).and_then(Value::as_str);
    if is_deleted(doc) || doc.get("enabled") == Some(&Value::Bool(false)) {
        return None;
    }
    let role = if text("priv_level") == Some("admin") { Role::Admin } else { Role::User };
    Some(User { account: owner(doc)?, id: text("_id")?.into(), role, stamp: text("pvt_stamp")?.into() })
}
