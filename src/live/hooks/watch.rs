//! The task that looks for news of watched hooks and accounts, for all sessions: it reads new attempts from the ledger and
//! new events from the log, and compares the state of each queue with the state before.
//!
//! Bounds: the task looks only while a session watches, rests after each look at least four times as long as the look
//! took, and keeps one number per watched hook. News wait in one ring for all sessions; a session that falls behind
//! the ring gets a frame that says so. The number of sessions that watch is limited, in total and for each tenant.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep, timeout};

use super::binding::{About, News};
use super::scopes::{Kind, Scope, Scopes};
use super::source::{HookQueue, HookSource};
use crate::model::{AccountId, EventNews, EventOffset, HookId, LedgerOffset, Offset, queue_row};
use crate::shares::Shares;
use crate::tasks::Stop;

/// The number of batches in the ring, and of news in a batch. One piece of news has at most about a kilobyte.
pub(super) const RING: usize = 64;
const BATCH: usize = 64;
/// The largest number of sessions that watch, in total and of one tenant.
const MOST_WATCHING: usize = 1024;
const MOST_OF_TENANT: usize = 256;
/// The number of batches that are sent at once. Then the task pauses, so that sessions can read them.
const AT_ONCE: usize = 16;
const MOMENT: Duration = Duration::from_millis(5);
/// If more records of the ledger than this are unread, the task continues at the end.
const MOST_BEHIND: u64 = 16_384;
/// The time between two looks while something happens.
const PACE: Duration = Duration::from_millis(200);
/// The time between two looks while nothing seems to happen. Looks are needed because some states change with time
/// alone.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After a look, the task rests for this many times the duration of the look.
const REST: u32 = 4;

/// A batch of news; `None`: news were lost.
pub(super) type Batch = Option<Arc<[News]>>;

/// The data that sessions and the task share.
#[derive(Debug)]
pub(in crate::live) struct Watch {
    /// The number of bindings of each scope, in all sessions.
    asked: Mutex<BTreeMap<Scope, usize>>,
    /// Counts changes of `asked`.
    changes: watch::Sender<u64>,
    /// The last change from which on the task sends all news.
    covered: watch::Sender<u64>,
    news: broadcast::Sender<Batch>,
    seats: Arc<Semaphore>,
    parts: Shares<Option<AccountId>>,
}

/// A session's right to watch.
#[derive(Debug)]
pub(super) struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
}

impl Watch {
    pub(in crate::live) fn new() -> Self {
        Self {
            asked: Mutex::default(),
            changes: watch::Sender::new(0),
            covered: watch::Sender::new(0),
            news: broadcast::Sender::new(RING),
            seats: Arc::new(Semaphore::new(MOST_WATCHING)),
            parts: Shares::new(MOST_OF_TENANT),
        }
    }

