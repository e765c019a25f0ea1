//! The events of the last moments, decoded once and shared by every session; bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::LiveEvent;

/// Recent events that somebody asked for when they came, in order.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<LiveEvent>>,
    bytes: usize,
    most_bytes: usize,
    /// Every wanted event from here on is there.
    start: u64,
    /// The first offset that has not been looked at.
    end: u64,
}

impl Ring {
    /// An empty ring that begins at an offset.
    pub(super) fn new(most_bytes: usize, at: u64) -> Self {
        Self { events: VecDeque::new(), bytes: 0, most_bytes, start: at, end: at }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Takes in what was wanted up to `end`; the oldest events go when there is no room.
    pub(super) fn push(&mut self, events: Vec<Arc<LiveEvent>>, end: u64) {
        for event in events {
            self.bytes += event.size();
            self.events.push_back(event);
        }
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.start = oldest.offset + 1;
        }
        self.end = self.end.max(end);
    }

    /// Forgets everything and goes on at an offset.
    pub(super) fn restart(&mut self, at: u64) {
        self.events.clear();
        (self.bytes, self.start, self.end) = (0, at, at);
    }

    /// Events from an offset on that are wanted, until `enough` says so; and where to go on.
    pub(super) fn take(
        &self,
        from: u64,
        wanted: impl Fn(&LiveEvent) -> bool,
        mut enough: impl FnMut(&LiveEvent) -> bool,
    ) -> (Vec<Arc<LiveEvent>>, u64) {
        let first = self.events.partition_point(|event| event.offset < from);
        let mut taken = Vec::new();
        for event in self.events.range(first..).filter(|event| wanted(event)) {
            taken.push(Arc::clone(event));
            if enough(event) {
                return (taken, event.offset + 1);
            }
        }
        (taken, self.end.max(from))
    }
}
