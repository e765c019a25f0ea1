//! The public keys of a KAZOO, by id: kept until a signature does not fit any more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::{DecodingKey, Header};

use super::super::foreign::{Claims, signed_claims};
use crate::model::Clock;

/// Keys that are remembered; a KAZOO has one, sometimes two.
const MOST: usize = 32;
/// Ids that are remembered as asked for: whoever sends invented ones gets no more requests than this out of us.
const MOST_ASKED: usize = 32;

pub(super) struct Keys {
    steady: Clock,
    every_us: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    keys: HashMap<String, DecodingKey>,
    /// When each was asked for last.
    asked_us: HashMap<String, u64>,
}

/// Whether a text is made like the id of a key: it becomes part of a path.
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

    /// What a token says, if the key of this id has signed it.
    pub(super) fn claims(&self, kid: &str, token: &str, header: &Header) -> Option<Claims> {
        let key = self.inner().keys.get(kid).cloned()?;
        signed_claims(token, &key, header)
    }

    /// Whether the key may be asked for now; counts as asked.
    pub(super) fn may_fetch(&self, kid: &str) -> bool {
        let now_us = self.steady.now_us();
        let mut inner = self.inner();
        inner.asked_us.retain(|_, asked| asked.saturating_add(self.every_us) > now_us);
        // A flood of invented ids does not keep a key that is in use from being fetched again.
        let has_room = inner.asked_us.len() < MOST_ASKED || inner.keys.contains_key(kid);
        if inner.asked_us.contains_key(kid) || !has_room {
            return false;
        }
        inner.asked_us.insert(kid.to_owned(), now_us);
        true
    }

    /// Keeps a key in the form in which crossbar shows it, PKCS#1; any other is not kept.
    pub(super) fn keep(&self, kid: &str, pem: &str) {
        match DecodingKey::from_rsa_pem(pem.as_bytes()) {
            Ok(key) => {
                let mut inner = self.inner();
                if inner.keys.len() >= MOST {
                    inner.keys.clear();
                }
                inner.keys.insert(kid.to_owned(), key);
            }
            Err(error) => tracing::warn!(kid, %error, "crossbar's public key is no RSA key in PEM"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn whatever_ids_are_sent_crossbar_is_asked_rarely() {
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
