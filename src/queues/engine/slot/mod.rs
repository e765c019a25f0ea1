//! A slot: one hook at work, with its live line, its replays, its health and its permits.
//!
//! The fields are private, and the methods say what happens to the hook. What follows from a change outside of the slot
//! (turns, timers, reads) is the concern of `Slots::touch` alone.

pub(super) mod attempts;
mod changes;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::line::reading::{Circumstances, Reach};
use super::line::{Line, Routed};
use super::log_read::{ReadDone, ReadRequest};
use super::probe::Probe;
use crate::log::ReadError;
use crate::model::{EventOffset, Gap, Hook, Moment, QueueKey, QueueState, ReplayStatus, WallTime};
use crate::queues::ledger::record::{LedgerRecord, QueueImage};
use crate::queues::ledger::revisions::Written;
use crate::queues::queue::kept::Budget;
use crate::queues::rules::pace::Pace;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::permits::Claim;
use crate::queues::rules::policy::{Health, Policy, TOO_MANY_FAILURES};
use crate::queues::rules::trial::Trial;

/// What a hook's account means for the hook.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    is_enabled: bool,
    policy: Policy,
}

impl Standing {
    /// Whether the account exists and is enabled; and the system's policy with the account's own limits.
    pub(super) fn new(is_enabled: bool, policy: Policy) -> Self {
        Self { is_enabled, policy }
    }
}

/// One hook at work.
#[derive(Debug)]
pub(super) struct Slot {
    hook: Arc<Hook>,
    standing: Standing,
    live_line: Line,
    replays: Vec<Line>,
    health: Health,
    probe: Probe,
    trial: Trial,
    /// The receiver asked for time until then.
    asked_until: Option<Moment>,
    /// The hook's rate limit.
    pace: Pace,
    /// Its permits: attempts under way, replays included.
    claim: Claim,
    /// The revision of the hook that the ledger has.
    revision: Written,
    /// Whether a replay that has ended left dead deliveries.
    dead_of_ended_replays: bool,
    /// Which line goes first next time: 0 is the live line, then come the replays.
    turn: usize,
    /// The hook was deleted; the slot ends when nothing of it is under way.
    gone: bool,
    /// Its partition moves to another shard: nothing is started any more.
    leaving: bool,
}

impl Slot {
    /// A hook that has done nothing yet.
    pub(super) fn new(hook: Arc<Hook>, claim: Claim, live_line: Line, standing: Standing) -> Self {
        Self {
            standing,
            live_line,
            replays: Vec::new(),
            health: Health::default(),
            probe: Probe::default(),
            trial: Trial::default(),
            asked_until: None,
            pace: Pace::new(hook.rate_limit_per_s),
            claim,
            revision: Written::default(),
            dead_of_ended_replays: false,
            turn: 0,
            gone: false,
            leaving: false,
            hook,
        }
    }

    /// The hook, as the engine knows it now.
    pub(super) fn hook(&self) -> &Arc<Hook> {
        &self.hook
    }

    /// The hook's partition.
    pub(super) fn partition(&self) -> Partition {
        Partition::of(self.hook.id)
    }

    /// Its permits, to look at.
    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Its permits, for the parts of the engine that give and take them.
    pub(super) fn claim_mut(&mut self) -> &mut Claim {
        &mut self.claim
    }

    /// Whether the hook was deleted.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether its partition moves to another shard.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether an offset of a queue can only come from a deleted hook that had the same id: this hook was made after it.
    pub(super) fn is_of_former(&self, queue: QueueKey, offset: EventOffset) -> bool {
        !matches!(queue, QueueKey::Replay(_)) && offset < self.hook.birth.events
    }

    /// Whether hook and account are enabled. While they are, failures count.
    pub(super) fn serves(&self) -> bool {
        self.hook.enabled && self.standing.is_enabled
    }

    /// Whether the hook gets deliveries.
    pub(super) fn is_open(&self) -> bool {
        self.serves() && !self.hook.paused && !self.leaving
    }

    /// Whether its failures have disabled it. Only such a hook is probed.
    pub(super) fn has_failed(&self) -> bool {
        !self.hook.enabled && self.hook.disable_reason.as_deref() == Some(TOO_MANY_FAILURES)
    }

    /// Whether a person may have it probed: it has failed, and neither the hook is paused nor its account disabled.
    pub(super) fn may_be_probed(&self) -> bool {
        self.has_failed() && !self.hook.paused && self.standing.is_enabled
    }

    /// Whether it is probed now and then.
    pub(super) fn is_probed(&self) -> bool {
        let may = self.standing.is_enabled && !self.hook.paused && !self.leaving;
        may && !self.hook.enabled && self.probe.due().is_some()
    }

    /// Whether an attempt could start if permits, pace and trial allow it.
    pub(super) fn has_ready(&self) -> bool {
        self.is_open() && self.lines().any(|line| line.queue().has_ready())
    }

    /// Whether nothing of it is under way: no attempt, and no read of the log.
    pub(super) fn is_idle(&self) -> bool {
        self.claim.held() == 0 && !self.lines().any(Line::is_reading)
    }

