//! Follows the log's durable end once for all sessions: reads what is new, keeps what somebody wants, wakes
//! whom it is for. It waits for no session.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::event::LiveEvent;
use super::interest::{Interest, Waker};
use super::ring::Ring;
use super::subscriptions::Reach;
use crate::log::{ReadError, Reader};
use crate::tasks::{Beat, Stop, Tasks};

const READ_RECORDS: usize = 512;
const READ_BYTES: usize = 1 << 20;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the feed and the sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    ring: RwLock<Ring>,
    /// Taken before `ring` where both are.
    interest: Mutex<Interest>,
}

impl Shared {
    /// Nobody wants anything yet; what is before `at` is not looked at.
    pub(super) fn new(shared_bytes: usize, at: u64) -> Self {
        Self { ring: RwLock::new(Ring::new(shared_bytes, at)), interest: Mutex::default() }
    }

    pub(super) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session wants other accounts from now on. From the offset that this answers, the ring has all of them.
    pub(super) fn change(&self, waker: &Arc<Waker>, from: &BTreeSet<Reach>, to: &BTreeSet<Reach>) -> u64 {
        let mut interest = self.interest();
        interest.remove(waker, from);
        interest.insert(waker, to);
        self.ring().end()
    }

    /// What a session's bell was rung for, and where the ring ends; in between nothing is taken in.
    pub(super) fn bell(&self, waker: &Waker) -> (Option<u64>, u64) {
        let _interest = self.interest();
        (waker.take(), self.ring().end())
    }

    /// Takes in one batch of the log. Blocks on the disk.
    fn advance(&self, log: &Reader) -> Result<(), ReadError> {
        let from = self.ring().end();
        let interest = self.interest();
        if interest.is_empty() {
            // Nobody listens: nothing is read.
            self.ring_mut().restart(log.end());
            return Ok(());
        }
        drop(interest);
        let batch = log.read(from, READ_RECORDS, READ_BYTES)?;
        let interest = self.interest();
        let wanted = |record| LiveEvent::of(record, |account| interest.wants(account)).map(Arc::new);
        let events: Vec<_> = batch.records.iter().filter_map(wanted).collect();
        let accounts = events.iter().map(|event| event.account).collect();
        self.ring_mut().push(events, batch.next);
        interest.ring(&accounts, from);
        Ok(())
    }
}

/// The task that follows the log.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Reader,
    pub(super) tasks: Tasks,
    pub(super) beat: Beat,
}

impl Feed {
    /// Follows until `stop`.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut end = self.log.subscribe();
        loop {
            let (shared, log) = (Arc::clone(&self.shared), self.log.clone());
            let read = self.tasks.spawn_blocking(move || shared.advance(&log)).await;
            if let Ok(Err(error)) = read {
                tracing::error!(%error, "sessions wait: the events log cannot be read: {error}");
                if stop.run_until_cancelled(tokio::time::sleep(TRY_AGAIN)).await.is_none() {
                    return;
                }
                continue;
            }
            let at = self.shared.ring().end();
            let is_over = loop {
                tokio::select! {
                    changed = end.wait_for(|end| *end > at) => break changed.is_err(),
                    () = self.beat.given() => {}
                    () = stop.cancelled() => break true,
                }
            };
            if is_over {
                return;
            }
        }
    }
}
