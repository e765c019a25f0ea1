//! Decisions about documents on their way to the keeper: a hook is disabled or enabled, a replay has ended.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::keeper::Action;

/// Decisions that the keeper does not have yet, in order.
#[derive(Debug)]
pub(super) struct Decisions {
    waiting: VecDeque<Action>,
    keeper: mpsc::Sender<Action>,
}

impl Decisions {
    /// No decision yet; `keeper` is the channel to the keeper.
    pub(super) fn new(keeper: mpsc::Sender<Action>) -> Self {
        Self { waiting: VecDeque::new(), keeper }
    }

    /// Adds a decision, which is passed on after all earlier ones.
    pub(super) fn add(&mut self, decision: Action) {
        self.waiting.push_back(decision);
    }

    /// Passes on as many decisions as the channel has room for. Never waits: the keeper writes to the state, and the state
    /// may be waiting for the engine to read its channel of changes.
    pub(super) fn pass_on(&mut self) {
        while let Some(decision) = self.waiting.pop_front() {
            match self.keeper.try_send(decision) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(decision)) => {
                    self.waiting.push_front(decision);
                    return;
                }
                // The program is stopping. After the next start the ledger leads to the same decision.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queues::testing::hook;

    #[test]
    fn decisions_wait_for_room_in_the_channel_and_keep_their_order() {
        let (keeper, mut passed_on) = mpsc::channel(1);
        let mut decisions = Decisions::new(keeper);
        for id in 1..=3 {
            decisions.add(Action::Enable { hook: Arc::new(hook(id)) });
        }
        let mut ids = Vec::new();
        for _ in 0..3 {
            decisions.pass_on();
            while let Ok(Action::Enable { hook }) = passed_on.try_recv() {
                ids.push(hook.id.0);
            }
        }
        assert_eq!(ids, [1, 2, 3]);
    }
}
