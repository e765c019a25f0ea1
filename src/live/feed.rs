//! Follows the log's durable end once for all sessions: reads new events, keeps the events that a session wants, and
//! wakes these sessions. The feed never waits for a session, and does nothing while no session wants any event.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::Notify;

use super::event::LiveEvent;
use super::interest::{Bell, Interest};
use super::ring::EventRing;
use super::subscriptions::Reach;
use crate::log::{ReadError, ReaderOf};
use crate::model::EventOffset;
use crate::tasks::{Beat, Stop, Tasks};

const READ_RECORDS: usize = 512;
const READ_BYTES: usize = 1 << 20;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// State shared by the feed and the sessions.
#[derive(Debug)]
pub(super) struct Shared {
    ring: RwLock<EventRing>,
    /// Locked before `ring` where both are needed.
    interest: Mutex<Interest>,
    /// Notified when a session may want an event.
    wanted: Notify,
    log: ReaderOf<EventOffset>,
}

impl Shared {
    /// Starts at the log's end, without any session.
    pub(super) fn new(shared_bytes: usize, log: ReaderOf<EventOffset>) -> Self {
        let ring = RwLock::new(EventRing::new(shared_bytes, log.end()));
        Self { ring, interest: Mutex::default(), wanted: Notify::new(), log }
    }

    /// Locks the recent events for reading.
    pub(super) fn recent(&self) -> RwLockReadGuard<'_, EventRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, EventRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the accounts whose events a session wants. The ring has all of these events from the returned offset
    /// on.
    pub(super) fn change(
        &self,
        bell: &Arc<Bell>,
        from: &BTreeSet<Reach>,
        to: &BTreeSet<Reach>,
    ) -> EventOffset {
        // The lock on `interest` keeps the feed from adding a batch in between, so the ring's end read here is
        // exactly where the new interest starts to count.
        let mut interest = self.interest();
        if interest.is_empty() {
            // Nothing was read while no session wanted anything.
            self.recent_mut().restart(self.log.end());
        }
        interest.remove(bell, from);
        interest.insert(bell, to);
        self.wanted.notify_one();
        self.recent().end()
    }

    /// Resolves when some session wants events.
    async fn is_wanted(&self) {
        while self.interest().is_empty() {
            self.wanted.notified().await;
        }
    }

    /// The offset for which a session's bell was rung, and the end of the ring. Both are read under one lock, so that
    /// no batch comes in between.
    pub(super) fn take_bell(&self, bell: &Bell) -> (Option<EventOffset>, EventOffset) {
        let _interest = self.interest();
        (bell.take(), self.recent().end())
    }

    /// Reads one batch of the log into the ring. Blocks on the disk.
    fn advance(&self) -> Result<(), ReadError> {
        let from = self.recent().end();
        let batch = self.log.read(from, READ_RECORDS, READ_BYTES)?;
        // Not locked while reading from the disk. A session that joined meanwhile was given the ring's old end, so
        // this batch must be filtered with the interest as it is now.
        let interest = self.interest();
        let wanted = |record| LiveEvent::of(record, |account| interest.wants(account)).map(Arc::new);
        let events: Vec<_> = batch.records.iter().filter_map(wanted).collect();
        let accounts = events.iter().map(|event| event.account).collect();
        self.recent_mut().push(events, batch.next);
        // Push first, then ring: a session that wakes up finds the events.
        interest.ring_bells(&accounts, from);
        Ok(())
    }
}

/// The task that follows the log.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: Tasks,
    pub(super) beat: Beat,
}

impl Feed {
    /// Follows the log until `stop`.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut end = self.shared.log.subscribe();
        loop {
            tokio::select! {
                () = self.shared.is_wanted() => {}
                () = self.beat.given() => continue,
                () = stop.cancelled() => return,
            }
            let shared = Arc::clone(&self.shared);
            let read = self.tasks.spawn_blocking(move || shared.advance()).await;
            if let Ok(Err(error)) = read {
                tracing::error!(%error, "sessions get no events: the events log cannot be read");
                if stop.run_until_cancelled(tokio::time::sleep(TRY_AGAIN)).await.is_none() {
                    return;
                }
                continue;
            }
            let at = self.shared.recent().end();
            let is_over = loop {
                tokio::select! {
                    // An error means that the log has ended.
                    changed = end.wait_for(|end| EventOffset(*end) > at) => break changed.is_err(),
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
