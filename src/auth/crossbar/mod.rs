//! Asks a KAZOO about its tokens: its public keys, whether a token is still valid, and what its user may do.
//!
//! Promise: a token that KAZOO has not signed causes no request, except for an unknown key, at most once per key within
//! [`FETCH_EVERY`]. Crossbar's responses are cached for a short time. While crossbar is down, the last response is
//! used for
//! [`STALE`] longer, and a token without one is refused.

mod client;
mod keys;
mod verdicts;

use std::time::Duration;

use jsonwebtoken::Header;
use tokio::sync::Semaphore;

use self::client::{Client, Refused};
use self::keys::{Keys, Turn};
use self::verdicts::{CachedVerdict, Verdicts};
use super::Role;
use super::foreign::Claims;
use super::token::TokenError;
use crate::model::{AccountId, Clock};

/// The shortest time between two requests for the same key. Rotation keeps the key's id, so a signature that does not
/// fit means either a new key or a forged token.
const FETCH_EVERY: Duration = Duration::from_secs(3);
/// How long crossbar's last response counts while crossbar is down.
const STALE: Duration = Duration::from_secs(300);
/// The most concurrent requests to crossbar.
const AT_ONCE: usize = 8;

/// Settings for crossbar.
#[derive(Clone)]
pub struct CrossbarOptions {
    /// Its address, such as `http://10.0.0.5:8000`.
    pub url: String,
    /// An API key of the master account, with which the public keys are read. When `None`, they are read with the
    /// token to be verified; KAZOO allows this for tokens of account admins.
    pub api_key: Option<String>,
    /// How long crossbar's response about a token is cached.
    pub recheck: Duration,
    /// The clock for cached responses. It must not go back.
    pub steady: Clock,
}

impl std::fmt::Debug for CrossbarOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrossbarOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The client for crossbar cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for crossbar cannot be created: {0}")]
pub struct CrossbarError(#[from] reqwest::Error);

/// A KAZOO's crossbar.
pub struct Crossbar {
    client: Client,
    keys: Keys,
    verdicts: Verdicts,
    at_once: Semaphore,
}

impl std::fmt::Debug for Crossbar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Crossbar")
    }
}

/// An identity for which a token was issued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) account: AccountId,
    /// The user; without one the token stands for the account.
    pub(super) user: Option<&'a str>,
}

impl Crossbar {
    /// Creates the client. Sends no request.
    pub fn new(options: CrossbarOptions) -> Result<Self, CrossbarError> {
        let CrossbarOptions { url, api_key, recheck, steady } = options;
        Ok(Self {
            client: Client::new(&url, api_key)?,
            keys: Keys::new(steady.clone(), FETCH_EVERY),
            verdicts: Verdicts::new(steady, recheck, STALE),
            at_once: Semaphore::new(AT_ONCE),
        })
    }

    /// The claims of a token, if this KAZOO has signed it.
    pub(super) async fn claims(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let kid = header.kid.as_deref().filter(|kid| keys::is_id(kid)).ok_or(TokenError::Invalid)?;
        if let Some(claims) = self.keys.claims(kid, token, header) {
            return Ok(claims);
        }
        let answered = match self.keys.turn(kid) {
            Turn::Fetch(answered) => answered,
            Turn::Later => return Err(TokenError::Invalid),
            Turn::Unanswered => return Err(away("it did not give the public key")),
            Turn::UnderWay(mut answered) => {
                // A browser sends its first requests together, and none of them may be refused for
                // waiting.
                let is_answered = answered.wait_for(|answered| *answered).await.is_ok();
                let claims = self.keys.claims(kid, token, header);
                return match claims {
                    None if !is_answered => Err(away("it did not give the public key")),
                    claims => claims.ok_or(TokenError::Invalid),
                };
            }
        };
        let _turn = self.turn().await?;
        match self.client.public_key(kid, token).await {
            Ok(pem) => self.keys.keep(kid, &pem),
            Err(Refused::No(status)) => {
                answered.send_replace(true);
                tracing::warn!(
                    kid,
                    status,
                    "crossbar does not provide the public key of a token; is auth.kazoo_api_key_file set?"
                );
                return Err(TokenError::Invalid);
            }
            Err(Refused::Away(reason)) => return Err(away(&reason)),
        }
        // An error means that nobody waits any more.
        answered.send_replace(true);
        self.keys.claims(kid, token, header).ok_or(TokenError::Invalid)
    }

    /// The role of a token according to crossbar. A revoked token is refused. `persons` are all identities of the
    /// token; the lowest of their roles counts.
    pub(super) async fn role(
        &self,
        token: &str,
        identity: &str,
        persons: &[Person<'_>],
    ) -> Result<Role, TokenError> {
        if let CachedVerdict::Now(verdict) = self.verdicts.of(identity) {
            return verdict.ok_or(TokenError::Invalid);
        }
        let _turn = self.turn().await?;
        // Another request may have asked crossbar while this one waited.
        let before = match self.verdicts.of(identity) {
            CachedVerdict::Now(verdict) => return verdict.ok_or(TokenError::Invalid),
            CachedVerdict::Before(verdict) => Some(verdict),
            CachedVerdict::Nothing => None,
        };
        match self.ask(token, persons).await {
            Ok(verdict) => {
                self.verdicts.keep(identity, verdict);
                verdict.ok_or(TokenError::Invalid)
            }
            Err(reason) => {
                tracing::warn!(reason, "crossbar does not answer whether a token is valid");
                before.ok_or_else(|| away(&reason))?.ok_or(TokenError::Invalid)
            }
        }
    }

    async fn ask(&self, token: &str, persons: &[Person<'_>]) -> Result<Option<Role>, String> {
        if !answered(self.client.is_good(token).await)? {
            return Ok(None);
        }
        let mut least = Role::Admin;
        for person in persons {
            let Some(user) = person.user else { continue };
            let read = match self.client.user(person.account, user, token).await {
                // A user may read only their own document. If it cannot be read, the token is not an admin's.
                Err(Refused::No(_)) => None,
                Ok(read) => Some(read),
                Err(Refused::Away(reason)) => return Err(reason),
            };
            match read {
                Some(user) if !user.enabled => return Ok(None),
                Some(user) if user.role == Role::Admin => {}
                Some(_) | None => least = Role::User,
            }
        }
        Ok(Some(least))
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, TokenError> {
        self.at_once.acquire().await.map_err(|_| away("the program is ending"))
    }
}

fn answered(answer: Result<bool, Refused>) -> Result<bool, String> {
    match answer {
        Ok(is_good) => Ok(is_good),
        Err(Refused::No(_)) => Ok(false),
        Err(Refused::Away(reason)) => Err(reason),
    }
}

fn away(reason: &str) -> TokenError {
    TokenError::Unavailable(format!("KAZOO's crossbar: {reason}"))
}
