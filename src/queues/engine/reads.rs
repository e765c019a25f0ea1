//! The reads of the log that lines wait for. They are made in order, in a bounded number of threads at a time.

use std::collections::VecDeque;

use super::log_read::ReadRequest;
use super::slots::SlotId;

/// Reads that one thread makes in a row when many wait. Waking a thread costs as much as reading some records.
const IN_A_ROW: usize = 8;

/// Reads that wait, and threads that read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: VecDeque<ReadRequest>,
    threads: usize,
    /// Slots whose read has failed. They ask again later.
    failed: Vec<SlotId>,
}

impl Reads {
    /// Adds a read, which is made after all earlier ones.
    pub(super) fn add(&mut self, request: ReadRequest) {
        self.waiting.push_back(request);
    }

    /// The reads that one more thread should make, of at most `most` threads. When the thread has made them, [`Self::ended`]
    /// is called. `None`: nothing waits, or `most` threads read already.
    pub(super) fn next(&mut self, most: usize) -> Option<Vec<ReadRequest>> {
        if self.threads >= most || self.waiting.is_empty() {
            return None;
        }
        // Shared out among all threads that may read, so that a short list is not made by one thread alone.
        let share = self.waiting.len().div_ceil(most).min(IN_A_ROW);
        self.threads += 1;
        Some(self.waiting.drain(..share).collect())
    }

    /// A thread has made its last read.
    pub(super) fn ended(&mut self) {
        self.threads = self.threads.saturating_sub(1);
    }

    /// A read for a slot has failed. Nothing is read for the slot until [`Self::take_failed`] returns it.
    pub(super) fn failed(&mut self, id: SlotId) {
        if !self.has_failed(id) {
            self.failed.push(id);
        }
    }

    /// Whether a read for a slot has just failed, so that nothing is read for it now.
    pub(super) fn has_failed(&self, id: SlotId) -> bool {
        self.failed.contains(&id)
    }

    /// Takes the slots whose read has failed, which may ask again now. Some may have ended.
    pub(super) fn take_failed(&mut self) -> Vec<SlotId> {
        std::mem::take(&mut self.failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{EventOffset, HookId, Ordering, QueueKey};
    use crate::queues::testing::hook;

    fn request(id: u128) -> ReadRequest {
        ReadRequest {
            queue: QueueKey::Hook(HookId(id)),
            lane: None,
            from: EventOffset(0),
            until: EventOffset(9),
            max: 9,
            hook: Arc::new(hook(id)),
            replay: None,
            ordering: Ordering::Subject,
            keep: true,
        }
    }

    fn reads(count: u128) -> Reads {
        let mut reads = Reads::default();
        (0..count).for_each(|id| reads.add(request(id)));
        reads
    }

    fn ids(run: Option<Vec<ReadRequest>>) -> Option<Vec<u128>> {
        Some(run?.iter().map(|request| request.queue.id().0).collect())
    }

    #[test]
    fn at_most_so_many_threads_read_and_each_has_a_share_of_what_waits() {
        let mut reads = reads(6);
        assert_eq!(ids(reads.next(3)), Some(vec![0, 1]));
        assert_eq!((ids(reads.next(3)), ids(reads.next(3))), (Some(vec![2, 3]), Some(vec![4])));
        assert_eq!(ids(reads.next(3)), None, "three threads read");
        reads.ended();
        assert_eq!((ids(reads.next(3)), ids(reads.next(3))), (Some(vec![5]), None));
    }

    #[test]
    fn a_thread_makes_a_few_reads_even_when_many_wait() {
        assert_eq!(reads(100).next(2).map(|run| run.len()), Some(IN_A_ROW));
    }

    #[test]
    fn a_slot_with_a_failed_read_asks_again_once() {
        let (mut reads, slot) = (Reads::default(), SlotId::numbered(3));
        reads.failed(slot);
        reads.failed(slot);
        assert!(reads.has_failed(slot));
        assert_eq!(reads.take_failed(), [slot]);
        assert!(!reads.has_failed(slot) && reads.take_failed().is_empty());
    }
}
