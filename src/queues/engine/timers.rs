//! Timers of the slots: when each slot has to be looked at next. A slot has at most one timer.

use std::collections::BTreeSet;

use super::slots::SlotId;

/// The timers, in order of time and by slot.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(u64, SlotId)>,
    /// By the number of the slot: when it is due.
    of: Vec<Option<u64>>,
}

impl Timers {
    /// Sets the timer of a slot to this time (µs), in place of any other. `None`: it has no timer.
    pub(super) fn set(&mut self, id: SlotId, due_us: Option<u64>) {
        if self.of.len() <= id.number() {
            if due_us.is_none() {
                return;
            }
            self.of.resize(id.number() + 1, None);
        }
        let Some(known) = self.of.get_mut(id.number()) else { return };
        let before = std::mem::replace(known, due_us);
        if before == due_us {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, id));
        }
        if let Some(due) = due_us {
            self.due.insert((due, id));
        }
    }

    /// When the first slot is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes the timer that is due first, if one is due by now.
    pub(super) fn pop(&mut self, now_us: u64) -> Option<SlotId> {
        let (_, id) = self.due.first().copied().filter(|(due, _)| *due <= now_us)?;
        self.set(id, None);
        Some(id)
    }

    /// When a slot is due.
    #[cfg(test)]
    pub(super) fn of(&self, id: SlotId) -> Option<u64> {
        self.of.get(id.number()).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(number: usize) -> SlotId {
        SlotId::numbered(number)
    }

    #[test]
    fn slots_come_in_the_order_of_their_times_and_not_before() {
        let mut timers = Timers::default();
        for (number, due) in [(0, 30), (1, 10), (2, 20)] {
            timers.set(slot(number), Some(due));
        }
        assert_eq!((timers.next_us(), timers.pop(9)), (Some(10), None));
        assert_eq!((timers.pop(20), timers.pop(20), timers.pop(20)), (Some(slot(1)), Some(slot(2)), None));
        assert_eq!((timers.of(slot(1)), timers.of(slot(0))), (None, Some(30)));
    }

    proptest! {
        #[test]
        fn a_slot_is_due_at_the_time_that_was_set_last(sets in prop::collection::vec((0_usize..6, prop::option::of(0_u64..9)), 0..40)) {
            let (mut timers, mut model) = (Timers::default(), [None; 6]);
            for (number, due) in sets {
                timers.set(slot(number), due);
                model[number] = due;
                prop_assert_eq!(timers.next_us(), model.iter().flatten().min().copied());
            }
            let mut found: Vec<_> = std::iter::from_fn(|| timers.pop(8)).collect();
            found.sort_unstable();
            let due: Vec<_> = (0..6).filter(|number| model[*number].is_some()).map(slot).collect();
            prop_assert_eq!(found, due);
            prop_assert_eq!(timers.next_us(), None);
        }
    }
}
