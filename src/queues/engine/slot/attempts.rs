//! A slot's attempts: which delivery starts next, and what a result means for the delivery and for the hook.

use std::time::Duration;

use super::super::line::Line;
use super::Slot;
use crate::model::{Attempt, EventOffset, Job, JobKey, Moment, QueueKey};
use crate::queues::ledger::record::Outcome;
use crate::queues::ledger::recorded::Course;
use crate::queues::queue::kept::Kept;
use crate::queues::queue::window::{Start, Tried};
use crate::queues::rules::fate::Fate;
use crate::queues::rules::policy::{Class, Policy, classify};
use crate::queues::rules::replay::SHARE;
use crate::queues::rules::trial::{After, Trial};
use crate::queues::rules::verdict::{Facts, Verdict, Weight};

/// The delay before a probe that this machine could not make is made again.
const OWN_FAULT_PROBE: Duration = Duration::from_secs(5);

/// A result after it was judged.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues::engine) struct Judged {
    pub(in crate::queues::engine) class: Class,
    pub(in crate::queues::engine) verdict: Verdict,
    /// Whether the attempt was its hook's recovery probe.
    pub(in crate::queues::engine) is_probe: bool,
    attempts: u16,
    tries: u16,
    tries_left: u16,
}

impl Judged {
    /// What the ledger's record of the attempt says of it.
    pub(in crate::queues::engine) fn course(&self) -> Course {
        let (outcome, due) = match self.verdict {
            Verdict::Settled(Fate::Delivered) => (Outcome::Delivered, None),
            Verdict::Settled(Fate::Shadow) => (Outcome::Shadow, None),
            Verdict::Settled(Fate::Dead | Fate::Skipped | Fate::Expired) => (Outcome::Dead, None),
            Verdict::RetryAt(due) => (Outcome::Retry, Some(due)),
            Verdict::SuspectUntil(_) => (Outcome::Suspect, None),
            Verdict::Held | Verdict::Disable(_) => (Outcome::Held, None),
        };
        let Self { attempts, tries, tries_left, .. } = *self;
        let tries_left = if matches!(self.verdict, Verdict::Settled(_)) { 0 } else { tries_left };
        Course { attempts, tries, tries_left, outcome, due }
    }
}

impl Slot {
    /// Most attempts of the hook at once: its own limit, or else the limit of all hooks.
    pub(in crate::queues::engine) fn most_attempts(&self, of_all_hooks: u32) -> u32 {
        self.hook.max_in_flight.unwrap_or(of_all_hooks).max(1)
    }

    /// Whether deliveries wait although the hook is open: for the one that goes first, or because the receiver asked for
    /// time.
    pub(in crate::queues::engine) fn is_held_back(&self, now: Moment) -> bool {
        !self.trial.admits() || self.asked_until.is_some_and(|until| now < until)
    }

    /// Whether the hook's own limits allow one more attempt now. A start that only the rate limit refuses is put on the
    /// clock.
    pub(in crate::queues::engine) fn may_start(&mut self, most: u32, now: Moment) -> bool {
        self.has_ready() && self.claim.held() < most && !self.is_held_back(now) && self.pace.admits(now)
    }

