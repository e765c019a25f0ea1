//! Answers of name servers, kept for a bounded time and in a bounded number.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Looked;

/// Names whose answers are kept.
const MOST: usize = 10_000;
/// A TTL counts within these bounds: a burst of attempts is one lookup, and a change is followed within minutes.
const ANSWER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The same for "no such name": an operator who adds the name waits no longer than this.
const NO_SUCH_NAME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How long a name server's failure is kept.
const SERVER_FAILURE: Duration = Duration::from_secs(1);
/// How long it is kept that no server answered: about as long as it took to find out, so that a silent name holds a
/// place for half of the time at most, and a server that was away for a moment is soon asked again.
const SILENCE: Duration = Duration::from_secs(5);

/// How long an answer may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime(Duration);

impl Lifetime {
    /// Not at all.
    pub(super) const NONE: Self = Self(Duration::ZERO);
    /// Of the silence of all name servers.
    pub(super) const SILENCE: Self = Self(SILENCE);
    /// Of a name server's failure.
    pub(super) const SERVER_FAILURE: Self = Self(SERVER_FAILURE);

    /// Of addresses with this TTL.
    pub(super) fn of_answer(ttl: Duration) -> Self {
        Self(ttl.clamp(ANSWER.0, ANSWER.1))
    }

    /// Of "no such name", with the TTL that the zone sets for it, if it sets one.
    pub(super) fn of_no_such_name(ttl: Option<Duration>) -> Self {
        Self(ttl.unwrap_or(NO_SUCH_NAME.1).clamp(NO_SUCH_NAME.0, NO_SUCH_NAME.1))
    }
}

/// The answers.
#[derive(Default)]
pub(super) struct Kept(HashMap<Box<str>, (Looked, Instant)>);

impl Kept {
    /// The answer for a name, unless its time is over.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Looked> {
        self.0.get(name).filter(|(_, until)| now < *until).map(|(looked, _)| looked.clone())
    }

    /// Keeps an answer. When there are too many, those whose time is over go, or else all.
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

    /// Forgets all answers.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::NameFault;
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_ttl_within_bounds() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        let seconds = Duration::from_secs;
        for (ttl, holds) in [(0, 1), (60, 60), (86_400, 300)] {
            let lifetime = Lifetime::of_answer(seconds(ttl));
            kept.put("a.example", Ok([].into()), lifetime, now);
            assert!(
                kept.get("a.example", now + seconds(holds) - Duration::from_millis(1)).is_some(),
                "{ttl}"
            );
            assert!(kept.get("a.example", now + seconds(holds)).is_none(), "{ttl}");
        }
        kept.put("b.example", Err(NameFault::NotFound), Lifetime::of_no_such_name(Some(seconds(3600))), now);
        assert!(kept.get("b.example", now + seconds(9)).is_some());
        assert!(kept.get("b.example", now + seconds(10)).is_none());
        kept.put("c.example", Err(NameFault::NoAnswer), Lifetime::SILENCE, now);
        assert!(
            kept.get("c.example", now + seconds(4)).is_some(),
            "a silent name takes no place for a while"
        );
        assert!(kept.get("c.example", now + seconds(5)).is_none());
        kept.put("d.example", Err(NameFault::NoPlace), Lifetime::NONE, now);
        assert!(kept.get("d.example", now).is_none());
    }

    #[test]
    fn however_many_names_are_looked_up_few_are_kept() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for n in 0..3 * MOST {
            kept.put(&format!("{n}.example"), Ok([].into()), Lifetime::SERVER_FAILURE, now);
        }
        assert!(kept.0.len() <= MOST);
    }
}
