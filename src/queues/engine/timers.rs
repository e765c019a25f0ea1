//! Timers of the slots: when each slot has to be looked at next. A slot has at most one timer.

use std::collections::BTreeSet;

use super::slots::SlotId;
use crate::model::Moment;

/// The timers, in order of time and by slot.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Moment, SlotId)>,
    /// By the number of the slot: when it is due.
    of: Vec<Option<Moment>>,
}

impl Timers {
    /// Sets the timer of a slot to this time, in place of any other. `None`: it has no timer.
    pub(super) fn set(&mut self, id: SlotId, due: Option<Moment>) {
        if self.of.len() <= id.number() {
            if due.is_none() {
                return;
            }
            self.of.resize(id.number() + 1, None);
        }
        let Some(known) = self.of.get_mut(id.number()) else { return };
        let before = std::mem::replace(known, due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, id));
        }
        if let Some(due) = due {
            self.due.insert((due, id));
        }
    }

    /// When the first slot is due.
    pub(super) fn next(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes the timer that is due first, if one is due by now.
    pub(super) fn pop(&mut self, now: Moment) -> Option<SlotId> {
        let (_, id) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        self.set(id, None);
        Some(id)
    }

    /// When a slot is due.
    #[cfg(test)]
    pub(super) fn of(&self, id: SlotId) -> Option<Moment> {
        self.of.get(id.number()).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: u64) -> Moment {
        Moment::from_micros(us)
    }

    fn slot(number: usize) -> SlotId {
        SlotId::numbered(number)
    }

    #[test]
    fn slots_come_in_the_order_of_their_times_and_not_before() {
        let mut timers = Timers::default();
        for (number, due) in [(0, 30), (1, 10), (2, 20)] {
            timers.set(slot(number), Some(at(due)));
        }
        assert_eq!((timers.next(), timers.pop(at(9))), (Some(at(10)), None));
        let popped = [0, 1, 2].map(|_| timers.pop(at(20)));
        assert_eq!(popped, [Some(slot(1)), Some(slot(2)), None]);
        assert_eq!((timers.of(slot(1)), timers.of(slot(0))), (None, Some(at(30))));
    }

    proptest! {
        #[test]
        fn a_slot_is_due_at_the_time_that_was_set_last(sets in prop::collection::vec((0_usize..6, prop::option::of(0_u64..9)), 0..40)) {
            let (mut timers, mut model) = (Timers::default(), [None; 6]);
            for (number, due) in sets {
                let due = due.map(at);
                timers.set(slot(number), due);
                model[number] = due;
                prop_assert_eq!(timers.next(), model.iter().flatten().min().copied());
            }
            let mut found: Vec<_> = std::iter::from_fn(|| timers.pop(at(8))).collect();
            found.sort_unstable();
            let due: Vec<_> = (0..6).filter(|number| model[*number].is_some()).map(slot).collect();
            prop_assert_eq!(found, due);
            prop_assert_eq!(timers.next(), None);
        }
    }
}
