//! Reads of the log for lines that are behind: they are started in threads, and what they bring goes into the lines.

use super::Engine;
use super::desk::Desk;
use super::line::reading::Reach;
use super::log_read::{ReadDone, ReadRun};
use super::slot::Slot;
use super::slots::SlotId;
use crate::model::Gap;
use crate::queues::ledger::record::LedgerRecord;

impl Engine {
    /// Starts the reads that may be made now.
    pub(super) fn start_reads(&mut self) {
        while let Some(run) = self.next_reads() {
            self.read_threads.start(run);
        }
    }

    /// The reads that one more thread should make. `None`: there are none, or as many threads read as may.
    pub(super) fn next_reads(&mut self) -> Option<ReadRun> {
        let requests = self.desk.reads.next(self.desk.options.max_reads)?;
        let (events, budget) = (self.desk.events.clone(), self.desk.budget.clone());
        Some(ReadRun { requests, events, accounts: self.accounts_for_reads(), budget })
    }

    /// A read has ended.
    pub(super) fn read_done(&mut self, done: ReadDone) {
        if done.last {
            self.desk.reads.ended();
        }
        // A replay may have been cancelled meanwhile. A hook's slot stays until its reads have ended.
        let Some(id) = self.slots.owner(done.queue) else { return };
        self.slots.touch(&mut self.desk, id, |desk, slot| take_read(desk, id, slot, done));
    }
}

fn take_read(desk: &mut Desk, id: SlotId, slot: &mut Slot, done: ReadDone) {
    let (queue, offset) = (done.queue, done.from);
    let reach = Reach { first: desk.events.first(), routed: desk.owned.routed_to(slot.partition()) };
    match slot.take_read(done, reach) {
        None => desk.defect("a read was made for a queue that its slot does not have", queue),
        Some(Ok(None)) => {}
        Some(Ok(Some(Gap { from, until: to }))) => {
            tracing::warn!(queue = %queue.id(), from = from.0, to = to.0, "retention dropped events before this hook had read them");
            let record = LedgerRecord::Gap { queue: queue.id(), from, to };
            desk.ledger.push(slot.hook().id.tag(), desk.time.wall(), &record);
        }
        Some(Err(error)) => {
            tracing::error!(queue = %queue.id(), from = offset.0, %error, "events log cannot be read");
            desk.reads.failed(id);
        }
    }
}
