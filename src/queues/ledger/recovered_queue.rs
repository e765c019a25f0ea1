//! One queue while the ledger is read at a start: its image from the checkpoint, with each later record applied.

use std::collections::{BTreeMap, HashSet};

use super::record::{AttemptRecord, Ending, Outcome, QueueImage};
use crate::model::{EventOffset, Moment, QueueId};
use crate::queues::queue::window::Past;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::policy::time_asked_for;

/// A queue, as of the ledger's end.
#[derive(Debug, Clone, Default)]
pub struct RecoveredQueue {
    /// The image from the checkpoint, with all later records applied.
    pub image: QueueImage,
    /// Whether a checkpoint contains this queue. Otherwise `image.next` has no meaning. `image.partition` is `None` only if
    /// the queue is known from a checkpoint of an earlier version alone.
    pub placed: bool,
    pub(super) past: BTreeMap<EventOffset, Past>,
    pub(super) settled: HashSet<EventOffset>,
}

/// Whether a failure counts towards disabling the hook.
fn counts(ending: &Ending) -> bool {
    match ending {
        Ending::Answered(response) => time_asked_for(response).is_none(),
        Ending::Failed(_) => true,
        Ending::Ours(_) | Ending::Unsendable(_) | Ending::NotSent => false,
    }
}

impl RecoveredQueue {
    /// A queue that no checkpoint has named so far.
    pub(super) fn unplaced(id: QueueId) -> Self {
        Self { image: QueueImage { queue: id, ..QueueImage::default() }, ..Self::default() }
    }

    pub(super) fn placed(mut image: QueueImage) -> Self {
        let (settled, past) = (image.settled.drain(..).collect(), image.past.drain(..).collect());
        Self { image, placed: true, past, settled }
    }

    /// While records are applied, settlements and pasts are looked up by offset. An image has them as lists.
    pub(super) fn finish(&mut self) {
        self.image.settled.extend(self.settled.drain());
        self.image.settled.sort_unstable();
        self.image.past.extend(std::mem::take(&mut self.past));
    }

    pub(super) fn attempted(&mut self, attempt: &AttemptRecord, written: Moment) {
        if !matches!(attempt.outcome, Outcome::Delivered | Outcome::Shadow) && counts(&attempt.ending) {
            self.image.failures.push(written);
            // No limit of failures is larger.
            let counted = self.image.failures.len().saturating_sub(64);
            self.image.failures.drain(..counted);
        }
        match attempt.outcome.fate() {
            Some(fate) => self.settle(attempt.offset, fate),
            None => self.failed(attempt, written),
        }
        // A 410 disables the hook, which forgets its failures.
        let is_gone = matches!(attempt.ending, Ending::Answered(ref r) if r.status == 410);
        if is_gone && attempt.outcome != Outcome::Shadow {
            self.image.failures.clear();
        }
    }

    fn failed(&mut self, attempt: &AttemptRecord, written: Moment) {
        let entry = self.image.entries.iter_mut().find(|(offset, _, _)| *offset == attempt.offset);
        let past = match entry {
            Some((_, _, past)) => past,
            None => self.past.entry(attempt.offset).or_default(),
        };
        past.attempts = attempt.attempt;
        past.due = attempt.due;
        past.tries = match attempt.outcome {
            // The hook was disabled, so the delivery will have new tries.
            Outcome::Held => 0,
            // Nobody knows after a restart whether the hook works, so a suspect gets one more try.
            Outcome::Suspect => attempt.tries.saturating_sub(1),
            _ => attempt.tries,
        };
        past.first_failed = past.first_failed.or(Some(written));
    }

    pub(super) fn settle(&mut self, offset: EventOffset, fate: Fate) {
        // The count may become negative: the delivery may be one that has not been counted yet.
        self.image.waiting = self.image.waiting.saturating_sub(1);
        self.image.totals.count(fate);
        self.past.remove(&offset);
        let before = self.image.entries.len();
        self.image.entries.retain(|(o, _, _)| *o != offset);
        // An entry is simply gone. Any other delivery will be met again in the log, and must then be known as settled.
        if self.image.entries.len() == before {
            self.settled.insert(offset);
        }
    }

    pub(super) fn refresh(&mut self) {
        self.image.failures.clear();
        let entries = self.image.entries.iter_mut().map(|(_, _, past)| past);
        for past in entries.chain(self.past.values_mut()) {
            // The number of an attempt counts on across new tries, because receivers see it (`X-Attempt`).
            *past = Past { attempts: past.attempts, ..Past::default() };
        }
    }

    pub(super) fn gap(&mut self, to: EventOffset) {
        // Entries before the gap stay. Each of them is attempted, its event is found missing, and so it is settled and
        // counted as expired.
        self.image.next = self.image.next.max(to);
        self.past = self.past.split_off(&to);
        self.image.spilled.iter_mut().for_each(|(_, from)| *from = (*from).max(to));
    }
}
