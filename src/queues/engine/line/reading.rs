//! A line that is behind: which read of the log it needs next, and what it does with what a read has brought.

use std::ops::Range;
use std::sync::Arc;

use super::super::log_read::{Found, ReadDone, ReadRequest, STOCK};
use super::{Line, Read};
use crate::log::ReadError;
use crate::model::{EventOffset, Gap, Hook};
use crate::queues::queue::intake::Rest;
use crate::queues::queue::window::Taken;

/// Most events that one read brings, for a queue and for the rest of a lane.
const MOST: usize = 1024;
const MOST_OF_LANE: usize = 256;

/// What a line has to know before it asks for a read.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues::engine) struct Circumstances {
    /// Whether the hook gets deliveries.
    pub(in crate::queues::engine) is_open: bool,
    /// Whether memory for records is scarce.
    pub(in crate::queues::engine) is_scarce: bool,
    /// Everything below this offset has been routed.
    pub(in crate::queues::engine) routed: EventOffset,
}

/// How far the log reaches that a read was made of.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues::engine) struct Reach {
    /// The first event that retention has left.
    pub(in crate::queues::engine) first: EventOffset,
    /// Everything below this offset has been routed.
    pub(in crate::queues::engine) routed: EventOffset,
}

impl Line {
    /// The read that the line needs now, which is under way from here on. `None`: it needs none, or has one.
    pub(in crate::queues::engine) fn ask_for_read(
        &mut self,
        hook: &Arc<Hook>,
        now: Circumstances,
    ) -> Option<ReadRequest> {
        let room = self.room(now.is_open);
        if self.is_reading() || room == 0 || (now.is_scarce && self.queue.is_stocked(STOCK)) {
            return None;
        }
        let mut request = self.next_read(hook, room, now.routed)?;
        request.keep = now.is_open && self.keeps_records(now.is_scarce);
        self.read = Read::UnderWay;
        Some(request)
    }

    /// The rest of a lane comes first: deliveries of the lane stand still until it has been read.
    fn next_read(&self, hook: &Arc<Hook>, room: usize, routed: EventOffset) -> Option<ReadRequest> {
        let request = |lane, range: Range<EventOffset>, max| ReadRequest {
            queue: self.key,
            lane,
            from: range.start,
            until: range.end,
            max,
            hook: Arc::clone(hook),
            replay: self.replay().cloned(),
            ordering: self.queue.ordering(),
            keep: false,
        };
        if let Some(Rest { lane, from, until }) = self.queue.drained_lane() {
            return Some(request(Some(lane), from..until, room.min(MOST_OF_LANE)));
        }
        let until = self.replay.as_ref().map_or(routed, |run| run.job.until);
        let is_behind = !self.live && self.queue.next() < until;
        (is_behind && self.queue.wants_more())
            .then(|| request(None, self.queue.next()..until, room.min(MOST)))
    }

    /// A read has ended: takes what it brought, unless it `is_of_former`, a deleted hook's with the same id. Returns the
    /// range of events that retention had dropped before they were read, if there is one.
    pub(in crate::queues::engine) fn take_read(
        &mut self,
        done: ReadDone,
        reach: Reach,
        is_of_former: bool,
    ) -> Result<Option<Gap>, ReadError> {
        let is_void = std::mem::replace(&mut self.read, Read::Idle) == Read::Void;
        if is_void || is_of_former {
            return Ok(None);
        }
        let found = done.found?;
        // The queue may have moved on while the read was under way; only what it had not passed is a gap.
        let begin = if done.lane.is_some() { done.from } else { self.queue.next() };
        let has_gap = done.from < reach.first && begin < reach.first;
        let gap = has_gap.then_some(Gap { from: begin, until: reach.first });
        self.gap = gap.or(self.gap);
        if let Some(lane) = done.lane {
            let found = found.into_iter().map(|event| (event.offset, event.record)).collect();
            self.queue.take_spilled(lane, found, done.next);
        } else {
            // Without room the rest is read again later, so the queue must not skip it.
            if self.take_all(found) != Taken::Full {
                self.queue.skip_to(done.next);
            }
            self.live = self.replay.is_none() && self.queue.next() >= reach.routed;
        }
        Ok(gap)
    }

    /// Takes events as far as there is room. `Full`: there was none for some of them.
    fn take_all(&mut self, found: Vec<Found>) -> Taken {
        for event in found {
            let is_uncounted = event.offset < self.uncounted_until && event.offset >= self.queue.next();
            match self.queue.take(event.offset, event.subject, event.record) {
                Taken::Full => return Taken::Full,
                Taken::Waiting | Taken::Spilled | Taken::Settled => self.waiting += i64::from(is_uncounted),
            }
        }
        Taken::Waiting
    }
}
