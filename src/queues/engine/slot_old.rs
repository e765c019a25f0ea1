//! A hook at work: its queue, its replays, its health and what it has under way.

use std::sync::Arc;

use crate::model::{Hook, QueueKey};
use crate::queues::ledger::revisions::Written;
use crate::queues::queue::Queue;
use crate::queues::rules::fate::{Fate, Totals};
use crate::queues::rules::pace::Pace;
use crate::queues::rules::permits::Claim;
use crate::queues::rules::policy::{Health, Policy, TOO_MANY_FAILURES};
use crate::queues::rules::replay::ReplayRun;
use crate::queues::rules::trial::Trial;

/// Deliveries in memory of a hook that makes none: enough for its probe. The rest is a place in the log.
const CLOSED_WINDOW: usize = 4;

/// A queue with its counts; the live one of a hook, or a replay's.
#[derive(Debug)]
pub(super) struct Line {
    /// The hook's key, or the replay's.
    pub(super) key: QueueKey,
    pub(super) queue: Queue,
    /// Whether the queue has looked at everything that the router has routed.
    pub(super) live: bool,
    /// Whether a read of the log is under way for it.
    pub(super) reading: bool,
    /// Whether what that read brings cannot be used: an account has become known since it began.
    pub(super) void_read: bool,
    /// Wanted and unsettled.
    pub(super) waiting: i64,
    /// Events below this offset are counted when read, not when routed.
    pub(super) uncounted_until: u64,
    /// How many have ended, and how.
    pub(super) totals: Totals,
    /// The last events that retention took before they were read: from, to.
    pub(super) gap: Option<(u64, u64)>,
    /// For a replay: what and how.
    pub(super) replay: Option<ReplayRun>,
}

impl Line {
    pub(super) fn new(key: QueueKey, queue: Queue, replay: Option<ReplayRun>) -> Self {
        Self {
            key,
            queue,
            live: false,
            reading: false,
            void_read: false,
            waiting: 0,
            uncounted_until: 0,
            totals: Totals::default(),
            gap: None,
            replay,
        }
    }

    /// Takes a delivery out for good and counts it.
    pub(super) fn settled(&mut self, offset: u64, fate: Fate) {
        if self.queue.settle(offset) {
            self.waiting -= 1;
            self.totals.count(fate);
        }
    }

    /// The hook works, for this delivery has arrived: what had used up its tries before is dead now, and what stands
    /// before it in its lane comes too late. In the order of the log.
    pub(super) fn too_late(&self, delivered: u64) -> Vec<u64> {
        let mut dead = self.queue.suspects_until(u64::MAX);
        dead.extend(self.queue.passed_by(delivered));
        dead.sort_unstable();
        dead.dedup();
        dead
    }

    /// The count of what waits, corrected where it is known exactly.
    pub(super) fn waiting(&self) -> u64 {
        if self.live && self.queue.drained_lane().is_none() && !self.queue.has_spilled() {
            return self.queue.len() as u64;
        }
        u64::try_from(self.waiting).unwrap_or(0).max(self.queue.len() as u64)
    }
}

/// Recovery of a disabled hook.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probe {
    /// When the next probe is due (µs). `None`: the hook is not probed.
    pub(super) due_us: Option<u64>,
    /// Probes made.
    pub(super) made: u16,
    /// The queue and offset of a probe under way.
    pub(super) under_way: Option<u64>,
}

/// How it stands with a hook's account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Whether the account is there and enabled.
    pub(super) enabled: bool,
    /// The system's policy with the limits that the account has.
    pub(super) policy: Policy,
}

/// One hook at work.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) hook: Arc<Hook>,
    /// Whether the hook's account is enabled.
    pub(super) account_enabled: bool,
    /// What follows from failures: the system's policy with the account's limits.
    pub(super) policy: Policy,
    /// The hook's own queue.
    pub(super) live_line: Line,
    /// The queues of its replays.
    pub(super) replays: Vec<Line>,
    pub(super) health: Health,
    pub(super) probe: Probe,
    /// Whether one delivery goes first.
    pub(super) trial: Trial,
    /// Until when the receiver asked for time (µs).
    pub(super) asked_until_us: Option<u64>,
    /// The hook's own pace.
    pub(super) pace: Pace,
    /// Its permits: attempts under way, replays included.
    pub(super) claim: Claim,
    /// The revision of the hook that the ledger has.
    pub(super) revision: Written,
    /// Which line goes first next time.
    pub(super) turn: usize,
    /// The hook was deleted; the slot goes when nothing of it is under way.
    pub(super) gone: bool,
    /// Its partition is being given up: nothing is started any more.
    pub(super) leaving: bool,
}

impl Slot {
    /// A hook that has done nothing yet, with its live queue.
    pub(super) fn new(hook: Arc<Hook>, claim: Claim, live: Line, standing: Standing) -> Self {
        Self {
            account_enabled: standing.enabled,
            policy: standing.policy,
            live_line: live,
            replays: Vec::new(),
            health: Health::default(),
            probe: Probe::default(),
            trial: Trial::default(),
            asked_until_us: None,
            pace: Pace::new(hook.rate_limit_per_s),
            claim,
            revision: Written::default(),
            turn: 0,
            gone: false,
            leaving: false,
            hook,
        }
    }

