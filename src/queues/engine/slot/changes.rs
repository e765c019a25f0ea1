//! A slot follows its hook's document, its account and the orders of people.
//!
//! When a change makes everything ready again, the method says so, and its caller writes [`Slot::refreshed`] to the ledger:
//! otherwise a restart would count the old tries.

use std::sync::Arc;

use super::super::line::Line;
use super::super::probe::Probe;
use super::{Slot, Standing};
use crate::model::{EventOffset, Hook, Moment, QueueKey, ReplayState, ReplayStatus, WallTime};
use crate::queues::ledger::record::LedgerRecord;
use crate::queues::ledger::revisions::Written;
use crate::queues::rules::pace::Pace;
use crate::queues::rules::policy::{DisableReason, Health};
use crate::queues::rules::replay::ReplayJob;
use crate::queues::rules::trial::{After, Trial};

/// How a replay stood when it ended, and its job with the end in it.
pub(in crate::queues::engine) type EndedReplay = (ReplayStatus, Arc<ReplayJob>);

impl Slot {
    /// Puts back what the ledger and the document say of a hook's failures.
    pub(in crate::queues::engine) fn restore(
        &mut self,
        failures: &[Moment],
        now: Moment,
        first_probe: Option<Moment>,
    ) {
        for failure in failures {
            self.health.restore(*failure, now);
        }
        self.probe = Probe::first(first_probe.filter(|_| self.has_failed()));
    }

    /// The hook's document has changed. `first_probe` is when a hook is probed that failures have disabled now. True: the
    /// hook was enabled, and everything that waited is ready ([`Self::refreshed`]).
    pub(in crate::queues::engine) fn change_hook(
        &mut self,
        hook: &Arc<Hook>,
        routed: EventOffset,
        first_probe: Option<Moment>,
    ) -> bool {
        let old = std::mem::replace(&mut self.hook, Arc::clone(hook));
        if hook.rate_limit_per_s != old.rate_limit_per_s {
            self.pace = Pace::new(hook.rate_limit_per_s);
        }
        // It was another receiver that asked for time.
        if hook.uri != old.uri {
            self.asked_until = None;
        }
        if hook.start_offset > old.start_offset {
            self.live_line.restart_at(hook.start_offset, routed);
        }
        let is_resumed = hook.enabled && !old.enabled;
        if is_resumed {
            self.try_one_first();
            self.resume();
        } else if !hook.enabled {
            self.probe.follow_document(hook.disable_reason.as_deref(), first_probe);
            self.lines_mut().for_each(Line::release_suspects);
        }
        self.catch_up(routed);
        is_resumed
    }

    /// The hook's account, or its limits of failures, may have changed. True: the account was enabled, and everything that
    /// waited is ready ([`Self::refreshed`]).
    pub(in crate::queues::engine) fn follow_standing(
        &mut self,
        standing: Standing,
        routed: EventOffset,
    ) -> bool {
        let before = std::mem::replace(&mut self.standing, standing);
        if before.is_enabled == standing.is_enabled {
            return false;
        }
        if self.is_open() {
            self.try_one_first();
            self.resume();
            return true;
        }
        self.lines_mut().for_each(Line::release_suspects);
        self.catch_up(routed);
        false
    }

    /// A receiver that may still be down is to cost one attempt, not as many as deliveries wait.
    fn try_one_first(&mut self) {
        if self.waiting() > 0 {
            self.trial = Trial::Due(After::Disabled);
        }
    }

    /// The hook is enabled: everything that waits has its tries again and is ready.
    fn resume(&mut self) {
        self.health.reset();
        self.asked_until = None;
        self.probe = Probe::default();
        self.lines_mut().for_each(Line::refresh);
    }

    /// The ledger's records that everything which waits has its tries again, one for each line.
    pub(in crate::queues::engine) fn refreshed(&self) -> impl Iterator<Item = LedgerRecord> {
        self.lines().map(|line| LedgerRecord::Refreshed { queue: line.key().id() })
    }

    /// The queues disable the hook; its position in the log is kept.
    pub(in crate::queues::engine) fn disable(&mut self, reason: DisableReason, first_probe: Option<Moment>) {
        let mut hook = (*self.hook).clone();
        hook.enabled = false;
        hook.disable_reason = Some(reason.text().to_owned());
        self.hook = Arc::new(hook);
        self.health.reset();
        self.lines_mut().for_each(Line::release_suspects);
        self.trial = Trial::Off;
        self.probe = Probe::first(first_probe.filter(|_| self.has_failed()));
    }

