//! The bindings of one session, each with its own place in the log: the first offset that it has not looked at.
//!
//! The session reads on from the lowest of these places. Bindings that are further skip what they have seen,
//! so that each gets its events in the log's order, without gap or repeat, whenever it was added and from
//! wherever it resumes.

use std::collections::BTreeSet;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::{Asked, LiveEvent};
use crate::kazoo::Pattern;
use crate::model::{AccountId, LogIds};

/// Whose events a binding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// One account's.
    One(AccountId),
    /// Everybody's, also what belongs to nobody.
    All,
}

impl Reach {
    pub(super) fn account(self) -> Option<AccountId> {
        match self {
            Self::One(account) => Some(account),
            Self::All => None,
        }
    }

    pub(super) fn covers(self, account: Option<AccountId>) -> bool {
        self == Self::All || self.account() == account
    }
}

/// Where a binding begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The first offset it gets.
    pub(super) from: u64,
    /// The first offset that is not a replay: the log's end when it was made.
    pub(super) live_from: u64,
    /// Of what is replayed, nothing of before this time, in microseconds since 1970: times do not rise with offsets.
    pub(super) since_us: u64,
}

#[derive(Debug)]
struct Bound {
    /// As the client spelled it.
    binding: String,
    reach: Reach,
    pattern: Pattern,
    next: u64,
    live_from: u64,
    since_us: u64,
}

/// What a session that is behind has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) from: u64,
    /// Another binding begins here; none: up to the log's end.
    pub(super) until: Option<u64>,
    pub(super) reaches: BTreeSet<Reach>,
}

/// All bindings of a session, oldest first.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    bound: Vec<Bound>,
    changes: u64,
}

impl Subscriptions {
    /// The clients' spellings.
    pub(super) fn list(&self) -> Vec<String> {
        self.bound.iter().map(|bound| bound.binding.clone()).collect()
    }

    /// Counts what was added, taken out or put back to an earlier place.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn len(&self) -> usize {
        self.bound.len()
    }

    pub(super) fn contains(&self, reach: Reach, binding: &str) -> bool {
        self.bound.iter().any(|bound| bound.reach == reach && bound.binding == binding)
    }

    /// Adds a binding at a place. One that is there stays where it is, unless it `resumes`.
    pub(super) fn add(&mut self, reach: Reach, binding: (String, Pattern), place: Place, resumes: bool) {
        self.changes += 1;
        let (binding, pattern) = binding;
        let Place { from, live_from, since_us } = place;
        match self.bound.iter_mut().find(|bound| bound.reach == reach && bound.binding == binding) {
            Some(bound) if resumes => {
                (bound.next, bound.live_from, bound.since_us) = (from, live_from, since_us);
            }
            Some(_) => {}
            None => self.bound.push(Bound { binding, reach, pattern, next: from, live_from, since_us }),
        }
    }

    /// Takes bindings out; their spellings.
    pub(super) fn remove(&mut self, mut leaves: impl FnMut(Reach, &str) -> bool) -> Vec<String> {
        self.changes += 1;
        let gone = self.bound.extract_if(.., |bound| leaves(bound.reach, &bound.binding));
        gone.map(|bound| bound.binding).collect()
    }

    /// Whose events are asked for.
    pub(super) fn reaches(&self) -> BTreeSet<Reach> {
        self.bound.iter().map(|bound| bound.reach).collect()
    }

    /// The first offset that some binding has not looked at; none without bindings.
    pub(super) fn position(&self) -> Option<u64> {
        self.bound.iter().map(|bound| bound.next).min()
    }

    /// What is to be read next when the lowest place is in the past.
    pub(super) fn behind(&self) -> Option<Behind> {
        let from = self.position()?;
        let here = self.bound.iter().filter(|bound| bound.next == from);
        let ahead = self.bound.iter().map(|bound| bound.next).filter(|next| *next > from);
        Some(Behind { from, until: ahead.min(), reaches: here.map(|bound| bound.reach).collect() })
    }

    /// Hands the frames of one event to `take`: one for each binding that asks for it and has not had it.
    pub(super) fn frames(&mut self, event: &LiveEvent, log_ids: &LogIds, mut take: impl FnMut(Utf8Bytes)) {
        for bound in self.bound.iter_mut().filter(|bound| bound.next <= event.offset) {
            bound.next = event.offset + 1;
            let replayed = event.offset < bound.live_from;
            if replayed && event.time_us < bound.since_us {
                continue;
            }
            if bound.reach.covers(event.account) && bound.pattern.matches(&event.topic) {
                let asked = Asked {
                    binding: &bound.binding,
                    pattern: &bound.pattern,
                    account: bound.reach.account(),
                    replayed,
                };
                if let Some(frame) = event.frame(log_ids, &asked) {
                    take(frame);
                }
            }
        }
    }

    /// Everything before `to` has been looked at.
    pub(super) fn advance(&mut self, to: u64) {
        for bound in &mut self.bound {
            bound.next = bound.next.max(to);
        }
    }
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;
