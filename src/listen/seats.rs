//! The connections that wait for a request, in the order in which they began to wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tasks::Stop;

/// All waiting connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<WaitingConnections>>);

#[derive(Debug, Default)]
struct WaitingConnections {
    next: u64,
    by_turn: BTreeMap<u64, Stop>,
}

/// The seat of one connection, from its start to its end.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    /// Position in the order of waiting; `None` while the connection is busy.
    turn: Mutex<Option<u64>>,
    gives_way: Stop,
}

/// Marks a connection as busy with a request; when dropped, the connection waits again.
#[derive(Debug)]
pub struct Busy(Arc<Seat>);

impl Seats {
    /// A seat for a connection that waits from now on, and the token that tells it to make room.
    pub(super) fn take(&self) -> (Seat, Stop) {
        let gives_way = Stop::new();
        let seat = Seat { seats: self.clone(), turn: Mutex::default(), gives_way: gives_way.clone() };
        seat.wait();
        (seat, gives_way)
    }

    /// Ends the connection that has waited longest; false when none waits.
    pub(super) fn make_room(&self) -> bool {
        let longest = self.waiting().by_turn.pop_first();
        if let Some((_, gives_way)) = &longest {
            gives_way.cancel();
        }
        longest.is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingConnections> {
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

    /// Lock order: after the seats, never before.
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
    fn the_longest_waiting_connection_makes_room_but_never_a_busy_one() {
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
