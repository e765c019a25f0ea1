//! The desk: everything that a change of one slot may use beside the slot itself. No other slot is on it.
//!
//! Each part has its own file and keeps its fields to itself. Steps of the engine take the desk; the functions below them
//! take only the parts that they need.

use std::sync::Arc;

use rand::rngs::SmallRng;
use tokio::sync::mpsc;

use super::decisions::Decisions;
use super::defect::defect;
use super::directory::Directory;
use super::keeper::Action;
use super::line::image::Origin;
use super::options::QueueOptions;
use super::owned::Owned;
use super::permits::Permits;
use super::reads::Reads;
use super::slot::{Slot, Standing};
use super::slots::SlotId;
use super::time::Time;
use super::timers::Timers;
use super::unclaimed::Unclaimed;
use crate::log::ReaderOf;
use crate::model::{AccountId, EventOffset, Hook, Job, Moment};
use crate::queues::ledger::recovered_queue::RecoveredQueue;
use crate::queues::ledger::tally::Tally;
use crate::queues::ledger::writer::Ledger;
use crate::queues::queue::kept::Budget;
use crate::queues::queue::window::WindowLimits;
use crate::queues::rules::permits::Holders;
use crate::queues::rules::policy::{longest_delay, probe_delay};

/// What a change of a slot may use.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) options: QueueOptions,
    pub(super) time: Time,
    /// Spreads retries.
    pub(super) random: SmallRng,
    /// Accounts and documents.
    pub(super) directory: Arc<dyn Directory>,
    pub(super) events: ReaderOf<EventOffset>,
    pub(super) ledger: Ledger,
    pub(super) decisions: Decisions,
    /// The partitions of this engine, and how far the log has been routed.
    pub(super) owned: Owned,
    /// Queues that the ledger knows and that have no slot.
    pub(super) unclaimed: Unclaimed,
    pub(super) permits: Permits,
    /// Where attempts are made.
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) timers: Timers,
    pub(super) reads: Reads,
    /// Memory for records.
    pub(super) budget: Budget,
    pub(super) tally: Arc<Tally>,
}

impl Desk {
    /// Reports that something is not as it must be.
    pub(super) fn defect(&self, what: &str, found: impl std::fmt::Debug) {
        defect(&self.tally, what, found);
    }

    /// The bounds of a queue's memory.
    pub(super) fn limits(&self) -> WindowLimits {
        WindowLimits { window: self.options.window, lane: self.options.lane }
    }

    /// Whether an account's hooks get deliveries now, and what follows from their failures.
    pub(super) fn standing(&self, account: AccountId) -> Standing {
        let (is_enabled, limits) = self.directory.standing(account);
        Standing::new(is_enabled, self.options.policy.with(limits))
    }

    /// Where the permits of a hook are counted.
    pub(super) fn holders_of(&self, hook: &Hook) -> Holders {
        self.permits.holders_of(hook, self.directory.tenant_of(hook.account))
    }

    /// What a queue of a hook is restored from.
    pub(super) fn origin<'a>(
        &self,
        hook: &'a Hook,
        recovered: Option<&'a RecoveredQueue>,
        start: EventOffset,
    ) -> Origin<'a> {
        let longest_delay = longest_delay(&self.options.policy, hook);
        Origin { limits: self.limits(), hook, recovered, start, now: self.time.now(), longest_delay }
    }

    /// When a hook is probed first that failures disable now. `None`: hooks are not probed.
    pub(super) fn first_probe(&self) -> Option<Moment> {
        probe_delay(&self.options.policy, 0, None).map(|delay| self.time.now() + delay)
    }

    /// Writes to the ledger that everything which waits in a slot has its tries again.
    pub(super) fn note_refreshed(&mut self, slot: &Slot) {
        let wall = self.time.wall();
        for record in slot.refreshed() {
            self.ledger.push(slot.hook().id.tag(), wall, &record);
        }
    }

    /// The account of a slot's hook may have changed: the slot follows.
    pub(super) fn follow_account(&mut self, slot: &mut Slot) {
        let standing = self.standing(slot.hook().account);
        if slot.follow_standing(standing, self.owned.routed_to(slot.partition())) {
            self.note_refreshed(slot);
        }
    }

    /// Ends the replays of a slot whose range is settled, or `all` of them, and passes their ends on to the keeper.
    pub(super) fn end_replays(&mut self, slot: &mut Slot, all: bool) {
        for (_, job) in slot.end_replays(all, self.time.wall()) {
            self.decisions.add(Action::ReplayEnded(job));
        }
    }

    /// Asks for the reads of the log that a slot needs now, unless its last read has just failed.
    pub(super) fn ask_for_reads(&mut self, id: SlotId, slot: &mut Slot) {
        // Otherwise a disk that fails would be read again after every change of the slot. It is asked again after
        // the next tick.
        if self.reads.has_failed(id) {
            return;
        }
        let (routed, is_scarce) = (self.owned.routed_to(slot.partition()), self.budget.is_scarce());
        slot.ask_for_reads(routed, is_scarce, |request| self.reads.add(request));
    }
}