    /// Whether the slot ends now: its hook was deleted, and nothing of it is under way.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.is_idle()
    }

    /// The hook's own line.
    pub(super) fn live_line(&self) -> &Line {
        &self.live_line
    }

    /// The replays' lines.
    pub(super) fn replays(&self) -> &[Line] {
        &self.replays
    }

    /// Whether a delivery has died in a replay.
    pub(super) fn has_dead_of_replays(&self) -> bool {
        self.dead_of_ended_replays || self.replays.iter().any(|line| line.totals().dead > 0)
    }

    /// The live line, then the replays'.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.live_line).chain(&self.replays)
    }

    fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        std::iter::once(&mut self.live_line).chain(&mut self.replays)
    }

    fn line_mut(&mut self, key: QueueKey) -> Option<&mut Line> {
        self.lines_mut().find(|line| line.key() == key)
    }

    /// How many deliveries are not settled.
    pub(super) fn waiting(&self) -> u64 {
        self.lines().map(Line::waiting).sum()
    }

    /// Recent failures that count at this time.
    pub(super) fn recent_failures(&self, now: Moment) -> u32 {
        self.health.recent(&self.standing.policy, now)
    }

    /// When the next retry or probe starts, as the API shows it.
    pub(super) fn next_try(&self) -> Option<Moment> {
        let probe = || self.probe.due().filter(|_| self.is_probed());
        if self.is_open() { self.live_line.queue().next_try() } else { probe() }
    }

    /// The state of the hook's queue, as the API shows it.
    pub(super) fn state(&self) -> QueueState {
        match (self.is_open(), &self.hook.disable_reason) {
            (false, _) if !self.standing.is_enabled => QueueState::AccountDisabled,
            (false, _) if self.hook.enabled => QueueState::Paused,
            (false, Some(_)) => QueueState::AutoDisabled,
            (false, None) => QueueState::Disabled,
            (true, _) if self.live_line.waiting() == 0 => QueueState::Idle,
            (true, _) if self.claim.held() == 0 && self.next_try().is_some() => QueueState::Retrying,
            (true, _) => QueueState::Active,
        }
    }

    /// How the replays stand that are under way.
    pub(super) fn replay_statuses(&self) -> Vec<ReplayStatus> {
        self.replays.iter().filter_map(Line::replay_status).collect()
    }

    /// When the slot has to be looked at next.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let probe = self.probe.next().filter(|_| self.is_probed());
        let of_open = self.lines().filter_map(Line::next_due).chain(self.pace.due()).chain(self.asked_until);
        let open = if self.is_open() { of_open.min() } else { None };
        probe.into_iter().chain(open).min()
    }

    /// An event has been routed to the hook. Events below `begin` had been routed before this engine owned the hook.
    pub(super) fn offer(&mut self, event: &Routed<'_>, begin: EventOffset, budget: &Budget) {
        if event.offset >= self.hook.start_offset.max(begin) {
            let is_open = self.is_open();
            self.live_line.offer(event, is_open, budget);
        }
    }

    /// An event is routed late, because its account has only now become known.
    pub(super) fn offer_late(&mut self, offset: EventOffset, subject: u64) {
        if offset >= self.hook.start_offset {
            let is_open = self.is_open();
            self.live_line.offer_late(offset, subject, is_open);
        }
    }

    /// Retention has dropped events that were to be routed next; see [`Line::fall_behind`].
    pub(super) fn fall_behind(&mut self, before: EventOffset, routed: EventOffset) {
        self.live_line.fall_behind(before, routed);
    }

    /// Asks for the reads that its lines need now. Each of them is under way from here on.
    pub(super) fn ask_for_reads(
        &mut self,
        routed: EventOffset,
        is_scarce: bool,
        mut ask: impl FnMut(ReadRequest),
    ) {
        let is_open = self.is_open();
        // A probed hook needs its oldest delivery in memory, and no more.
        if self.gone || !(is_open || self.is_probed()) {
            return;
        }
        let now = Circumstances { is_open, is_scarce, routed };
        let Self { live_line, replays, hook, .. } = self;
        for line in std::iter::once(live_line).chain(replays) {
            if let Some(request) = line.ask_for_read(hook, now) {
                ask(request);
            }
        }
    }

    /// A read for one of its lines has ended; see [`Line::take_read`]. `None`: the slot has no such line.
    pub(super) fn take_read(
        &mut self,
        done: ReadDone,
        reach: Reach,
    ) -> Option<Result<Option<Gap>, ReadError>> {
        // A read of the deleted hook began below the new one's birth.
        let is_of_former = self.is_of_former(done.queue, done.from);
        let taken = self.line_mut(done.queue)?.take_read(done, reach, is_of_former);
        self.shrink();
        Some(taken)
    }

    /// Gives up memory if the hook gets no deliveries now.
    pub(super) fn shrink(&mut self) {
        if !self.is_open() {
            self.lines_mut().for_each(Line::shrink);
        }
        if !self.hook.enabled {
            self.lines_mut().for_each(Line::forget_tries);
        }
    }

    /// Orders every line as the hook asks for; a line whose lane has a rest in the log keeps its ordering until then.
    pub(super) fn follow_ordering(&mut self) {
        let ordering = self.hook.ordering;
        self.lines_mut().for_each(|line| line.follow_ordering(ordering));
    }

    /// Every line is brought up to the hook as it is now. Everything below `routed` has been routed.
    pub(super) fn catch_up(&mut self, routed: EventOffset) {
        self.shrink();
        self.follow_ordering();
        self.lines_mut().for_each(|line| line.catch_up(routed));
    }

    /// The images of its lines for a checkpoint, one for each line that needs one.
    pub(super) fn images(&self, routed: EventOffset) -> impl Iterator<Item = QueueImage> {
        let has_failures = self.health.failures().len() > 0;
        let named = self.lines().filter(move |line| line.needs_image() || has_failures);
        named.map(move |line| {
            let mut image = line.image(&self.hook, routed);
            if line.replay().is_none() {
                image.failures = self.health.failures().collect();
            }
            image
        })
    }

    /// The ledger's record of the hook's revision, if an attempt that is made now needs it there first.
    pub(super) fn new_revision(&mut self, wall: WallTime) -> Option<LedgerRecord> {
        self.revision.renewed(&self.hook, wall)
    }
}