    /// The queues enable the hook again, because its probe was delivered. Everything that waited is ready
    /// ([`Self::refreshed`]).
    pub(in crate::queues::engine) fn enable(&mut self) {
        let mut hook = (*self.hook).clone();
        hook.enabled = true;
        hook.disable_reason = None;
        self.hook = Arc::new(hook);
        self.resume();
    }

    /// The hook was deleted. The slot ends when nothing of it is under way; until then a result finds it.
    pub(in crate::queues::engine) fn delete(&mut self) {
        let mut hook = (*self.hook).clone();
        hook.enabled = false;
        self.hook = Arc::new(hook);
        self.probe = Probe::default();
        self.gone = true;
    }

    /// A deleted hook is made again under its id while something of the deleted one is under way: the slot is the new
    /// hook's from now on. Permits and replays of the deleted hook end with their attempts; the rest begins afresh.
    pub(in crate::queues::engine) fn make_again(
        &mut self,
        new: &Arc<Hook>,
        line: Line,
        new_standing: Standing,
    ) {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self { hook, standing, health, probe, trial, asked_until, pace, revision, turn, gone, .. } = self;
        (*hook, *standing) = (Arc::clone(new), new_standing);
        (*health, *probe, *trial, *asked_until) = (Health::default(), Probe::default(), Trial::Off, None);
        (*pace, *revision) = (Pace::new(new.rate_limit_per_s), Written::default());
        (*turn, *gone) = (0, false);
        self.live_line.replace(line);
    }

    /// The slot's partition begins to move to another shard.
    pub(in crate::queues::engine) fn leave(&mut self) {
        self.leaving = true;
    }

    /// The slot's partition is another shard's from now on: the slot ends here.
    pub(in crate::queues::engine) fn let_go(&mut self) {
        self.gone = true;
    }

    /// Forgets the failures that count at this time; whether there were any.
    pub(in crate::queues::engine) fn reset_failures(&mut self, now: Moment) -> bool {
        let had_some = self.recent_failures(now) > 0;
        if had_some {
            self.health.reset();
        }
        had_some
    }

    /// A person asks for the probe now; whether the hook may be probed.
    pub(in crate::queues::engine) fn probe_now(&mut self, now: Moment) -> bool {
        let may = self.may_be_probed();
        if may {
            self.probe.set_due(now);
        }
        may
    }

    /// Probing was switched on or off in the configuration; see [`Probe::follow_configuration`].
    pub(in crate::queues::engine) fn follow_probing(&mut self, first_probe: Option<Moment>) {
        self.probe.follow_configuration(self.has_failed(), first_probe);
    }

    /// Whether the slot has this replay.
    pub(in crate::queues::engine) fn has_replay(&self, key: QueueKey) -> bool {
        self.replays.iter().any(|line| line.key() == key)
    }

    /// Begins a replay.
    pub(in crate::queues::engine) fn add_replay(&mut self, line: Line) {
        self.replays.push(line);
    }

    /// A replay pauses or continues, as its job says. `None`: the slot does not have it, or it has ended.
    pub(in crate::queues::engine) fn set_replay_job(&mut self, job: &Arc<ReplayJob>) -> Option<ReplayStatus> {
        self.line_mut(QueueKey::Replay(job.id))?.set_job(job)
    }

    /// Ends a replay at this time of day. What of it is under way ends first; nothing more is started. `None`: the slot does
    /// not have it, or it has ended before.
    pub(in crate::queues::engine) fn end_replay(
        &mut self,
        key: QueueKey,
        how: ReplayState,
        wall: WallTime,
    ) -> Option<EndedReplay> {
        self.line_mut(key)?.end(how, wall)
    }

    /// Ends the replays whose range is settled, or with `all` every replay of a deleted hook.
    pub(in crate::queues::engine) fn end_replays(&mut self, all: bool, wall: WallTime) -> Vec<EndedReplay> {
        let how = if all { ReplayState::Cancelled } else { ReplayState::Done };
        let ends = self.replays.iter_mut().filter(|line| all || line.has_settled_range());
        ends.filter_map(|line| line.end(how, wall)).collect()
    }

    /// A replay that has ended left dead deliveries.
    pub(in crate::queues::engine) fn note_dead_of_replays(&mut self) {
        self.dead_of_ended_replays = true;
    }

    /// Takes out the replays that have ended and have nothing under way.
    pub(in crate::queues::engine) fn take_over_replays(&mut self) -> Vec<Line> {
        let over: Vec<Line> = self.replays.extract_if(.., |line| line.is_over()).collect();
        if !over.is_empty() {
            // Their last attempts may have ended after the replays themselves.
            self.dead_of_ended_replays |= over.iter().any(|line| line.totals().dead > 0);
            self.turn = 0;
        }
        over
    }
}