    /// Gives a seat to a session of a tenant (`None`: of the master account). The error is the limit that was
    /// reached.
    pub(super) fn seat(&self, tenant: Option<AccountId>) -> Result<Seat, usize> {
        let of_tenant = self.parts.try_one(tenant).ok_or(MOST_OF_TENANT)?;
        let of_all = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| MOST_WATCHING)?;
        Ok(Seat { _of_all: of_all, _of_tenant: of_tenant })
    }

    pub(super) fn news(&self) -> broadcast::Receiver<Batch> {
        self.news.subscribe()
    }

    /// Puts a batch into the ring. Never waits for readers, because one slow reader would delay all others.
    pub(super) fn tell(&self, batch: Batch) {
        // An error means that no session receives news any more.
        let _listeners = self.news.send(batch);
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<Scope, usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the scopes that a session watches.
    pub(super) fn change(&self, from: &[Scope], to: &[Scope]) {
        let mut asked = self.asked();
        for scope in to {
            *asked.entry(*scope).or_default() += 1;
        }
        for scope in from {
            if let Some(count) = asked.get_mut(scope) {
                *count -= 1;
                if *count == 0 {
                    asked.remove(scope);
                }
            }
        }
        // Still under the lock, so that `watched` sees the scopes and the number of their last change together.
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Waits until the task sends all news of the scopes watched now, but no longer than a slow look takes.
    pub(super) async fn covered(&self) {
        let change = *self.changes.borrow();
        let mut covered = self.covered.subscribe();
        let _in_time = timeout(HEARTBEAT, covered.wait_for(|covered| *covered >= change)).await;
    }

    /// Notes that the task sends all news of the scopes that were watched at this change.
    pub(super) fn cover(&self, change: u64) {
        self.covered.send_replace(change);
    }

    fn watched(&self) -> Watched {
        let asked = self.asked();
        let of = |kind| Arc::new(Scopes::of(kind, asked.keys().copied()));
        Watched {
            attempts: of(Kind::Attempt),
            queues: of(Kind::Queue),
            events: of(Kind::Event),
            change: *self.changes.borrow(),
        }
    }
}

/// What all sessions together watch.
struct Watched {
    attempts: Arc<Scopes>,
    queues: Arc<Scopes>,
    events: Arc<Scopes>,
    /// The change of `asked` up to which this holds.
    change: u64,
}

impl Watched {
    fn is_nothing(&self) -> bool {
        [&self.attempts, &self.queues, &self.events].iter().all(|scopes| scopes.is_empty())
    }
}

/// The task that looks for news.
#[derive(Debug)]
pub(in crate::live) struct WatchTask {
    pub(in crate::live) watch: Arc<Watch>,
    pub(in crate::live) source: Arc<dyn HookSource>,
    /// The end of the events log. It grows when an event arrives, which may then wait in a queue.
    pub(in crate::live) events: watch::Receiver<u64>,
    /// Changes when a document changes.
    pub(in crate::live) documents: watch::Receiver<u64>,
    pub(in crate::live) seen: WatchState,
}

/// What the task has looked at.
#[derive(Debug, Default)]
pub(in crate::live) struct WatchState {
    /// The first unread record of the ledger, and of the events log.
    ledger: Option<LedgerOffset>,
    events: Option<EventOffset>,
    /// The scopes of queues at the last look.
    scopes: Arc<Scopes>,
    /// For each watched hook, its account and a hash of its state.
    queues: HashMap<HookId, (AccountId, u64)>,
}

/// The first unread record before `end`. `None`: nothing is watched, or too much is unread. In that case the sessions learn that
/// news are missing, and reading goes on at the end.
fn unread<O: Offset>(seen: &mut Option<O>, end: O, of: &Scopes, watch: &Watch) -> Option<O> {
    if of.is_empty() {
        *seen = None;
        return None;
    }
    let from = *seen.get_or_insert(end);
    if end.number().saturating_sub(from.number()) <= MOST_BEHIND {
        return Some(from);
    }
    *seen = Some(end);
    watch.tell(None);
    None
}

impl WatchTask {
    /// Looks until `stop`.
    pub(in crate::live) async fn run(mut self, stop: Stop) {
        let mut changes = self.watch.changes.subscribe();
        let mut ledger = self.source.ledger();
        let looking = async {
            let mut was_busy = false;
            loop {
                // Before the scopes and ends are read: a change in between causes another look instead of being
                // missed.
                changes.mark_unchanged();
                let watched = self.watch.watched();
                let began = Instant::now();
                for end in [&mut ledger, &mut self.events, &mut self.documents] {
                    end.mark_unchanged();
                }
                self.look(&watched).await;
                self.watch.cover(watched.change);
                if watched.is_nothing() {
                    if changes.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                sleep(began.elapsed() * REST).await;
                // A session that starts to watch ends the pause.
                let left = PACE.saturating_sub(began.elapsed());
                // The change is seen by a copy, so that the wait below ends at once too.
                let mut seen = changes.clone();
                let _new = timeout(left, seen.changed()).await;
                // After a change the next look comes soon, because the change may have started an
                // attempt.
                let most = if was_busy { PACE } else { HEARTBEAT };
                was_busy = tokio::select! {
                    _ = changes.changed() => false,
                    Ok(()) = ledger.changed() => true,
                    Ok(()) = self.events.changed() => true,
                    Ok(()) = self.documents.changed() => true,
                    () = sleep(most) => false,
                };
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&mut self, watched: &Watched) {
        if let Err(error) = self.attempts(Arc::clone(&watched.attempts)).await {
            tracing::warn!(error, "cannot send attempts to websocket clients: {error}");
        }
        if let Err(error) = self.events(Arc::clone(&watched.events)).await {
            tracing::warn!(error, "cannot send events to websocket clients: {error}");
        }
        if let Err(error) = self.queues(Arc::clone(&watched.queues)).await {
            tracing::warn!(error, "cannot send states of queues to websocket clients: {error}");
        }
    }

    async fn attempts(&mut self, of: Arc<Scopes>) -> Result<(), String> {
        let end = LedgerOffset(*self.source.ledger().borrow());
        let Some(mut from) = unread(&mut self.seen.ledger, end, &of, &self.watch) else { return Ok(()) };
        while from < end {
            let page = self.source.attempts(from, Arc::clone(&of)).await?;
            from = page.next.max(from + 1);
            // Noted page by page, so that a failure of a later page does not repeat the news of this one.
            self.seen.ledger = Some(from);
            let news = page.news.into_iter().map(|attempt| {
                let mut data = attempt.document;
                data.insert("account_id".into(), attempt.account.to_string().into());
                News { about: About::Attempt(attempt.hook), account: attempt.account, data }
            });
            self.tell_all(news.collect()).await;
        }
        Ok(())
    }

    async fn events(&mut self, of: Arc<Scopes>) -> Result<(), String> {
        let end = EventOffset(*self.events.borrow());
        let Some(mut from) = unread(&mut self.seen.events, end, &of, &self.watch) else { return Ok(()) };
        while from < end {
            let page = self.source.events(from, Arc::clone(&of)).await?;
            from = page.next.max(from + 1);
            self.seen.events = Some(from);
            let news = page.news.into_iter();
            let news = news.map(|EventNews { account, event, document: data }| News {
                about: About::Event(event),
                account,
                data,
            });
            self.tell_all(news.collect()).await;
        }
        Ok(())
    }

    async fn queues(&mut self, of: Arc<Scopes>) -> Result<(), String> {
        if of.is_empty() {
            self.seen.queues.clear();
            self.seen.scopes = of;
            return Ok(());
        }
        let now = self.source.queues(Arc::clone(&of)).await?;
        let mut seen = HashMap::with_capacity(now.len());
        let mut news = Vec::new();
        for one in now {
            let (account, hook) = (one.hook.account, one.hook.id);
            let mark = mark(&one);
            let is_new = match self.seen.queues.remove(&hook) {
                Some((_, before)) => before != mark,
                // Either the hook is new, which is news; or it is watched only now, and the client
                // reads its state from the API.
                None => self.seen.scopes.covers(account, hook),
            };
            seen.insert(hook, (account, mark));
            if is_new {
                news.push(News { about: About::Queue(hook), account, data: queue_news(&one) });
            }
        }
        // The remaining hooks existed at the last look, and do not exist any more.
        let gone = std::mem::replace(&mut self.seen.queues, seen);
        let gone = gone.into_iter().filter(|(hook, (account, _))| of.covers(*account, *hook));
        news.extend(gone.map(|(hook, (account, _))| {
            let mut data = names(account, hook);
            data.insert("state".into(), "deleted".into());
            News { about: About::Queue(hook), account, data }
        }));
        self.seen.scopes = of;
        self.tell_all(news).await;
        Ok(())
    }

    async fn tell_all(&self, news: Vec<News>) {
        for (at, batch) in news.chunks(BATCH).enumerate() {
            if at > 0 && at % AT_ONCE == 0 {
                sleep(MOMENT).await;
            }
            self.watch.tell(Some(batch.into()));
        }
    }
}

fn names(account: AccountId, hook: HookId) -> Map<String, Value> {
    let names = [("id", hook.to_string()), ("account_id", account.to_string())];
    names.into_iter().map(|(name, id)| (name.to_owned(), id.into())).collect()
}

/// The news of a queue.
fn queue_news(one: &HookQueue) -> Map<String, Value> {
    let mut data = names(one.hook.account, one.hook.id);
    data.insert("name".into(), one.hook.name.clone().into());
    data.insert("enabled".into(), one.hook.enabled.into());
    data.insert("disabled_at".into(), one.hook.disabled_at_s.into());
    data.extend(queue_row(&one.status, one.pulse.as_ref()));
    data
}

/// A hash of the state. It leaves out ages and the log's end, which change all the time.
fn mark(one: &HookQueue) -> u64 {
    let HookQueue { hook, status, pulse } = one;
    let mut hasher = DefaultHasher::new();
    (&hook.name, hook.enabled, hook.disabled_at_s, &hook.revision).hash(&mut hasher);
    (status.state, status.paused, status.waiting, status.waiting_exact, status.in_flight).hash(&mut hasher);
    (status.dead, status.recent_failures, status.next_try_at_us, &status.disable_reason).hash(&mut hasher);
    (status.gap.map(|gap| (gap.from, gap.until)), pulse.map(|pulse| pulse.last.ended_us)).hash(&mut hasher);
    hasher.finish()
}
