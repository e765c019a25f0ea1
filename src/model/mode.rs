//! Running beside a KAZOO: decides which of the two systems delivers an event. Pure, except for `Duty`, the handle
//! with the present ownership.
//!
//! Invariant: every event belongs to exactly one of the two systems, decided by its offset in the events log. So a
//! late delivery, after a retry, a restart or a pause, belongs to the same system as an immediate one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{EventOffset, QueueKey};

/// What this program does with deliveries (`kazoo.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every delivery is prepared up to the point of sending; nothing is sent.
    Shadow,
    /// Between the two others: events of this program are still delivered, and new events wait until an operator says
    /// from which moment on the other system delivers.
    Handover,
    /// All events from a border on are delivered.
    Live,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Shadow, Self::Handover, Self::Live];

    /// The word in the configuration and in the API.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Handover => "handover",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// An unknown mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be shadow, handover or live")]
pub struct UnknownMode;

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        Self::ALL.into_iter().find(|mode| mode.id() == text).ok_or(UnknownMode)
    }
}

/// An offset from which on events belong to one of the two systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Border {
    /// The first of these events.
    pub from: EventOffset,
    /// Whether this program delivers them; otherwise KAZOO does.
    pub is_ours: bool,
}

/// The owner of every event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    mode: Mode,
    /// Ascending; the first is at offset 0, and neighbours differ.
    borders: Vec<Border>,
    /// From this offset on events wait until their owner is known.
    waits_from: Option<EventOffset>,
}

/// Why a change of the mode is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// No events wait, so the change cannot start before the present.
    #[error(
        "events before now have been settled: leave the start out, and replay what receivers lack; or change to \
         'handover' first, which holds events until their system is named"
    )]
    NothingWaits,
    /// The start is not among the events that wait.
    #[error("the start is offset {from}, and the events that wait are those from {waits_from} to {end}")]
    OutOfRange {
        /// The requested start.
        from: EventOffset,
        /// The first event that waits.
        waits_from: EventOffset,
        /// The end of the log.
        end: EventOffset,
    },
    /// Events would belong to a system that does not send them.
    #[error(
        "in shadow nothing leaves, so the events before the start would be lost: name the start with 'handover', wait \
         until nothing is waiting any more, and change to 'shadow' then"
    )]
    WouldLose,
}

impl Ownership {
    /// All events belong to this program, as without a KAZOO beside it.
    #[must_use]
    pub fn live() -> Self {
        Self {
            mode: Mode::Live,
            borders: vec![Border { from: EventOffset::FIRST, is_ours: true }],
            waits_from: None,
        }
    }

    /// The mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The borders between the systems.
    #[must_use]
    pub fn borders(&self) -> &[Border] {
        &self.borders
    }

    /// The offset from which on events wait until their owner is known.
    #[must_use]
    pub fn waits_from(&self) -> Option<EventOffset> {
        self.waits_from
    }

    /// Whether a delivery is sent. A person requested a replay, so its deliveries are sent unless nothing is.
    #[must_use]
    pub fn sends(&self, queue: QueueKey, offset: EventOffset) -> bool {
        match (self.mode, queue) {
            (Mode::Shadow, _) => false,
            (_, QueueKey::Replay(_)) => true,
            (_, QueueKey::Hook(_) | QueueKey::OneShot(_)) => self.is_ours(offset),
        }
    }

