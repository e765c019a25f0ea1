//! The only way to change a slot. Whatever follows from a change outside of the slot is done here, after each change, so no
//! step of the engine can forget it.
//!
//! The change gets the slot and the desk. The other slots are not on the desk, so a change of one slot cannot touch another.

use super::super::desk::Desk;
use super::super::slot::Slot;
use super::{SlotId, Slots};

/// Whether a slot asks for its turn after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// When it has something to start.
    Ask,
    /// Not now: it has just had its turn, and had nothing to start or was refused a permit.
    Had,
}

impl Slots {
    /// Changes a slot that must exist. `None`: it does not, which is reported as a defect.
    pub(in crate::queues::engine) fn touch<R>(
        &mut self,
        desk: &mut Desk,
        id: SlotId,
        change: impl FnOnce(&mut Desk, &mut Slot) -> R,
    ) -> Option<R> {
        let mut slot = self.lend(id)?;
        let result = change(desk, &mut slot);
        self.follow(desk, id, slot, Turn::Ask);
        Some(result)
    }

    /// Does only what follows from a change, for a slot that may have ended.
    pub(in crate::queues::engine) fn refresh(&mut self, desk: &mut Desk, id: SlotId) {
        if let Some(slot) = self.lend_if_there(id) {
            self.follow(desk, id, slot, Turn::Ask);
        }
    }

    /// Changes a slot whose turn has come. `change` puts it back on a list if it has to wait on one. The slot may have ended:
    /// the ready list is not searched when a slot ends.
    pub(in crate::queues::engine) fn take_turn(
        &mut self,
        desk: &mut Desk,
        id: SlotId,
        change: impl FnOnce(&mut Desk, &mut Slot),
    ) {
        if let Some(mut slot) = self.lend_if_there(id) {
            change(desk, &mut slot);
            self.follow(desk, id, slot, Turn::Had);
        }
    }

    /// What follows from any change, however small. Each part does nothing when there is nothing to do.
    fn follow(&mut self, desk: &mut Desk, id: SlotId, mut slot: Box<Slot>, turn: Turn) {
        // A replay whose range is settled ends. Its line goes with its last attempt, and so does a cancelled one's.
        if !slot.replays().is_empty() {
            desk.end_replays(&mut slot, false);
            for line in slot.take_over_replays() {
                self.disown(line.key());
                desk.unclaimed
                    .add_ended_replay(line.image(slot.hook(), desk.owned.routed_to(slot.partition())));
            }
        }
        // A change of the ordering may have had to wait for the rest of a lane.
        slot.follow_ordering();
        // A hook that gets nothing gives up memory when its last attempt has ended. A slot that leaves writes its checkpoint
        // and goes, so it is not worth the work.
        if slot.claim().held() == 0 && !slot.is_leaving() {
            slot.shrink();
        }
        // A deleted hook's slot ends when nothing of it is under way.
        if slot.is_over() {
            desk.permits.stop_waiting(slot.claim_mut());
            desk.timers.set(id, None);
            return self.end(id, &slot);
        }
        // A slot with something to start waits for its turn. After its own turn it must not ask by itself: it would be next
        // again and again, without end.
        if turn == Turn::Ask && slot.has_ready() {
            desk.permits.wait_for_turn(id, slot.claim_mut());
        }
        // A line with room that is behind is read for.
        desk.ask_for_reads(id, &mut slot);
        // The next retry, probe or end of a wait is on the clock.
        desk.timers.set(id, slot.next_due());
        self.give_back(id, slot);
    }
}
