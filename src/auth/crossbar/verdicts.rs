//! Crossbar's recent responses about tokens, by the hash of each token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::auth::Role;
use crate::model::Clock;

/// The most tokens whose response is cached.
const MOST: usize = 10_000;

/// The cached response about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CachedVerdict {
    /// A recent response: the role, or `None` when crossbar refuses the token.
    Now(Option<Role>),
    /// An old response, to be used only while crossbar is down.
    Before(Option<Role>),
    /// No response.
    Nothing,
}

pub(super) struct Verdicts {
    steady: Clock,
    recheck_us: u64,
    stale_us: u64,
    /// By the token's hash: the response and its time.
    said: Mutex<HashMap<String, (Option<Role>, u64)>>,
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Verdicts {
    pub(super) fn new(steady: Clock, recheck: Duration, stale: Duration) -> Self {
        let (recheck_us, stale_us) = (us(recheck), us(recheck.saturating_add(stale)));
        Self { steady, recheck_us, stale_us, said: Mutex::default() }
    }

    fn said(&self) -> MutexGuard<'_, HashMap<String, (Option<Role>, u64)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, identity: &str) -> CachedVerdict {
        let now_us = self.steady.now_us();
        let Some((verdict, at_us)) = self.said().get(identity).copied() else {
            return CachedVerdict::Nothing;
        };
        match now_us.saturating_sub(at_us) {
            age if age < self.recheck_us => CachedVerdict::Now(verdict),
            age if age < self.stale_us => CachedVerdict::Before(verdict),
            _ => CachedVerdict::Nothing,
        }
    }

    pub(super) fn keep(&self, identity: &str, verdict: Option<Role>) {
        let (now_us, mut said) = (self.steady.now_us(), self.said());
        if said.len() >= MOST {
            said.retain(|_, (_, at_us)| now_us.saturating_sub(*at_us) < self.recheck_us);
        }
        if said.len() >= MOST {
            // All responses are recent, so none may be preferred. Each token then costs one more request to crossbar.
            said.clear();
        }
        said.insert(identity.to_owned(), (verdict, now_us));
    }
}
