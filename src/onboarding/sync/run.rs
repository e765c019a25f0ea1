//! The loop of the sync: when to read everything, when only the documents named by hints, and how long to wait after
//! a failure.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Sync;
use super::feeds::{Feed, follow, listen};
use super::round::{Came, Round};
use super::status::{Doing, SyncStatus};
use crate::onboarding::source::Source;
use crate::tasks::{Stop, Tasks};

/// The first wait after a failure; it doubles after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait after a failure. A KAZOO that works again is followed after at most this time.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Hints that are always followed one by one.
const MANY: usize = 100;

impl Sync {
    /// Follows the KAZOO until `stop`.
    pub async fn run(self, stop: Stop) {
        let (hints, tasks, status) = (Arc::clone(&self.hints), self.tasks.clone(), self.status.clone());
        let following = follow(self.events.clone(), self.events.end(), Arc::clone(&hints), tasks.clone());
        spawn(&tasks, "kazoo-hints", stop.clone(), following);
        if matches!(self.source, Source::Couch(_)) {
            self.follow_feeds(&stop).await;
        }
        let (settle, clock) = (self.options.settle, self.clock.clone());
        let mut pace = Pace::new(settle, self.options.interval);
        let mut round = Round::new(self);
        let working = async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(pace.due) => {}
                    () = hints.rung(), if !pace.is_failing() => tokio::time::sleep(settle).await,
                }
                // Taken before the reading begins: a hint that arrives during it waits for the next round, because
                // the reading may have passed its document.
                let pending = hints.take();
                // To read more than there is one by one takes longer than to read everything.
                let is_many = pending.count() > round.known().max(MANY);
                if pending.all || is_many {
                    pace.full_is_wanted();
                }
                if is_many && !pace.full_is_due() {
                    hints.put_back(pending);
                    tokio::time::sleep_until(pace.due).await;
                    continue;
                }
                let (started, is_full) = (Instant::now(), pace.full_is_due());
                let now_s = clock.now_us() / 1_000_000;
                let came = if is_full {
                    round.all(&pending, now_s).await
                } else {
                    round.some(&pending, now_s).await
                };
                match came {
                    Ok(came) => pace.came(came, is_full, started),
                    Err(error) => {
                        hints.put_back(pending);
                        tracing::warn!(%error, "could not follow KAZOO; trying again");
                        failed(&status, error);
                        pace.failed();
                    }
                }
                status.send_modify(|status| status.pending = hints.count());
            }
        };
        stop.run_until_cancelled(working).await;
    }

    /// Follows the feeds of changes of accounts and of hooks, each in a separate task.
    async fn follow_feeds(&self, stop: &Stop) {
        // The positions are read before the first full reading, so that no change falls between the two.
        let places = stop.run_until_cancelled(self.source.places()).await;
        let places = places.and_then(Result::ok).flatten().map_or([None, None], |places| places.map(Some));
        for (number, place) in places.into_iter().enumerate() {
            let status = self.status.clone();
            let tell = move |error: Option<String>| {
                status.send_if_modified(|status| {
                    let is_new = status.feed_errors.get(number) != Some(&error);
                    status.feed_errors.get_mut(number).into_iter().for_each(|told| told.clone_from(&error));
                    is_new
                });
            };
            let feed = Feed { number, place, pause: self.options.settle, tell };
            let listening = listen(feed, self.source.clone(), Arc::clone(&self.hints));
            spawn(&self.tasks, "kazoo-feed", stop.clone(), listening);
        }
    }
}

fn spawn(tasks: &Tasks, name: &'static str, stop: Stop, work: impl Future<Output = ()> + Send + 'static) {
    drop(tasks.spawn(name, async move { stop.run_until_cancelled_owned(work).await }));
}

fn failed(status: &tokio::sync::watch::Sender<SyncStatus>, error: String) {
    status.send_modify(|status| {
        status.state = Doing::Failing;
        status.failures += 1;
        status.last_error = Some(error);
    });
}

/// Decides when the next full reading is due.
struct Pace {
    settle: Duration,
    interval: Duration,
    due: Instant,
    /// Full readings take at most half of the time.
    earliest: Instant,
    /// The next wait after a failure.
    wait: Option<Duration>,
    /// The number of readings in a row that left a part waiting.
    unfinished: u32,
}

impl Pace {
    fn new(settle: Duration, interval: Duration) -> Self {
        let now = Instant::now();
        Self { settle, interval, due: now, earliest: now, wait: None, unfinished: 0 }
    }

    fn is_failing(&self) -> bool {
        self.wait.is_some()
    }

    fn full_is_wanted(&mut self) {
        self.due = self.due.min(Instant::now().max(self.earliest));
    }

    fn full_is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    fn came(&mut self, came: Came, was_full: bool, started: Instant) {
        let now = Instant::now();
        self.wait = None;
        if was_full {
            self.earliest = now + (now - started);
            self.due = now + self.interval;
            self.unfinished = if came == Came::Whole { 0 } else { self.unfinished + 1 };
        }
        if came == Came::InPart {
            // The rest is tried again soon, and then at growing intervals.
            let again = (self.settle * 10).saturating_mul(1 << self.unfinished.min(16));
            self.due = self.due.min((now + again.min(self.interval)).max(self.earliest));
        }
    }

    /// Notes a failure; the next attempt reads everything.
    fn failed(&mut self) {
        let wait = self.wait.map_or(FIRST_WAIT, |wait| wait * 2).min(LONGEST_WAIT).min(self.interval);
        self.wait = Some(wait);
        self.due = Instant::now() + wait;
    }
}
