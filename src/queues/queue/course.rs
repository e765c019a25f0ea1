//! The course of a delivery: it is started, and then it is settled, tried again or set aside, and its lane continues.

use super::Queue;
use super::lane::{Lane, LaneKey};
use super::window::{EntryState, Start, Tried, WindowEntry};
use crate::model::{EventOffset, Moment};

impl Queue {
    /// Starts the next delivery that is ready.
    pub fn start(&mut self) -> Option<Start> {
        // A lane stays in `ready` when its head is settled, started as a probe or delayed. Removing it there would take a
        // search each time, so it is checked here instead.
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.queued = false;
            if lane.under_way > 0 || lane.due.is_some() {
                continue;
            }
            let head = lane.head();
            let waits = |offset: &EventOffset| {
                self.entries.get(offset).is_some_and(|e| e.state == EntryState::Waiting)
            };
            if let Some(offset) = head.filter(waits) {
                return self.begin(offset, key);
            }
        }
        None
    }

    /// Starts the oldest delivery at the head of an idle lane, even if its retry is not due yet: the recovery probe.
    pub fn start_oldest(&mut self) -> Option<Start> {
        let found = self.entries.iter().find(|(offset, entry)| {
            entry.state == EntryState::Waiting
                && self.lanes.get(&entry.lane).is_some_and(|l| l.under_way == 0 && l.head() == Some(**offset))
        });
        let (offset, key) = found.map(|(offset, entry)| (*offset, entry.lane))?;
        self.begin(offset, key)
    }

    fn begin(&mut self, offset: EventOffset, key: LaneKey) -> Option<Start> {
        let lane = self.lanes.get_mut(&key)?;
        let entry = self.entries.get_mut(&offset)?;
        // Only a probe starts before its retry is due.
        if let Some(due) = lane.due.take() {
            self.timers.remove(&(due, key));
        }
        let passed: Vec<EventOffset> =
            lane.order.iter().take(lane.suspects).copied().filter(|o| *o < offset).collect();
        if !passed.is_empty() {
            self.passed.insert(offset, passed);
        }
        lane.under_way += 1;
        entry.state = EntryState::InFlight;
        entry.attempts = entry.attempts.saturating_add(1);
        self.in_flight += 1;
        // The record goes with this attempt. A retry reads it from the log again, so that deliveries that wait for
        // their retry use no memory for records.
        Some(Start { offset, attempt: entry.attempts, record: entry.record.take() })
    }

    /// The deliveries that the lane of `offset` had left behind as suspects when `offset` started. Once `offset` is delivered
    /// they come too late, because their receiver would get them out of order.
    #[must_use]
    pub fn passed_by(&self, offset: EventOffset) -> Vec<EventOffset> {
        // A suspect that was released may be under way itself, if its hook is without order by now.
        let is_idle =
            |o: &EventOffset| self.entries.get(o).is_some_and(|entry| entry.state != EntryState::InFlight);
        self.passed.get(&offset).into_iter().flatten().copied().filter(is_idle).collect()
    }

    /// Whether it is this delivery's turn in its lane.
    #[must_use]
    pub fn is_head(&self, offset: EventOffset) -> bool {
        let lane = self.entries.get(&offset).and_then(|entry| self.lanes.get(&entry.lane));
        lane.and_then(Lane::head) == Some(offset)
    }

    /// Removes a delivery for good. Returns false if it is not in the window.
    pub fn settle(&mut self, offset: EventOffset) -> bool {
        let Some(entry) = self.entries.remove(&offset) else { return false };
        // From now on `shrink` must not go back to this offset or before it.
        self.touched = self.touched.max(offset + 1);
        match entry.state {
            EntryState::InFlight => {
                self.in_flight -= 1;
                self.passed.remove(&offset);
            }
            EntryState::Suspect { until } => {
                self.suspects.remove(&(until, offset));
            }
            EntryState::Waiting => {}
        }
        if let Some(lane) = self.lanes.get_mut(&entry.lane) {
            // The lane's due time was this delivery's. The next delivery of the lane may have failed before this one, as a
            // suspect that was released, and must not inherit the time. A delivery under way has no due time any more, so the
            // lane's is that of a later delivery (`insert`), and stays.
            if lane.head() == Some(offset)
                && entry.state == EntryState::Waiting
                && let Some(due) = lane.due.take()
            {
                self.timers.remove(&(due, entry.lane));
            }
            lane.remove(offset);
            lane.under_way -= u32::from(entry.state == EntryState::InFlight);
        }
        self.advance(entry.lane);
        self.drop_if_empty(entry.lane);
        true
    }

    /// The attempt failed: the delivery is tried again at `due`, and its lane waits until then.
    pub fn retry(&mut self, offset: EventOffset, due: Moment) {
        self.wait(offset, Some(due));
    }

    /// The delivery waits for its turn again. If it is at the head of its lane, its turn is now.
    pub fn hold(&mut self, offset: EventOffset) {
        self.wait(offset, None);
    }

    fn wait(&mut self, offset: EventOffset, due: Option<Moment>) {
        let Some(entry) = self.entries.get_mut(&offset) else { return };
        let ended = u32::from(entry.state == EntryState::InFlight);
        self.in_flight -= ended;
        self.passed.remove(&offset);
        entry.state = EntryState::Waiting;
        let key = entry.lane;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.under_way -= ended;
        }
        // If the hook was disabled during the attempt, released suspects are ahead of this delivery. They wait as well:
        // otherwise the delivery would be tried too early as soon as they are settled.
        if let Some(due) = due {
            self.delay(key, due);
        }
        self.advance(key);
    }

    /// Has a lane wait until `due`, or longer if it waits longer already.
    pub(super) fn delay(&mut self, key: LaneKey, due: Moment) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let before = lane.due;
        let latest = before.map_or(due, |before| before.max(due));
        lane.due = Some(latest);
        if let Some(before) = before {
            self.timers.remove(&(before, key));
        }
        self.timers.insert((latest, key));
    }

    /// The last try failed, and it is not known whether the hook works: the delivery is set aside, and its lane continues.
    /// Returns false if released suspects are ahead of the delivery, because the hook was disabled and enabled during the
    /// attempt. Then the delivery waits for its turn instead.
    pub fn suspect(&mut self, offset: EventOffset, until: Moment) -> bool {
        let Some(entry) = self.entries.get_mut(&offset) else { return false };
        if self.lanes.get(&entry.lane).and_then(Lane::head) != Some(offset) {
            self.hold(offset);
            return false;
        }
        let ended = u32::from(entry.state == EntryState::InFlight);
        self.in_flight -= ended;
        self.passed.remove(&offset);
        entry.state = EntryState::Suspect { until };
        self.suspects.insert((until, offset));
        let key = entry.lane;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.under_way -= ended;
            lane.suspects += 1;
        }
        self.advance(key);
        true
    }

    /// The suspects whose time has passed. The caller settles them.
    #[must_use]
    pub fn suspects_until(&self, now: Moment) -> Vec<EventOffset> {
        self.suspects.iter().take_while(|(until, _)| *until <= now).map(|(_, offset)| *offset).collect()
    }

    /// All suspects.
    #[must_use]
    pub fn suspects(&self) -> Vec<EventOffset> {
        self.suspects.iter().map(|(_, offset)| *offset).collect()
    }

    /// Makes the lanes ready whose retry is due.
    pub fn wake(&mut self, now: Moment) {
        while let Some((due, key)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.due = None;
            }
            self.advance(key);
        }
    }

    /// Makes a lane ready if its head can be tried now.
    pub(in crate::queues) fn advance(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.idle()
            && lane.due.is_none()
        {
            lane.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Removes a lane of which nothing is left.
    pub(in crate::queues) fn drop_if_empty(&mut self, key: LaneKey) {
        if self.lanes.get(&key).is_some_and(Lane::is_empty) {
            self.lanes.remove(&key);
        }
    }

    /// Counts an attempt that has ended, before it is decided what follows. `is_try`: whether it counts as a try; `failed`:
    /// when it ended, if it failed. Returns `None` if the delivery is not in the window.
    pub(in crate::queues) fn ended(
        &mut self,
        offset: EventOffset,
        is_try: bool,
        failed: Option<Moment>,
    ) -> Option<Tried> {
        let entry = self.entries.get_mut(&offset)?;
        entry.tries = entry.tries.saturating_add(u16::from(is_try));
        entry.first_failed = entry.first_failed.or(failed);
        let WindowEntry { tries, attempts, first_failed, .. } = *entry;
        Some(Tried { attempts, tries, first_failed })
    }
}
