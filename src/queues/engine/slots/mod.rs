//! The slots: all hooks at work, each with an id, and which queue belongs to which slot.
//!
//! A slot can be looked at here, and changed only through `touch`. An id that must have a slot and has none is reported as a
//! defect.

mod touch;

use std::collections::HashMap;
use std::sync::Arc;

use super::defect::defect;
use super::line::Line;
use super::slot::Slot;
use crate::model::QueueKey;
use crate::queues::ledger::tally::Tally;

/// The id of a slot. Owners, timers and the router forget the id when its slot ends. The ready list and the list of failed
/// reads may still have it then, so they use `take_turn` and `refresh`, which allow for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotId(usize);

impl SlotId {
    /// The slot that has this number among the permits.
    pub(super) fn numbered(number: usize) -> Self {
        Self(number)
    }

    /// Its number among the permits. Numbers stay small, because those of ended slots are used again.
    pub(super) fn number(self) -> usize {
        self.0
    }
}

/// A cell of the list of slots.
#[derive(Debug)]
enum Cell {
    Free,
    Taken(Box<Slot>),
    /// Its slot is being changed.
    Lent,
}

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    cells: Vec<Cell>,
    free: Vec<SlotId>,
    owners: HashMap<QueueKey, SlotId>,
    tally: Arc<Tally>,
}

impl Slots {
    /// No slots. Defects are counted in `tally`.
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self { cells: Vec::new(), free: Vec::new(), owners: HashMap::new(), tally }
    }

    /// Adds a slot with its queues.
    pub(super) fn insert(&mut self, slot: Slot) -> SlotId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.cells.push(Cell::Free);
            SlotId(self.cells.len() - 1)
        });
        for line in slot.lines() {
            self.owners.insert(line.key(), id);
        }
        self.put(id, Cell::Taken(Box::new(slot)));
        id
    }

    /// The slot that a queue belongs to. `None`: there is no such queue, or it has ended.
    pub(super) fn owner(&self, queue: QueueKey) -> Option<SlotId> {
        self.owners.get(&queue).copied()
    }

    /// From now on a queue belongs to a slot.
    pub(super) fn own(&mut self, queue: QueueKey, id: SlotId) {
        self.owners.insert(queue, id);
    }

    /// A queue has ended.
    fn disown(&mut self, queue: QueueKey) {
        self.owners.remove(&queue);
    }

    /// How many queues there are.
    pub(super) fn queues(&self) -> usize {
        self.owners.len()
    }

    /// A slot to look at. `None`: it does not exist, which is reported as a defect.
    pub(super) fn get(&self, id: SlotId) -> Option<&Slot> {
        match self.cells.get(id.0) {
            Some(Cell::Taken(slot)) => Some(slot),
            cell => {
                defect(&self.tally, "a slot was looked up that does not exist", (id, cell.is_some()));
                None
            }
        }
    }

    /// The slot of a queue to look at.
    pub(super) fn of(&self, queue: QueueKey) -> Option<&Slot> {
        self.get(self.owner(queue)?)
    }

    /// Takes a slot out to be changed; [`Self::give_back`] or [`Self::end`] follows. It must exist.
    fn lend(&mut self, id: SlotId) -> Option<Box<Slot>> {
        let lent = self.lend_if_there(id);
        if lent.is_none() {
            defect(&self.tally, "a slot was changed that does not exist", id);
        }
        lent
    }

    /// The same for an id whose slot may have ended.
    fn lend_if_there(&mut self, id: SlotId) -> Option<Box<Slot>> {
        let cell = self.cells.get_mut(id.0)?;
        // Marked as lent, so that a second change of the same slot within the first is found as a defect, and not
        // lost.
        match std::mem::replace(cell, Cell::Lent) {
            Cell::Taken(slot) => Some(slot),
            other => {
                *cell = other;
                None
            }
        }
    }

    /// Puts a lent slot back.
    fn give_back(&mut self, id: SlotId, slot: Box<Slot>) {
        self.put(id, Cell::Taken(slot));
    }

    /// Ends a lent slot with its queues. Its id may be given to another slot.
    fn end(&mut self, id: SlotId, slot: &Slot) {
        for key in slot.lines().map(Line::key) {
            self.disown(key);
        }
        self.put(id, Cell::Free);
        self.free.push(id);
    }

    fn put(&mut self, id: SlotId, new: Cell) {
        if let Some(cell) = self.cells.get_mut(id.0) {
            *cell = new;
        }
    }

    /// All slots, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        self.cells.iter().enumerate().filter_map(|(at, cell)| match cell {
            Cell::Taken(slot) => Some((SlotId(at), &**slot)),
            Cell::Free | Cell::Lent => None,
        })
    }

    /// The ids of the slots for which this holds, to change them one after the other.
    pub(super) fn which(&self, mut holds: impl FnMut(&Slot) -> bool) -> Vec<SlotId> {
        self.iter().filter(|(_, slot)| holds(slot)).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::testing::slot;
    use super::*;
    use crate::model::{HookId, ReplayId};

    fn key(id: u128) -> QueueKey {
        QueueKey::Hook(HookId(id))
    }

    #[test]
    fn a_slot_is_found_by_its_queue_until_it_ends_and_its_id_is_used_again() {
        let mut slots = Slots::new(Arc::default());
        let (one, two) = (slots.insert(slot(1)), slots.insert(slot(2)));
        assert_eq!((slots.owner(key(1)), slots.owner(key(2))), (Some(one), Some(two)));
        slots.own(QueueKey::Replay(ReplayId(9)), one);
        slots.disown(QueueKey::Replay(ReplayId(9)));
        assert_eq!((slots.owner(QueueKey::Replay(ReplayId(9))), slots.queues()), (None, 2));
        let lent = slots.lend(one).unwrap();
        slots.end(one, &lent);
        assert_eq!((slots.owner(key(1)), slots.iter().count()), (None, 1));
        assert!(slots.lend_if_there(one).is_none());
        assert_eq!(slots.insert(slot(3)), one);
        assert_eq!(slots.of(key(3)).unwrap().hook().id, HookId(3));
    }

    #[test]
    fn a_lent_slot_keeps_its_id_and_its_queue() {
        let mut slots = Slots::new(Arc::default());
        let one = slots.insert(slot(1));
        let lent = slots.lend(one).unwrap();
        assert_eq!((slots.owner(key(1)), slots.iter().count()), (Some(one), 0));
        assert_ne!(slots.insert(slot(2)), one);
        slots.give_back(one, lent);
        assert_eq!(slots.which(|slot| slot.hook().id == HookId(1)), [one]);
    }

    #[test]
    #[should_panic(expected = "a slot was changed that does not exist")]
    fn a_change_of_a_slot_that_has_ended_is_a_defect() {
        let mut slots = Slots::new(Arc::default());
        let one = slots.insert(slot(1));
        let lent = slots.lend(one).unwrap();
        slots.end(one, &lent);
        slots.lend(one);
    }
}