    /// Starts the next delivery: the live line and the replays take turns, and all replays together have a share of the
    /// hook's permits.
    pub(in crate::queues::engine) fn start_next(&mut self, most: u32, now: Moment) -> Option<Job> {
        let replaying: u32 = self.replays.iter().map(|line| line.queue().in_flight()).sum();
        let has_share = replaying < (most / SHARE).max(1);
        let count = 1 + self.replays.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(line) = self.line_at(at) else { continue };
            if let Some(start) = line.start(now, has_share) {
                let key = line.key();
                self.pace.started(now);
                // The next search begins behind this line, so a long replay cannot keep the live line waiting.
                self.turn = (at + 1) % count;
                return Some(self.job(key, start));
            }
        }
        None
    }

    /// Starts the recovery probe: the oldest delivery of the live line. `None`: nothing that could be tried is in memory.
    pub(in crate::queues::engine) fn start_probe(&mut self) -> Option<Job> {
        let start = self.live_line.start_oldest()?;
        let job = self.job(self.live_line.key(), start);
        self.probe.started(job.key);
        Some(job)
    }

    fn line_at(&mut self, at: usize) -> Option<&mut Line> {
        match at.checked_sub(1) {
            None => Some(&mut self.live_line),
            Some(replay) => self.replays.get_mut(replay),
        }
    }

    fn job(&mut self, queue: QueueKey, start: Start) -> Job {
        let key = JobKey { queue, offset: start.offset };
        self.trial.started(key);
        Job {
            key,
            hook: self.hook.clone(),
            record: start.record.map(Kept::into_bytes),
            attempt: start.attempt,
            replay: matches!(queue, QueueKey::Replay(_)),
        }
    }

    /// Judges a result by what the slot knows, and updates what the slot knows. `random` (0 to 1) spreads retries. `None`:
    /// the delivery is not in the slot.
    pub(in crate::queues::engine) fn judge(
        &mut self,
        attempt: &Attempt,
        now: Moment,
        random: f64,
    ) -> Option<Judged> {
        let key = attempt.key;
        // Once its hook is enabled, a probe is an attempt like any other.
        let is_probe = self.probe.is(key) && !self.hook.enabled;
        if is_probe {
            self.probe.ended();
        }
        let class = classify(&self.hook, &attempt.result);
        // The delivery of this attempt still counts as waiting here, so the trial must not take it for another one.
        let is_done = matches!(class, Class::Skipped | Class::Expired | Class::Unsendable | Class::Shadow);
        let others_wait = self.waiting() > u64::from(is_done);
        let is_still_down = self.trial.ended(key, class, &attempt.result, others_wait);
        // Pausing only keeps new attempts from starting: results count as usual. So this is `serves`, not `is_open`.
        let (serves, policy, hook) = (self.serves(), self.standing.policy, self.hook.clone());
        // A callflow's target is no hook's receiver, and a failed trial disables by itself.
        let counts = serves && !hook.one_shot && !is_still_down && matches!(class, Class::Failed { .. });
        let weight = if is_still_down {
            Weight::StillDown
        } else if counts && self.health.failed(&policy, now) {
            Weight::TooMany
        } else {
            Weight::Bearable
        };
        if class == Class::Delivered {
            self.health.last_success = Some(now);
        }
        let last_success = self.health.last_success;
        let max_tries = attempt.max_tries.unwrap_or_else(|| hook.max_tries());
        let line = self.line_mut(key.queue)?;
        let is_head = line.queue().is_head(key.offset);
        let has_failed = matches!(class, Class::Failed { .. } | Class::Busy { .. } | Class::Gone);
        let tried = line.ended(key.offset, class != Class::Ours, has_failed.then_some(now))?;
        let Tried { attempts, tries, first_failed } = tried;
        let facts = Facts {
            policy: &policy,
            hook: &hook,
            now,
            class,
            serves,
            weight,
            attempts,
            tries,
            max_tries,
            first_failed,
            last_success,
            is_head,
        };
        let verdict = facts.verdict(random);
        Some(Judged {
            class,
            verdict,
            is_probe,
            attempts,
            tries,
            tries_left: max_tries.saturating_sub(tries),
        })
    }

    /// Does with a delivery what was decided; see [`Line::conclude`]. `None`: the slot does not have the queue.
    pub(in crate::queues::engine) fn conclude(
        &mut self,
        key: JobKey,
        verdict: Verdict,
    ) -> Option<Vec<EventOffset>> {
        Some(self.line_mut(key.queue)?.conclude(key.offset, verdict))
    }

    /// Notes that retention dropped an event before it was delivered; the log begins at `first` now.
    pub(in crate::queues::engine) fn note_expired(&mut self, key: JobKey, first: EventOffset) {
        if let Some(line) = self.line_mut(key.queue) {
            line.note_expired(key.offset, first);
        }
    }

    /// The receiver asked for time: nothing is sent until it is over, and then one delivery goes first.
    pub(in crate::queues::engine) fn wait_as_asked(&mut self, now: Moment, retry_after: Duration) {
        // Each target of callflows is a different receiver: one of them does not hold up the others.
        if self.hook.one_shot || !self.serves() {
            return;
        }
        self.asked_until = self.asked_until.max(Some(now + retry_after));
        if self.trial == Trial::Off {
            self.trial = Trial::Due(After::AskedForTime);
        }
    }

    /// The probe has ended without a success: sets when the next one is due.
    pub(in crate::queues::engine) fn probe_failed(&mut self, class: Class, policy: &Policy, now: Moment) {
        let retry_after = match class {
            Class::Ours => return self.probe.set_due(now + OWN_FAULT_PROBE),
            // These results say nothing of the receiver. The time of the probe has passed, so the next delivery is tried now.
            Class::Delivered | Class::Skipped | Class::Expired | Class::Unsendable => return,
            Class::Shadow => return self.probe.set_due(now),
            Class::Gone => None,
            Class::Busy { retry_after } => Some(retry_after),
            Class::Failed { retry_after } => retry_after,
        };
        self.probe.back_off(policy, now, retry_after);
    }

    /// The probe cannot be made now: it is due again at this time.
    pub(in crate::queues::engine) fn put_off_probe(&mut self, due: Moment) {
        self.probe.set_due(due);
    }

    /// Whether the probe should start now.
    pub(in crate::queues::engine) fn is_probe_due(&self, now: Moment) -> bool {
        self.is_probed() && self.probe.is_due(now)
    }

    /// Takes note of the time: retries become ready, and suspects whose time is over are dead. `dead` gets the queue and the
    /// offset of each.
    pub(in crate::queues::engine) fn wake(
        &mut self,
        now: Moment,
        mut dead: impl FnMut(QueueKey, EventOffset),
    ) {
        self.asked_until = self.asked_until.filter(|until| *until > now);
        self.pace.wake(now);
        if self.is_open() {
            for line in self.lines_mut() {
                let key = line.key();
                line.wake(now).into_iter().for_each(|offset| dead(key, offset));
            }
        }
    }
}
