//! A slot is changed, and everything that follows from a change is done in this one place.

use super::Engine;
use super::slot::Slot;
use super::slots::SlotId;

/// Whether a slot asks for its turn after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// When it has something to start.
    Asked,
    /// Not: its turn has just come, and it had nothing to start or was refused a permit.
    Had,
}

impl Engine {
    /// Changes a slot, which must be there: the only way to change one. While `change` runs the slot is lent, so it cannot be
    /// changed from within; what follows from the change is done when it returns.
    pub(super) fn touch<R>(
        &mut self,
        id: SlotId,
        change: impl FnOnce(&mut Self, &mut Slot) -> R,
    ) -> Option<R> {
        let mut slot = self.slots.lend(id)?;
        let result = change(self, &mut slot);
        self.follow(id, slot, Turn::Asked);
        Some(result)
    }

    /// The same for a slot that may be gone.
    pub(super) fn touch_if_there(&mut self, id: SlotId, change: impl FnOnce(&mut Self, &mut Slot)) {
        if let Some(mut slot) = self.slots.lend_if_there(id) {
            change(self, &mut slot);
            self.follow(id, slot, Turn::Asked);
        }
    }

    /// The same when the slot's turn has come; `change` puts it back on a list if it is to wait on one. The slot may be gone:
    /// the ready list is not searched for slots that go.
    pub(super) fn take_turn(&mut self, id: SlotId, change: impl FnOnce(&mut Self, &mut Slot)) {
        if let Some(mut slot) = self.slots.lend_if_there(id) {
            change(self, &mut slot);
            self.follow(id, slot, Turn::Had);
        }
    }

    /// What follows from any change of a slot, however small. Each of these does nothing when there is nothing to do.
    fn follow(&mut self, id: SlotId, mut slot: Box<Slot>, turn: Turn) {
        // A replay whose range is settled ends, and one that was cancelled goes with its last attempt.
        self.end_settled_replays(&mut slot);
        // A change of the ordering may have had to wait for the rest of a lane.
        slot.follow_ordering();
        // What a hook that gets nothing holds in memory is given up when the last of its attempts has ended.
        if slot.claim.held() == 0 && !slot.leaving {
            slot.shrink();
        }
        // A deleted hook's slot goes when nothing of it is under way.
        if slot.is_over() {
            self.permits.forget(&mut slot.claim);
            self.timers.set(id, None);
            return self.slots.end(id, &slot);
        }
        // A slot with something to start waits for its turn.
        if turn == Turn::Asked && slot.has_ready() {
            self.permits.list(id.number(), &mut slot.claim);
        }
        // A queue with room that is behind is read for.
        self.want_reads(id, &mut slot);
        // The next retry, probe or end of a wait is on the clock.
        self.timers.set(id, slot.next_due());
        self.slots.give_back(id, slot);
    }
}
