//! The bindings of one session, each with its own position in the log: the first offset it has not seen.
//!
//! The session reads from the lowest of these positions. A binding that is further ahead skips events it has seen. So
//! each binding gets its events in the log's order, without gap or repeat, whenever it was added and wherever it
//! started.

use std::collections::BTreeSet;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::{LiveEvent, Subscriber};
use super::hooks::HookBindings;
use crate::kazoo::Pattern;
use crate::model::{AccountId, EventOffset, LogIds};

/// The accounts whose events a binding covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// One account.
    One(AccountId),
    /// All accounts, and events without an account.
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

/// The position at which a binding starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StartPosition {
    /// The first offset of the binding.
    pub(super) from: EventOffset,
    /// The first offset that is not replayed: the log's end at the time of the subscription.
    pub(super) live_from: EventOffset,
    /// Replayed events from before this time (microseconds since 1970) are left out. Needed because times do not
    /// always rise with offsets.
    pub(super) since_us: u64,
}

#[derive(Debug)]
struct Bound {
    /// As the client spelled it.
    binding: String,
    reach: Reach,
    pattern: Pattern,
    next: EventOffset,
    live_from: EventOffset,
    since_us: u64,
}

/// The part of the log that a session must read to catch up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) from: EventOffset,
    /// The position of the next binding; `None`: read up to the log's end.
    pub(super) until: Option<EventOffset>,
    pub(super) reaches: BTreeSet<Reach>,
}

/// All bindings of a session, oldest first; those for webhooks behind those for events.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    bound: Vec<Bound>,
    /// Bindings for what webhooks do: they have no position in the log.
    pub(super) hooks: HookBindings,
    changes: u64,
}

impl Subscriptions {
    /// All bindings as the client spelled them.
    pub(super) fn bindings(&self) -> Vec<String> {
        let of_events = self.bound.iter().map(|bound| bound.binding.clone());
        of_events.chain(self.hooks.all().iter().map(|bound| bound.text.clone())).collect()
    }

    /// Number of changes so far: additions, removals and restarts.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn len(&self) -> usize {
        self.bound.len() + self.hooks.all().len()
    }

    pub(super) fn contains(&self, reach: Reach, binding: &str) -> bool {
        self.bound.iter().any(|bound| bound.reach == reach && bound.binding == binding)
            || self.hooks.contains(reach, binding)
    }

    /// Adds a binding at a position. An existing binding keeps its position, unless it `resumes`.
    pub(super) fn add(
        &mut self,
        reach: Reach,
        binding: (String, Pattern),
        start: StartPosition,
        resumes: bool,
    ) {
        self.changes += 1;
        let (binding, pattern) = binding;
        let StartPosition { from, live_from, since_us } = start;
        match self.bound.iter_mut().find(|bound| bound.reach == reach && bound.binding == binding) {
            Some(bound) if resumes => {
                (bound.next, bound.live_from, bound.since_us) = (from, live_from, since_us);
            }
            Some(_) => {}
            None => self.bound.push(Bound { binding, reach, pattern, next: from, live_from, since_us }),
        }
    }

    /// Removes bindings and returns them as the client spelled them.
    pub(super) fn remove(&mut self, mut leaves: impl FnMut(Reach, &str) -> bool) -> Vec<String> {
        self.changes += 1;
        let gone = self.bound.extract_if(.., |bound| leaves(bound.reach, &bound.binding));
        let mut gone: Vec<String> = gone.map(|bound| bound.binding).collect();
        gone.extend(self.hooks.remove(leaves));
        gone
    }

    /// The accounts that any binding covers.
    pub(super) fn all_reaches(&self) -> BTreeSet<Reach> {
        let of_hooks = self.hooks.all().iter().map(|bound| bound.reach);
        self.bound.iter().map(|bound| bound.reach).chain(of_hooks).collect()
    }

    /// The accounts whose events the bindings cover.
    pub(super) fn reaches(&self) -> BTreeSet<Reach> {
        self.bound.iter().map(|bound| bound.reach).collect()
    }

    /// The lowest position of all bindings; `None` without bindings.
    pub(super) fn position(&self) -> Option<EventOffset> {
        self.bound.iter().map(|bound| bound.next).min()
    }

    /// What to read next when the lowest position is in the past.
    pub(super) fn behind(&self) -> Option<Behind> {
        let from = self.position()?;
        let here = self.bound.iter().filter(|bound| bound.next == from);
        // Stop where the next binding stands: from there on its accounts must be read too.
        let ahead = self.bound.iter().map(|bound| bound.next).filter(|next| *next > from);
        Some(Behind { from, until: ahead.min(), reaches: here.map(|bound| bound.reach).collect() })
    }

    /// Calls `take` with the frames of one event: one for each binding that matches and has not seen the event.
    pub(super) fn frames(&mut self, event: &LiveEvent, log_ids: &LogIds, mut take: impl FnMut(Utf8Bytes)) {
        for bound in self.bound.iter_mut().filter(|bound| bound.next <= event.offset) {
            // The binding has seen the event, whether it matches or not.
            bound.next = event.offset + 1;
            let replayed = event.offset < bound.live_from;
            if replayed && event.time_us < bound.since_us {
                continue;
            }
            if bound.reach.covers(event.account) && bound.pattern.matches(&event.topic) {
                let subscriber = Subscriber {
                    binding: &bound.binding,
                    pattern: &bound.pattern,
                    account: bound.reach.account(),
                    replayed,
                };
                if let Some(frame) = event.frame(log_ids, &subscriber) {
                    take(frame);
                }
            }
        }
    }

    /// Moves all positions up to `to`.
    pub(super) fn advance(&mut self, to: EventOffset) {
        for bound in &mut self.bound {
            bound.next = bound.next.max(to);
        }
    }
}

#[cfg(test)]
#[path = "subscriptions_tests.rs"]
mod tests;
