//! Which connections wait for a request, in the order in which they began to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tasks::Stop;

/// All that wait. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    by_turn: BTreeMap<u64, Stop>,
}

/// One connection, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    /// None while it is busy.
    turn: Mutex<Option<u64>>,
    gives_way: Stop,
}

/// A connection whose request is being answered; dropped, it waits for the next one.
#[derive(Debug)]
pub struct Busy(Arc<Seat>);

impl Seats {
    /// A connection that waits from now on, and what tells it to make room.
    pub(super) fn take(&self) -> (Seat, Stop) {
        let gives_way = Stop::new();
        let seat = Seat { seats: self.clone(), turn: Mutex::default(), gives_way: gives_way.clone() };
        seat.wait();
        (seat, gives_way)
    }

    /// Ends the connection that has waited for the longest; false when none waits.
    pub(super) fn make_room(&self) -> bool {
        let longest = self.waiting().by_turn.pop_first();
        if let Some((_, gives_way)) = &longest {
            gives_way.cancel();
        }
        longest.is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn wait(&self) {
        let mut waiting = self.seats.waiting();
        let turn = waiting.next;
        waiting.next += 1;
        waiting.by_turn.insert(turn, self.gives_way.clone());
        *self.turn() = Some(turn);
    }

    fn work(&self) {
        let mut waiting = self.seats.waiting();
        if let Some(turn) = self.turn().take() {
            waiting.by_turn.remove(&turn);
        }
    }

    /// Locked after the seats, never before.
    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.work();
    }
}

impl Busy {
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        seat.work();
        Self(seat)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_for_the_longest_makes_room_and_no_busy_one_does() {
        let seats = Seats::default();
        let (first, first_goes) = seats.take();
        let (second, second_goes) = seats.take();
        let (third, third_goes) = seats.take();
        let busy = Busy::new(Arc::new(first));
        drop(second);
        assert!(seats.make_room());
        assert!(!seats.make_room(), "one is busy, one is gone");
        drop(third);
        drop(busy);
        assert!(!seats.make_room());
        let ended = [first_goes, second_goes, third_goes].map(|gives_way| gives_way.is_cancelled());
        assert_eq!(ended, [false, false, true]);

        let (again, goes) = seats.take();
        let again = Arc::new(again);
        drop(Busy::new(Arc::clone(&again)));
        let (_later, later_goes) = seats.take();
        assert!(seats.make_room() && goes.is_cancelled() && !later_goes.is_cancelled());
    }
}
