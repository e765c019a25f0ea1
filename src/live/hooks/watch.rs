//! Looks for all sessions together at what watched hooks do: reads new attempts from the ledger, and compares the state of
//! queues with what it was.
//!
//! Bounds: it looks only while somebody watches, rests after each look at least four times as long as the look took, and
//! keeps one number for each watched hook. News wait in one ring for all sessions; a session that falls behind it is told
//! so. A limited number of sessions may watch, and each tenant has a part of that number.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Instant, sleep, timeout};

use super::binding::News;
use super::scopes::{Kind, Scope, Scopes};
use super::source::{HookQueue, HookSource};
use crate::model::{AccountId, HookId, queue_row};
use crate::shares::Shares;
use crate::tasks::Stop;

/// Batches of news in the ring, and pieces of news of a batch; each has at most about a kilobyte.
pub(super) const RING: usize = 64;
const BATCH: usize = 64;
/// Sessions that may watch at a time, and those of one tenant.
const MOST_WATCHING: usize = 1024;
const MOST_OF_TENANT: usize = 256;
/// Batches that are sent at once; then readers get a moment.
const AT_ONCE: usize = 16;
const MOMENT: Duration = Duration::from_millis(5);
/// Records of the ledger after which a reader that is behind goes on at the end.
const MOST_BEHIND: u64 = 16_384;
/// Time between two looks while something happens.
const PACE: Duration = Duration::from_millis(200);
/// Time between two looks while nothing seems to happen: some states change with time alone.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A look that takes this many times its own time to rest.
const REST: u32 = 4;

/// A batch of news; `None`: something was left out.
pub(super) type Batch = Option<Arc<[News]>>;

/// What sessions and the task share.
#[derive(Debug)]
pub(in crate::live) struct Watch {
    /// How many bindings of all sessions have each scope.
    asked: Mutex<BTreeMap<Scope, usize>>,
    /// Counts changes of `asked`.
    changes: watch::Sender<u64>,
    /// The last change from which on the task tells everything.
    covered: watch::Sender<u64>,
    news: broadcast::Sender<Batch>,
    seats: Arc<Semaphore>,
    parts: Shares<Option<AccountId>>,
}

/// The right of one session to watch.
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

    /// A seat for one more session of a tenant (`None`: of the master account). The error is the limit that is reached.
    pub(super) fn seat(&self, tenant: Option<AccountId>) -> Result<Seat, usize> {
        let of_tenant = self.parts.try_one(tenant).ok_or(MOST_OF_TENANT)?;
        let of_all = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| MOST_WATCHING)?;
        Ok(Seat { _of_all: of_all, _of_tenant: of_tenant })
    }

    pub(super) fn news(&self) -> broadcast::Receiver<Batch> {
        self.news.subscribe()
    }

    /// Puts a batch into the ring. It never waits for readers: one that does not read would hold up all others.
    pub(super) fn tell(&self, batch: Batch) {
        // An error: nobody listens any more.
        let _listeners = self.news.send(batch);
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<Scope, usize>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what a session watches.
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
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Waits until everything that is watched now is told from then on; no longer than a slow look may take.
    pub(super) async fn covered(&self) {
        let change = *self.changes.borrow();
        let mut covered = self.covered.subscribe();
        let _in_time = timeout(HEARTBEAT, covered.wait_for(|covered| *covered >= change)).await;
    }

    /// Says that everything is told that was watched at this change.
    pub(super) fn cover(&self, change: u64) {
        self.covered.send_replace(change);
    }

    fn scopes(&self) -> (Arc<Scopes>, Arc<Scopes>, u64) {
        let asked = self.asked();
        let of = |kind| Arc::new(Scopes::of(kind, asked.keys().copied()));
        (of(Kind::Attempt), of(Kind::Queue), *self.changes.borrow())
    }
}

/// The task that looks.
#[derive(Debug)]
pub(in crate::live) struct WatchTask {
    pub(in crate::live) watch: Arc<Watch>,
    pub(in crate::live) source: Arc<dyn HookSource>,
    /// The end of the events log: what comes in may wait somewhere.
    pub(in crate::live) events: watch::Receiver<u64>,
    /// Changes of documents.
    pub(in crate::live) documents: watch::Receiver<u64>,
    pub(in crate::live) seen: Seen,
}

