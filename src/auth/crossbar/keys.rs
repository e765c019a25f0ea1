//! A KAZOO's public keys by id. A key is cached until a signature no longer fits it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{DecodingKey, Header};

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
    /// When each key was last requested.
    asked_us: HashMap<String, u64>,
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

    /// Whether the key may be requested now. If so, the request is noted.
    pub(super) fn may_fetch(&self, kid: &str) -> bool {
        let now_us = self.steady.now_us();
        let mut inner = self.inner();
        inner.asked_us.retain(|_, asked| asked.saturating_add(self.every_us) > now_us);
        // A known key may be requested even during a flood of invented ids.
        let has_room = inner.asked_us.len() < MOST_ASKED || inner.keys.contains_key(kid);
        if inner.asked_us.contains_key(kid) || !has_room {
            return false;
        }
        inner.asked_us.insert(kid.to_owned(), now_us);
        true
    }

    /// Caches a key in the format of crossbar (PKCS#1). Other formats are not accepted.
    pub(super) fn keep(&self, kid: &str, pem: &str) {
        match DecodingKey::from_rsa_pem(pem.as_bytes()) {
            Ok(key) => {
                let mut inner = self.inner();
                if inner.keys.len() >= MOST {
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
        assert!(keys.may_fetch("a") && !keys.may_fetch("a"));
        let asked = (0..1000).filter(|n| keys.may_fetch(&format!("invented{n}"))).count();
        assert_eq!(asked, MOST_ASKED - 1);
        now.store(10_000_001, Ordering::Relaxed);
        assert!(keys.may_fetch("a"));
        assert!(!is_id("../../accounts") && !is_id("") && is_id("8f2c1a9be0d34c7f8a6b5d2e1c0f9a83"));
    }
}
