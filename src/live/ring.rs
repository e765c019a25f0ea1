//! A ring of recent events, decoded once and shared by all sessions; bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::LiveEvent;
use crate::model::EventOffset;

/// Recent events that some session wanted when they came in, in order.
#[derive(Debug)]
pub(super) struct EventRing {
    events: VecDeque<Arc<LiveEvent>>,
    bytes: usize,
    most_bytes: usize,
    /// The ring has every wanted event from this offset on.
    start: EventOffset,
    /// The first offset that the feed has not read yet.
    end: EventOffset,
}

impl EventRing {
    /// An empty ring that starts at offset `at`.
    pub(super) fn new(most_bytes: usize, at: EventOffset) -> Self {
        Self { events: VecDeque::new(), bytes: 0, most_bytes, start: at, end: at }
    }

    pub(super) fn start(&self) -> EventOffset {
        self.start
    }

    pub(super) fn end(&self) -> EventOffset {
        self.end
    }

    /// Adds the wanted events before `end`; drops the oldest events when the ring is full.
    pub(super) fn push(&mut self, events: Vec<Arc<LiveEvent>>, end: EventOffset) {
        for event in events {
            self.bytes += event.size();
            self.events.push_back(event);
        }
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            // Older positions must be read from the log from now on.
            self.start = oldest.offset + 1;
        }
        self.end = self.end.max(end);
    }

    /// Drops everything and starts again at offset `at`.
    pub(super) fn restart(&mut self, at: EventOffset) {
        self.events.clear();
        (self.bytes, self.start, self.end) = (0, at, at);
    }

    /// The wanted events from an offset on, until `enough` returns true, and the offset at which to continue.
    pub(super) fn take(
        &self,
        from: EventOffset,
        wanted: impl Fn(&LiveEvent) -> bool,
        mut enough: impl FnMut(&LiveEvent) -> bool,
    ) -> (Vec<Arc<LiveEvent>>, EventOffset) {
        let first = self.events.partition_point(|event| event.offset < from);
        let mut taken = Vec::new();
        for event in self.events.range(first..).filter(|event| wanted(event)) {
            taken.push(Arc::clone(event));
            if enough(event) {
                return (taken, event.offset + 1);
            }
        }
        // All events up to the ring's end have been examined, whether they were wanted or not.
        (taken, self.end.max(from))
    }
}
