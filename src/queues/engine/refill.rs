//! Queues are read for: one that is behind, or has a lane that had spilled, gets its next events from the log.

use std::sync::Arc;

use super::Engine;
use super::log_read::{Found, ReadDone, ReadRequest, ReadRun, STOCK};
use super::slot::{Line, Slot};
use super::slots::SlotId;
use crate::model::Hook;
use crate::queues::ledger::record::LedgerRecord;
use crate::queues::queue::entry::Taken;
use crate::queues::rules::replay::ReplayRun;

/// Deliveries of a queue whose records are kept when memory is scarce; what waits behind them is not soon needed.
const KEPT: usize = 4 * STOCK;
/// Events that one read brings at most, for a queue and for the rest of a lane.
const MOST: usize = 1024;
const MOST_OF_LANE: usize = 256;

/// What a queue may be read for.
#[derive(Debug, Clone, Copy)]
struct Need {
    /// Events that it has room for.
    room: usize,
    /// Everything below has been routed.
    routed: u64,
    /// Whether records are kept.
    keep: bool,
}

impl Engine {
    /// Asks for a read for every queue of a slot that has room and is behind.
    pub(super) fn want_reads(&mut self, id: SlotId, slot: &mut Slot) {
        let open = slot.open();
        if slot.gone || !(open || slot.probes()) || self.reads.has_failed(id) {
            return;
        }
        let (routed, scarce) = (self.routed_to(slot.hook.id), self.budget.is_scarce());
        let Slot { live_line, replays, hook, .. } = slot;
        for line in std::iter::once(live_line).chain(replays) {
            let room = Slot::room(open, &line.queue);
            if line.reading || room == 0 || (scarce && line.queue.is_stocked(STOCK)) {
                continue;
            }
            let need = Need { room, routed, keep: open && keeps(line, scarce) };
            if let Some(request) = request(line, hook, need) {
                line.reading = true;
                self.reads.want(request);
            }
        }
    }

    /// Starts the reads that may be made now, each share in a thread.
    pub(super) fn start_reads(&mut self) {
        while let Some(run) = self.next_reads() {
            let answer = self.reads_tx.clone();
            // Dropped when the engine has ended: nobody waits for it then.
            drop(self.tasks.spawn_blocking(move || run.make(|done| answer.blocking_send(done).is_ok())));
        }
    }

    /// The reads that one more thread is to make; none when there are as many threads as there may be.
    pub(super) fn next_reads(&mut self) -> Option<ReadRun> {
        let requests = self.reads.next(self.options.max_reads)?;
        let (events, budget) = (self.events.clone(), self.budget.clone());
        Some(ReadRun { requests, events, accounts: self.accounts_for_reads(), budget })
    }

    /// Puts what was read into its queue.
    pub(super) fn read_done(&mut self, done: ReadDone) {
        if done.last {
            self.reads.ended();
        }
        // A replay may have been cancelled meanwhile.
        let Some(id) = self.slots.owner(done.queue) else { return };
        self.touch(id, |engine, slot| engine.take_read(id, slot, done));
    }

    fn take_read(&mut self, id: SlotId, slot: &mut Slot, done: ReadDone) {
        let (first, hook) = (self.events.first(), slot.hook.id);
        let (routed, tag) = (self.routed_to(hook), hook.tag());
        let is_of_former = slot.is_of_former(done.queue, done.from);
        let Some(line) = slot.line(done.queue) else {
            return self.defect("a read was made for a queue that its slot does not have", done.queue);
        };
        line.reading = false;
        if std::mem::take(&mut line.void_read) || is_of_former {
            return;
        }
        let found = match done.found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(queue = %done.queue.id(), from = done.from, %error, "events log cannot be read");
                self.reads.failed(id);
                return slot.shrink();
            }
        };
        let begin = if done.lane.is_some() { done.from } else { line.queue.next() };
        let gap = (done.from < first && begin < first).then_some((begin, first));
        line.gap = gap.or(line.gap);
        if let Some(lane) = done.lane {
            let found = found.into_iter().map(|event| (event.offset, event.record)).collect();
            line.queue.take_spilled(lane, found, done.next);
        } else {
            if take_all(line, found) != Taken::Full {
                line.queue.skip_to(done.next);
            }
            line.live = line.replay.is_none() && line.queue.next() >= routed;
        }
        slot.shrink();
        if let Some((from, to)) = gap {
            tracing::warn!(queue = %done.queue.id(), from, to, "retention dropped events before this hook had read them");
            let record = LedgerRecord::Gap { queue: done.queue.id(), from, to };
            self.ledger.push(tag, self.clock.now_us(), &record);
        }
    }
}

/// Whether a line's next records are kept in memory: when it is scarce, only those that are soon delivered.
pub(super) fn keeps(line: &Line, scarce: bool) -> bool {
    line.replay.as_ref().is_none_or(ReplayRun::runs) && !(scarce && line.queue.len() >= KEPT)
}

fn request(line: &Line, hook: &Arc<Hook>, need: Need) -> Option<ReadRequest> {
    let Need { room, routed, keep } = need;
    let request = |lane, from, until, max| ReadRequest {
        queue: line.key,
        lane,
        from,
        until,
        max,
        hook: hook.clone(),
        replay: line.replay.clone(),
        ordering: line.queue.ordering(),
        keep,
    };
    let queue = &line.queue;
    if let Some((lane, from, until)) = queue.drained_lane() {
        return Some(request(Some(lane), from, until, room.min(MOST_OF_LANE)));
    }
    let until = line.replay.as_ref().map_or(routed, |run| run.job.until);
    let behind = !line.live && queue.next() < until;
    (behind && queue.wants_more()).then(|| request(None, queue.next(), until, room.min(MOST)))
}

/// Takes events into a queue, as far as it has room; `Full` when some found none.
fn take_all(line: &mut Line, found: Vec<Found>) -> Taken {
    for event in found {
        let uncounted = event.offset < line.uncounted_until && event.offset >= line.queue.next();
        match line.queue.take(event.offset, event.subject, event.record) {
            Taken::Full => return Taken::Full,
            Taken::Waiting | Taken::Spilled | Taken::Settled if uncounted => line.waiting += 1,
            Taken::Waiting | Taken::Spilled | Taken::Settled => {}
        }
    }
    Taken::Waiting
}