/// What the task has told already.
#[derive(Debug, Default)]
pub(in crate::live) struct Seen {
    /// The first record of the ledger that was not looked at.
    ledger: Option<u64>,
    /// What was watched in the last look.
    scopes: Arc<Scopes>,
    /// The state of each watched hook, as a number, and its account.
    queues: HashMap<HookId, (AccountId, u64)>,
}

impl WatchTask {
    /// Looks until `stop`.
    pub(in crate::live) async fn run(mut self, stop: Stop) {
        let mut changes = self.watch.changes.subscribe();
        let mut ledger = self.source.ledger();
        let looking = async {
            let mut was_busy = false;
            loop {
                changes.mark_unchanged();
                let (attempts, queues, change) = self.watch.scopes();
                let is_idle = attempts.is_empty() && queues.is_empty();
                let began = Instant::now();
                for end in [&mut ledger, &mut self.events, &mut self.documents] {
                    end.mark_unchanged();
                }
                self.look(attempts, queues).await;
                self.watch.cover(change);
                if is_idle {
                    if changes.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                sleep(began.elapsed() * REST).await;
                // Somebody who begins to watch is not kept waiting.
                let left = PACE.saturating_sub(began.elapsed());
                let _new = timeout(left, changes.changed()).await;
                // After something has happened there is a second look: an attempt may have begun.
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

    async fn look(&mut self, attempts: Arc<Scopes>, queues: Arc<Scopes>) {
        if let Err(error) = self.attempts(attempts).await {
            tracing::warn!(error, "attempts cannot be told to websocket clients: {error}");
        }
        if let Err(error) = self.queues(queues).await {
            tracing::warn!(error, "states of queues cannot be told to websocket clients: {error}");
        }
    }

    async fn attempts(&mut self, of: Arc<Scopes>) -> Result<(), String> {
        let end = *self.source.ledger().borrow();
        if of.is_empty() {
            self.seen.ledger = None;
            return Ok(());
        }
        let mut from = *self.seen.ledger.get_or_insert(end);
        if end.saturating_sub(from) > MOST_BEHIND {
            self.seen.ledger = Some(end);
            self.watch.tell(None);
            return Ok(());
        }
        while from < end {
            let page = self.source.attempts(from, Arc::clone(&of)).await?;
            from = page.next.max(from + 1);
            self.seen.ledger = Some(from);
            let news = page.news.into_iter().map(|attempt| {
                let mut data = attempt.document;
                data.insert("account_id".into(), attempt.account.to_string().into());
                News { kind: Kind::Attempt, account: attempt.account, hook: attempt.hook, data }
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
                // Made since the last look; or watched only now, and then its state is known to those who ask for it.
                None => self.seen.scopes.covers(account, hook),
            };
            seen.insert(hook, (account, mark));
            if is_new {
                news.push(News { kind: Kind::Queue, account, hook, data: told(&one) });
            }
        }
        // What is left was there before.
        let gone = std::mem::replace(&mut self.seen.queues, seen);
        let gone = gone.into_iter().filter(|(hook, (account, _))| of.covers(*account, *hook));
        news.extend(gone.map(|(hook, (account, _))| {
            let mut data = names(account, hook);
            data.insert("state".into(), "deleted".into());
            News { kind: Kind::Queue, account, hook, data }
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

/// What is told of a queue.
fn told(one: &HookQueue) -> Map<String, Value> {
    let mut data = names(one.hook.account, one.hook.id);
    data.insert("name".into(), one.hook.name.clone().into());
    data.insert("enabled".into(), one.hook.enabled.into());
    data.insert("disabled_at".into(), one.hook.disabled_at_s.into());
    data.extend(queue_row(&one.status, one.pulse.as_ref()));
    data
}

/// A number that changes with what is worth telling: not with ages, and not with the log's end.
fn mark(one: &HookQueue) -> u64 {
    let HookQueue { hook, status, pulse } = one;
    let mut hasher = DefaultHasher::new();
    (&hook.name, hook.enabled, hook.disabled_at_s, &hook.revision).hash(&mut hasher);
    (status.state, status.paused, status.waiting, status.waiting_exact, status.in_flight).hash(&mut hasher);
    (status.dead, status.recent_failures, status.next_try_at_us, &status.disable_reason).hash(&mut hasher);
    (status.gap.map(|gap| (gap.from, gap.until)), pulse.map(|pulse| pulse.last.ended_us)).hash(&mut hasher);
    hasher.finish()
}
