//! A cache of name servers' answers, bounded in time and number.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Looked;

/// Most names in the cache.
const MOST: usize = 10_000;
/// Bounds of the TTL: a burst of attempts costs one lookup, and a change takes effect within minutes.
const ANSWER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Bounds of the TTL of "no such name". An operator who adds the name waits no longer than this.
const NO_SUCH_NAME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How long a name server's failure is cached.
const SERVER_FAILURE: Duration = Duration::from_secs(1);
/// How long the silence of all servers is cached: about as long as it took to find out. So a silent name holds a
/// permit for at most half of the time, and a server that was away for a moment is soon asked again.
const SILENCE: Duration = Duration::from_secs(5);

/// How long an answer may be cached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime(Duration);

impl Lifetime {
    /// Not at all.
    pub(super) const NONE: Self = Self(Duration::ZERO);
    /// For the silence of all name servers.
    pub(super) const SILENCE: Self = Self(SILENCE);
    /// For a name server's failure.
    pub(super) const SERVER_FAILURE: Self = Self(SERVER_FAILURE);

    /// For addresses with this TTL.
    pub(super) fn of_answer(ttl: Duration) -> Self {
        Self(ttl.clamp(ANSWER.0, ANSWER.1))
    }

    /// For "no such name", with the zone's TTL for it, if any.
    pub(super) fn of_no_such_name(ttl: Option<Duration>) -> Self {
        Self(ttl.unwrap_or(NO_SUCH_NAME.1).clamp(NO_SUCH_NAME.0, NO_SUCH_NAME.1))
    }
}

/// The answers.
#[derive(Default)]
pub(super) struct Answers(HashMap<Box<str>, (Looked, Instant)>);

impl Answers {
    /// The answer for a name, unless it has expired.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Looked> {
        self.0.get(name).filter(|(_, until)| now < *until).map(|(looked, _)| looked.clone())
    }

    /// Adds an answer. A full cache drops its expired answers and, if it is still full, all answers.
    pub(super) fn put(&mut self, name: &str, looked: Looked, lifetime: Lifetime, now: Instant) {
        if lifetime.0.is_zero() {
            return;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, until)| now < *until);
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        self.0.insert(name.into(), (looked, now + lifetime.0));
    }

    /// Removes all answers.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::NameFault;
    use super::*;

    #[test]
    fn an_answer_is_cached_for_its_ttl_within_bounds() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let seconds = Duration::from_secs;
        for (ttl, holds) in [(0, 1), (60, 60), (86_400, 300)] {
            let lifetime = Lifetime::of_answer(seconds(ttl));
            answers.put("a.example", Ok([].into()), lifetime, now);
            assert!(
                answers.get("a.example", now + seconds(holds) - Duration::from_millis(1)).is_some(),
                "{ttl}"
            );
            assert!(answers.get("a.example", now + seconds(holds)).is_none(), "{ttl}");
        }
        answers.put(
            "b.example",
            Err(NameFault::NotFound),
            Lifetime::of_no_such_name(Some(seconds(3600))),
            now,
        );
        assert!(answers.get("b.example", now + seconds(9)).is_some());
        assert!(answers.get("b.example", now + seconds(10)).is_none());
        answers.put("c.example", Err(NameFault::NoAnswer), Lifetime::SILENCE, now);
        assert!(
            answers.get("c.example", now + seconds(4)).is_some(),
            "a silent name takes no permit for a while"
        );
        assert!(answers.get("c.example", now + seconds(5)).is_none());
        answers.put("d.example", Err(NameFault::TooMany), Lifetime::NONE, now);
        assert!(answers.get("d.example", now).is_none());
    }

    #[test]
    fn the_number_of_cached_names_is_bounded() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        for n in 0..3 * MOST {
            answers.put(&format!("{n}.example"), Ok([].into()), Lifetime::SERVER_FAILURE, now);
        }
        assert!(answers.0.len() <= MOST);
    }
}
