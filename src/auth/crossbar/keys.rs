//! A KAZOO's public keys by id. A key is cached until it no longer verifies a signature.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{DecodingKey, Header};
use tokio::sync::watch;

use super::super::foreign::{Claims, signed_claims};
use crate::model::Clock;

/// The most cached keys. A KAZOO has one or two.
const MOST: usize = 32;
/// The most key ids whose last request is remembered. Bounds the requests that a flood of invented ids can cause.
const MOST_ASKED: usize = 32;

pub(super) struct Keys {
    steady: Clock,
    every_us: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: HashMap<String, DecodingKey>,
    /// For each key id, the time of the last request, and whether it has been answered.
    asked: HashMap<String, (u64, watch::Receiver<bool>)>,
}

/// What to do about a key that is unknown, or does not verify a signature.
pub(super) enum Turn {
    /// Request the key, and send the result here.
    Fetch(watch::Sender<bool>),
    /// Another request is in progress. The channel gets `true` when it is answered, and closes if it is not.
    UnderWay(watch::Receiver<bool>),
    /// The key was requested a moment ago, and the request was answered.
    Later,
    /// The key was requested a moment ago, and the request was not answered.
    Unanswered,
}

/// Whether a text has the form of a key id. The id becomes part of a URL's path, so other texts are refused.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Keys {
    pub(super) fn new(steady: Clock, every: Duration) -> Self {
        let every_us = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        Self { steady, every_us, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claims of a token, if it is signed with the cached key of this id.
    pub(super) fn claims(&self, kid: &str, token: &str, header: &Header) -> Option<Claims> {
        let key = self.inner().keys.get(kid).cloned()?;
        signed_claims(token, &key, header)
    }

    /// Decides whether to request the key now; if so, notes the request.
    pub(super) fn turn(&self, kid: &str) -> Turn {
        let now_us = self.steady.now_us();
        let mut inner = self.inner();
        inner.asked.retain(|_, (asked, _)| asked.saturating_add(self.every_us) > now_us);
        if let Some((_, answered)) = inner.asked.get(kid) {
            let (is_answered, is_over) = (*answered.borrow(), answered.has_changed().is_err());
            return match (is_answered, is_over) {
                (true, _) => Turn::Later,
                (false, true) => Turn::Unanswered,
                (false, false) => Turn::UnderWay(answered.clone()),
            };
        }
        // A known key may be requested even during a flood of invented ids.
        if inner.asked.len() >= MOST_ASKED && !inner.keys.contains_key(kid) {
            return Turn::Later;
        }
        let (tell, answered) = watch::channel(false);
        inner.asked.insert(kid.to_owned(), (now_us, answered));
        Turn::Fetch(tell)
    }

    /// Caches a key in the format of crossbar (PKCS#1). Other formats are not accepted.
    pub(super) fn keep(&self, kid: &str, pem: &str) {
        match DecodingKey::from_rsa_pem(pem.as_bytes()) {
            Ok(key) => {
                let mut inner = self.inner();
                if inner.keys.len() >= MOST {
                    // Only keys that crossbar has returned get here, so invented ids cannot cause this. A key in use
                    // is requested again.
                    inner.keys.clear();
                }
                inner.keys.insert(kid.to_owned(), key);
            }
            Err(error) => tracing::warn!(kid, %error, "crossbar's public key is not an RSA key in PEM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn invented_key_ids_cause_few_requests_to_crossbar() {
        let now = Arc::new(AtomicU64::new(1));
        let told = Arc::clone(&now);
        let keys = Keys::new(Clock::new(move || told.load(Ordering::Relaxed)), Duration::from_secs(10));
        let may_fetch = |kid: &str| matches!(keys.turn(kid), Turn::Fetch(_));
        let Turn::Fetch(under_way) = keys.turn("a") else { panic!("the first one") };
        assert!(matches!(keys.turn("a"), Turn::UnderWay(_)));
        under_way.send(true).unwrap();
        assert!(matches!(keys.turn("a"), Turn::Later));
        let asked = (0..1000).filter(|n| may_fetch(&format!("invented{n}"))).count();
        assert_eq!(asked, MOST_ASKED - 1);
        now.store(10_000_001, Ordering::Relaxed);
        assert!(may_fetch("a"));
        assert!(!is_id("../../accounts") && !is_id("") && is_id("8f2c1a9be0d34c7f8a6b5d2e1c0f9a83"));
    }
}