    /// Whether an offset of a queue can only come from a deleted hook that had the same id: this one was made after it.
    pub(super) fn is_of_former(&self, queue: QueueKey, offset: u64) -> bool {
        !matches!(queue, QueueKey::Replay(_)) && offset < self.hook.birth.events
    }

    /// Whether hook and account are enabled: what fails then counts.
    pub(super) fn serves(&self) -> bool {
        self.hook.enabled && self.account_enabled
    }

    /// Whether deliveries are made.
    pub(super) fn open(&self) -> bool {
        self.serves() && !self.hook.paused && !self.leaving
    }

    /// How many more deliveries a queue may take into memory, when its slot makes deliveries (`open`) or makes none.
    pub(super) fn room(open: bool, queue: &Queue) -> usize {
        let closed = CLOSED_WINDOW.saturating_sub(queue.len());
        if open { queue.room() } else { queue.room().min(closed) }
    }

    /// Whether a delivery could be started if permits, pace and trial allow it.
    pub(super) fn has_ready(&self) -> bool {
        self.open() && self.lines().any(|line| line.queue.has_ready())
    }

    /// Whether nothing of it is under way: no attempt, and no read of the log.
    pub(super) fn is_idle(&self) -> bool {
        self.claim.held() == 0 && !self.lines().any(|line| line.reading)
    }

    /// Whether the hook was deleted and nothing of it is under way: the slot goes.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.is_idle()
    }

    /// Gives every queue the hook's ordering. One with the rest of a lane in the log keeps its own until that has been read.
    pub(super) fn follow_ordering(&mut self) {
        let ordering = self.hook.ordering;
        for line in self.lines_mut().filter(|line| line.queue.ordering() != ordering) {
            line.queue.reorder(ordering);
        }
    }

    /// A queue that has looked at all that was routed is live from now on; any other reads on from the log.
    pub(super) fn catch_up(&mut self, routed: u64) {
        self.shrink();
        self.follow_ordering();
        for line in self.lines_mut() {
            line.live = line.replay.is_none() && (line.live || line.queue.next() >= routed);
        }
    }

    /// Gives up what a hook that gets nothing now has in memory; a read that is under way counts on it.
    pub(super) fn shrink(&mut self) {
        let is_open = self.open();
        for line in self.lines_mut().filter(|line| !is_open && !line.reading) {
            if line.queue.shrink(CLOSED_WINDOW, line.uncounted_until) {
                line.live = false;
            }
        }
    }

    /// Whether its recovery is tried for.
    pub(super) fn probes(&self) -> bool {
        let may = self.account_enabled && !self.hook.paused && !self.leaving;
        may && !self.hook.enabled && self.probe.due_us.is_some()
    }

    /// Whether its failures disabled it: such a hook is probed.
    pub(super) fn has_failed(&self) -> bool {
        !self.hook.enabled && self.hook.disable_reason.as_deref() == Some(TOO_MANY_FAILURES)
    }

    /// Probes have been switched on, and `first` is when the first one is due, or off. One whose time is set keeps it.
    pub(super) fn follow_probing(&mut self, first: Option<u64>) {
        if first.is_none() || (self.probe.due_us.is_none() && self.has_failed()) {
            self.probe.made = 0;
            self.probe.due_us = first;
        }
    }

    /// The live line, then those of the replays.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.live_line).chain(&self.replays)
    }

    /// The same, to be changed.
    pub(super) fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        std::iter::once(&mut self.live_line).chain(&mut self.replays)
    }

    /// The line whose turn it is: 0 is the live one, then those of the replays.
    pub(super) fn line_at(&mut self, turn: usize) -> Option<&mut Line> {
        match turn.checked_sub(1) {
            None => Some(&mut self.live_line),
            Some(at) => self.replays.get_mut(at),
        }
    }

    /// The line of a queue.
    pub(super) fn line(&mut self, key: QueueKey) -> Option<&mut Line> {
        self.lines_mut().find(|l| l.key == key)
    }

    /// How many deliveries wait, with those under way.
    pub(super) fn waiting(&self) -> u64 {
        self.lines().map(Line::waiting).sum()
    }

    /// Earliest time at which something is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        let probe = self.probe.due_us.filter(|_| self.probes() && self.probe.under_way.is_none());
        let lines = self.lines().filter_map(|l| l.queue.next_due());
        let paces = self.lines().filter_map(|l| l.replay.as_ref()?.pace.due());
        let open = if self.open() {
            lines.chain(paces).chain(self.pace.due()).chain(self.asked_until_us).min()
        } else {
            None
        };
        probe.into_iter().chain(open).min()
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::model::{AccountId, Ordering};
    use crate::queues::queue::entry::Limits;
    use crate::queues::rules::permits::Permits;
    use crate::queues::testing::{POLICY, hook};

    /// The slot of a plain hook whose queue is empty.
    pub(in super::super) fn slot(id: u128) -> Slot {
        let hook = Arc::new(hook(id));
        let places = Permits::new(8, 8, 1).places_of(&hook, AccountId::default());
        let queue = Queue::new(Limits { window: 8, lane: 8 }, Ordering::Subject, 0);
        let line = Line::new(QueueKey::of(&hook), queue, None);
        Slot::new(hook, Claim::new(places), line, Standing { enabled: true, policy: POLICY })
    }
}
