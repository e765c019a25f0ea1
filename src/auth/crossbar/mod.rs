//! A KAZOO's own word about its tokens: its public keys, whether a token is still good, and what a user may do.
//!
//! Nothing reaches crossbar for a token that it has not signed, except a request for a key that is not known: one for
//! each key within [`FETCH_EVERY`], whatever is sent here. What crossbar says is kept for a short while. While crossbar
//! does not answer, what it said last counts for [`STALE`] more; a token that it has said nothing about is not accepted.

mod client;
mod keys;
mod verdicts;

use std::time::Duration;

use jsonwebtoken::Header;
use tokio::sync::Semaphore;

use self::client::{Client, Refused};
use self::keys::Keys;
use self::verdicts::{Known, Verdicts};
use super::Role;
use super::foreign::Claims;
use super::token::TokenError;
use crate::model::{AccountId, Clock};

/// The shortest time between two requests for one key: a rotation keeps the key's id, so a signature that does not
/// fit may mean a new key, or a forged token.
const FETCH_EVERY: Duration = Duration::from_secs(3);
/// How long crossbar's last word counts while it does not answer.
const STALE: Duration = Duration::from_secs(300);
/// Requests to crossbar at a time.
const AT_ONCE: usize = 8;

/// Where crossbar is, and how often it is asked.
#[derive(Clone)]
pub struct CrossbarOptions {
    /// Its address, such as `http://10.0.0.5:8000`.
    pub url: String,
    /// An API key that may read the public keys, of the master account; `None`: they are read with the token that is to
    /// be verified, which KAZOO allows to account admins.
    pub api_key: Option<String>,
    /// How long what crossbar said of a token counts.
    pub recheck: Duration,
    /// What time is counted by; it must not go back.
    pub steady: Clock,
}

impl std::fmt::Debug for CrossbarOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrossbarOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Crossbar cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for crossbar cannot be made: {0}")]
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

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) account: AccountId,
    /// The user; without one it is the account.
    pub(super) user: Option<&'a str>,
}

impl Crossbar {
    /// Asks nothing yet.
    pub fn new(options: CrossbarOptions) -> Result<Self, CrossbarError> {
        let CrossbarOptions { url, api_key, recheck, steady } = options;
        Ok(Self {
            client: Client::new(&url, api_key)?,
            keys: Keys::new(steady.clone(), FETCH_EVERY),
            verdicts: Verdicts::new(steady, recheck, STALE),
            at_once: Semaphore::new(AT_ONCE),
        })
    }

    /// What a token says, if a key of this KAZOO has signed it.
    pub(super) async fn claims(&self, token: &str, header: &Header) -> Result<Claims, TokenError> {
        let kid = header.kid.as_deref().filter(|kid| keys::is_id(kid)).ok_or(TokenError::Invalid)?;
        if let Some(claims) = self.keys.claims(kid, token, header) {
            return Ok(claims);
        }
        if !self.keys.may_fetch(kid) {
            return Err(TokenError::Invalid);
        }
        let _turn = self.turn().await?;
        match self.client.public_key(kid, token).await {
            Ok(pem) => self.keys.keep(kid, &pem),
            Err(Refused::No(status)) => {
                tracing::warn!(
                    kid,
                    status,
                    "crossbar does not give the public key of a token; is auth.kazoo_api_key_file set?"
                );
                return Err(TokenError::Invalid);
            }
            Err(Refused::Away(reason)) => return Err(away(&reason)),
        }
        self.keys.claims(kid, token, header).ok_or(TokenError::Invalid)
    }

    /// What the holder of a token may do, as crossbar says: nothing if it was revoked there. `persons` are all whom it
    /// speaks for; the least of what they may do counts.
    pub(super) async fn role(
        &self,
        token: &str,
        identity: &str,
        persons: &[Person<'_>],
    ) -> Result<Role, TokenError> {
        if let Known::Now(verdict) = self.verdicts.of(identity) {
            return verdict.ok_or(TokenError::Invalid);
        }
        let _turn = self.turn().await?;
        // Another request may have asked meanwhile.
        let before = match self.verdicts.of(identity) {
            Known::Now(verdict) => return verdict.ok_or(TokenError::Invalid),
            Known::Before(verdict) => Some(verdict),
            Known::Nothing => None,
        };
        match self.ask(token, persons).await {
            Ok(verdict) => {
                self.verdicts.keep(identity, verdict);
                verdict.ok_or(TokenError::Invalid)
            }
            Err(reason) => {
                tracing::warn!(reason, "crossbar does not say whether a token is good");
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
                // A user may not read everybody: whom they cannot read they are not.
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
        self.at_once.acquire().await.map_err(|_| away("it is not asked any more"))
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