    /// Whether nothing is sent.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.mode == Mode::Shadow
    }

    /// Whether this program is the cluster's webhooks application now and may answer as one.
    #[must_use]
    pub fn stands_in(&self) -> bool {
        self.mode != Mode::Shadow && self.is_ours(EventOffset::MAX)
    }

    fn is_ours(&self, offset: EventOffset) -> bool {
        self.borders.iter().rev().find(|border| border.from <= offset).is_some_and(|border| border.is_ours)
    }

    /// The ownership after a change of the mode, when the log ends at `end`. `from` is the first event of the system
    /// that takes over, and must be among the waiting events; by default it is the first of these.
    pub fn changed(&self, to: Mode, from: Option<EventOffset>, end: EventOffset) -> Result<Self, ModeError> {
        let mut next = self.clone();
        let Some(waits_from) = self.waits_from else {
            if from.is_some() {
                return Err(ModeError::NothingWaits);
            }
            if to == self.mode {
                return Ok(next);
            }
            next.mode = to;
            match to {
                Mode::Handover => next.waits_from = Some(end),
                Mode::Live => next.begin(end, true),
                Mode::Shadow => next.begin(end, false),
            }
            return Ok(next);
        };
        // Events wait already, and no border was named: nothing to decide.
        if to == Mode::Handover && from.is_none() {
            return Ok(next);
        }
        let were_ours = self.is_ours(EventOffset::MAX);
        // In shadow nothing is sent, so the waiting events before the border, which are ours, would be lost.
        if to == Mode::Shadow && were_ours && from.is_some() {
            return Err(ModeError::WouldLose);
        }
        let from = from.unwrap_or(waits_from);
        if !(waits_from..=end).contains(&from) {
            return Err(ModeError::OutOfRange { from, waits_from, end });
        }
        next.mode = to;
        next.waits_from = None;
        next.begin(
            from,
            match to {
                Mode::Live => true,
                Mode::Shadow => false,
                // A handover with a border ends here: from the border on, the events belong to the other system.
                Mode::Handover => !were_ours,
            },
        );
        Ok(next)
    }

    /// Adapts the ownership to a log that ends at `end`. A restored log may end before a border; then the border
    /// moves to the next event.
    #[must_use]
    pub fn within(mut self, end: EventOffset) -> Self {
        for border in &mut self.borders {
            border.from = border.from.min(end);
        }
        self.waits_from = self.waits_from.map(|from| from.min(end));
        self
    }

    fn begin(&mut self, from: EventOffset, is_ours: bool) {
        // A system whose range would be empty has no border.
        self.borders.retain(|border| border.from < from);
        if self.borders.last().map(|border| border.is_ours) != Some(is_ours) {
            // The first border is at the beginning of the log, so that every event belongs to one system.
            let from = if self.borders.is_empty() { EventOffset::FIRST } else { from };
            self.borders.push(Border { from, is_ours });
        }
    }
}

/// The present ownership, for all parts of the program. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Duty(Arc<watch::Sender<Arc<Ownership>>>);

impl Duty {
    /// A handle with this ownership.
    #[must_use]
    pub fn new(ownership: Ownership) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(ownership))))
    }

    /// The present ownership.
    #[must_use]
    pub fn now(&self) -> Arc<Ownership> {
        Arc::clone(&self.0.borrow())
    }

    /// Replaces the ownership for all clones.
    pub fn set(&self, ownership: Ownership) {
        self.0.send_replace(Arc::new(ownership));
    }
}

impl Default for Duty {
    fn default() -> Self {
        Self::new(Ownership::live())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HookId, ReplayId};

    const LIVE_QUEUE: QueueKey = QueueKey::Hook(HookId(1));

    /// The offsets below `end` that are sent by the hook's own queue.
    fn sent(ownership: &Ownership, end: u64) -> Vec<u64> {
        (0..end).filter(|offset| ownership.sends(LIVE_QUEUE, EventOffset(*offset))).collect()
    }

    fn shadow() -> Ownership {
        Ownership::live().changed(Mode::Shadow, None, EventOffset(0)).unwrap()
    }

    #[test]
    fn live_begins_from_now_and_leaves_what_was_shadow_alone() {
        let live = shadow().changed(Mode::Live, None, EventOffset(5)).unwrap();
        assert_eq!(sent(&live, 8), [5, 6, 7]);
        assert!(sent(&shadow(), 8).is_empty());
        let back = live.changed(Mode::Shadow, None, EventOffset(7)).unwrap();
        assert!(sent(&back, 9).is_empty(), "in shadow nothing leaves");
        let again = back.changed(Mode::Live, None, EventOffset(8)).unwrap();
        assert_eq!(sent(&again, 10), [5, 6, 8, 9], "what was this program's in the time before still is");
    }

