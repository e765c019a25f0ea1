//! The log id in the event ids. There is one for all events until a data directory is restored from a backup.

use super::{EventId, EventOffset};

/// The ids of the events log, each valid from an offset on.
///
/// After a restore the log continues at offsets that other events had in the lost period. A new log id keeps their
/// event ids apart. Log ids grow, so that event ids are still ordered like the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIds {
    first: u32,
    /// First offset and id, ascending.
    later: Vec<(EventOffset, u32)>,
}

impl LogIds {
    /// The first id, and later ones as first offset and id, ascending.
    #[must_use]
    pub fn new(first: u32, later: Vec<(EventOffset, u32)>) -> Self {
        Self { first, later }
    }

    /// The id of the event at an offset.
    #[must_use]
    pub fn event_id(&self, offset: EventOffset) -> EventId {
        let later = self.later.iter().rev().find(|(from, _)| *from <= offset);
        EventId { log: later.map_or(self.first, |(_, log)| *log), offset }
    }

    /// The offset of an event; `None` when the id is not from this log.
    #[must_use]
    pub fn offset_of(&self, event: EventId) -> Option<EventOffset> {
        (self.event_id(event.offset) == event).then_some(event.offset)
    }

    /// The latest id.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.later.last().map_or(self.first, |(_, log)| *log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_id_and_later_ones_at_lost_offsets_get_others() {
        let before = LogIds::new(7, Vec::new());
        let after = LogIds::new(
            7,
            [(100, 9), (100, 12), (150, 20)].map(|(from, log)| (EventOffset(from), log)).into(),
        );
        assert_eq!(after.event_id(EventOffset(99)), before.event_id(EventOffset(99)));
        assert_eq!(
            (after.event_id(EventOffset(100)).log, after.event_id(EventOffset(150)).log, after.last()),
            (12, 20, 20)
        );
        assert!(after.event_id(EventOffset(99)) < after.event_id(EventOffset(100)));
        assert_eq!(after.offset_of(before.event_id(EventOffset(120))), None, "an event that was lost");
        assert_eq!(after.offset_of(after.event_id(EventOffset(120))), Some(EventOffset(120)));
    }
}