    #[test]
    fn a_handover_gives_every_event_to_one_system_on_the_way_there_and_on_the_way_back() {
        let held = shadow().changed(Mode::Handover, None, EventOffset(5)).unwrap();
        assert_eq!(held.waits_from(), Some(EventOffset(5)));
        let live = held.changed(Mode::Live, Some(EventOffset(7)), EventOffset(10)).unwrap();
        assert_eq!((sent(&live, 10), live.waits_from()), (vec![7, 8, 9], None));
        let held = live.changed(Mode::Handover, None, EventOffset(12)).unwrap();
        assert_eq!(
            held.changed(Mode::Shadow, Some(EventOffset(14)), EventOffset(16)),
            Err(ModeError::WouldLose)
        );
        let draining = held.changed(Mode::Handover, Some(EventOffset(14)), EventOffset(16)).unwrap();
        assert_eq!(sent(&draining, 17), [7, 8, 9, 10, 11, 12, 13]);
        assert!(!draining.stands_in());
        let shadow = draining.changed(Mode::Shadow, None, EventOffset(20)).unwrap();
        assert!(sent(&shadow, 25).is_empty());
    }

    #[test]
    fn a_handover_that_is_called_off_leaves_no_gap() {
        let live = Ownership::live().changed(Mode::Handover, None, EventOffset(5)).unwrap();
        assert_eq!(live.changed(Mode::Live, None, EventOffset(9)).unwrap(), Ownership::live());
        let held = shadow().changed(Mode::Handover, None, EventOffset(5)).unwrap();
        assert_eq!(held.changed(Mode::Shadow, None, EventOffset(9)).unwrap(), shadow());
        assert_eq!(
            sent(&held.changed(Mode::Live, None, EventOffset(9)).unwrap(), 7),
            [5, 6],
            "nothing of what waited is lost"
        );
    }

    #[test]
    fn a_log_that_has_lost_its_end_leaves_no_new_event_to_the_system_of_before() {
        let live = shadow().changed(Mode::Live, None, EventOffset(100)).unwrap().within(EventOffset(90));
        assert_eq!(sent(&live, 92), [90, 91]);
        let held = live.changed(Mode::Handover, None, EventOffset(95)).unwrap().within(EventOffset(93));
        assert_eq!((held.waits_from(), sent(&held, 94)), (Some(EventOffset(93)), vec![90, 91, 92, 93]));
    }

    #[test]
    fn a_start_outside_of_what_waits_is_refused() {
        assert_eq!(
            shadow().changed(Mode::Live, Some(EventOffset(3)), EventOffset(5)),
            Err(ModeError::NothingWaits)
        );
        let held = shadow().changed(Mode::Handover, None, EventOffset(5)).unwrap();
        for from in [4, 11].map(EventOffset) {
            let refused = ModeError::OutOfRange { from, waits_from: EventOffset(5), end: EventOffset(10) };
            assert_eq!(held.changed(Mode::Live, Some(from), EventOffset(10)), Err(refused));
        }
    }

    #[test]
    fn a_replay_is_sent_unless_nothing_is() {
        let replay = QueueKey::Replay(ReplayId(2));
        let live = shadow().changed(Mode::Live, None, EventOffset(5)).unwrap();
        assert!(live.sends(replay, EventOffset(0)) && !live.sends(LIVE_QUEUE, EventOffset(0)));
        assert!(!shadow().sends(replay, EventOffset(0)));
    }

    #[test]
    fn it_is_stored_and_read_again() {
        let held = shadow().changed(Mode::Handover, None, EventOffset(5)).unwrap();
        let text = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Ownership>(&text).unwrap(), held);
        assert!("quiet".parse::<Mode>().is_err());
        assert!(Mode::ALL.into_iter().all(|mode| mode.id().parse() == Ok(mode)));
    }
}
