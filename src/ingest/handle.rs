//! The way into the log, shared by the broker's consumer and the API, with its memory of recent events.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::counts::Counts;
use super::keys::Requests;
use super::prepare::{self, FromHttp, Incoming, NotUnderstood, Prepared};
use super::windows::{KnownCall, SeenMessage, Windows};
use crate::kazoo::Facts;
use crate::log::{AppendError, Appender, NewRecord, ReadError, ReaderOf, Synced};
use crate::model::{AccountId, Clock, EventOffset, Source};

/// The limits of ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The largest body of an event. A larger event from the broker is quarantined with the beginning of its body; a
    /// larger event from an HTTP client is refused.
    pub max_event_bytes: usize,
    /// The largest number of bytes of HTTP clients' events that may wait for the disk at once.
    pub max_waiting_bytes: usize,
    /// The number of recent messages that are recognised, and of recent calls whose account is known.
    pub window: usize,
    /// Whether there are several brokers. Then each of them may hand out a copy of the same message.
    pub several_brokers: bool,
    /// Finds the account of a SIP realm. A presence event names its account by the realm alone.
    pub realms: Realms,
    /// Finds the tenant of an account.
    pub tenants: Tenants,
}

/// Finds the tenant of an account.
#[derive(Clone)]
pub struct Tenants(Arc<TenantOf>);

type TenantOf = dyn Fn(AccountId) -> AccountId + Send + Sync;

impl Tenants {
    /// Finds tenants with the function `look`.
    pub fn new(look: impl Fn(AccountId) -> AccountId + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub(super) fn of(&self, account: AccountId) -> AccountId {
        (self.0)(account)
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self::new(|account| account)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tenants")
    }
}

/// Finds the account of a SIP realm.
#[derive(Clone)]
pub struct Realms(Arc<Look>);

type Look = dyn Fn(&str) -> Option<AccountId> + Send + Sync;

impl Realms {
    /// Finds accounts with the function `look`.
    pub fn new(look: impl Fn(&str) -> Option<AccountId> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }
}

impl Default for Realms {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Realms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Realms")
    }
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            max_event_bytes: 4 << 20,
            max_waiting_bytes: 16 << 20,
            window: 65_536,
            several_brokers: false,
            realms: Realms::default(),
            tenants: Tenants::default(),
        }
    }
}

/// Why the events of an HTTP request were refused. None of them was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The disk has less free space than its reserve.
    #[error("no room on disk")]
    Full,
    /// More is waiting for the disk than `max_waiting_bytes` allows.
    #[error("too many events are waiting to be stored")]
    Busy,
    /// An event is larger than allowed.
    #[error("event {index} has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its index in the request.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// An event cannot be understood.
    #[error("event {index} is not understood: {reason}")]
    NotUnderstood {
        /// Its index in the request.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The log takes no more events.
    #[error("events cannot be stored: {0}")]
    Closed(String),
}

/// The way into the log. A cheap handle.
#[derive(Debug, Clone)]
pub struct Ingest(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    appender: Appender,
    clock: Clock,
    max_event_bytes: usize,
    max_waiting_bytes: usize,
    waiting: Semaphore,
    several_brokers: bool,
    realms: Realms,
    windows: Mutex<Windows>,
    requests: Requests,
    counts: Counts,
}

impl Ingest {
    /// Creates the way into the log behind `appender`. Blocks: reads the end of the log to restore the windows.
    pub fn new(
        appender: Appender,
        reader: &ReaderOf<EventOffset>,
        clock: Clock,
        options: &IngestOptions,
    ) -> Result<Self, ReadError> {
        let mut windows = Windows::new(options.window);
        let requests = Requests::new(clock.clone(), options.tenants.clone());
        windows.rebuild(reader, options.window, &requests)?;
        Ok(Self(Arc::new(Inner {
            appender,
            clock,
            max_event_bytes: options.max_event_bytes,
            max_waiting_bytes: options.max_waiting_bytes,
            waiting: Semaphore::new(options.max_waiting_bytes.min(Semaphore::MAX_PERMITS)),
            several_brokers: options.several_brokers,
            realms: options.realms.clone(),
            windows: Mutex::new(windows),
            requests,
            counts: Counts::default(),
        })))
    }

    /// Prepares a message of the broker or of Switchhook itself: finds its account, quarantines it when it cannot be
    /// understood, and recognises a message that was handed out before and is in the log.
    #[must_use]
    pub fn prepare(&self, incoming: &Incoming) -> Prepared {
        let (max, time_us) = (self.0.max_event_bytes, self.0.clock.now_us());
        match prepare::understand(incoming, max) {
            Ok(understood) => {
                let facts = &understood.facts;
                let mut windows = self.windows();
                // The windows stay locked until the message is entered: two brokers may hand out copies of it at the
                // same moment, and only one of them is new.
                let account = self.of_realm(facts).or_else(|| windows.account_of(facts, incoming.origin));
                let seen_key = windows.seen_key(&facts.msg_id, &facts.name, &facts.subject);
                let duplicate =
                    seen_key.is_some_and(|key| windows.is_copy(key, incoming, self.0.several_brokers));
                let record = prepare::record(incoming, &understood, account, time_us);
                let counts = &self.0.counts;
                if incoming.source == Source::Amqp {
                    if duplicate { &counts.amqp_duplicate } else { &counts.amqp_taken }.one();
                }
                Prepared { record, account, quarantine: None, seen_key, duplicate }
            }
            Err(why) => {
                self.0.counts.amqp_quarantined.one();
                // It has no key in the window: a message that is not understood has no reliable `Msg-ID`. If the
                // broker hands it out again, it is stored twice.
                let record = prepare::quarantined(incoming, &why, max, time_us);
                let NotUnderstood { reason, account } = why;
                Prepared { record, account, quarantine: Some(reason), seen_key: None, duplicate: false }
            }
        }
    }

    /// Prepares an event of an HTTP client. The caller must check that the client may use the account of the event
    /// ([`Prepared::account`]).
    pub fn prepare_http(&self, event: FromHttp<'_>) -> Result<Prepared, SubmitError> {
        let FromHttp { index, default, handed_in, .. } = event;
        let (bytes, max) = (event.body.len(), self.0.max_event_bytes);
        if bytes > max {
            self.0.counts.http_refused.one();
            return Err(SubmitError::TooLarge { index, bytes, max });
        }
        let incoming = event.into_incoming();
        let understood = prepare::understand(&incoming, max)
            .inspect_err(|_| self.0.counts.http_refused.one())
            .map_err(|why| SubmitError::NotUnderstood { index, reason: why.reason })?;
        // Neither the account of the call nor the message id is looked up in the windows: with a chosen id, a
        // client could claim another tenant's call or make a broker's message look like a copy.
        let account = Some(understood.facts.account.unwrap_or(default));
        let now_us = self.0.clock.now_us();
        let record = prepare::record_of_request(&incoming, &understood, account, handed_in, now_us);
        Ok(Prepared { record, account, quarantine: None, seen_key: None, duplicate: false })
    }

    /// Appends all prepared events or none. Returns their offsets after they are on disk.
    pub async fn append(&self, prepared: Vec<Prepared>) -> Result<Range<EventOffset>, SubmitError> {
        let records: Vec<NewRecord> = prepared.into_iter().map(|p| p.record).collect();
        // A request that is larger than the whole limit needs all permits: it is accepted while nothing else
        // waits.
        let bytes = records.iter().map(|r| r.payload.len()).sum::<usize>().min(self.0.max_waiting_bytes);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let count = records.len() as u64;
        // Not waited for: a client that waits would keep its events in memory, and that is what the limit bounds.
        let appended = match self.0.waiting.try_acquire_many(permits) {
            Ok(_waiting) => self.0.appender.append(records).await.map_err(SubmitError::from),
            Err(_) => Err(SubmitError::Busy),
        };
        let counts = &self.0.counts;
        if appended.is_ok() { &counts.http_taken } else { &counts.http_refused }.add(count);
        appended.map(|Range { start, end }| EventOffset(start)..EventOffset(end))
    }

    /// Prepares and appends all events of an HTTP client, or none.
    pub async fn submit(
        &self,
        bodies: Vec<Bytes>,
        default: AccountId,
    ) -> Result<Range<EventOffset>, SubmitError> {
        let bodies = bodies.into_iter().enumerate();
        let prepared: Result<Vec<_>, _> =
            bodies.map(|(index, body)| self.prepare_http(FromHttp::new(index, body, default))).collect();
        self.append(prepared?).await
    }

    /// The recent requests that had an `Idempotency-Key`.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// Passes records to the log without waiting for the disk.
    pub(super) async fn begin_append(&self, records: Vec<NewRecord>) -> Result<Synced, AppendError> {
        self.0.appender.submit(records).await
    }

    /// Marks messages as stored in the log.
    pub(super) fn remember(&self, keys: &[u64]) {
        let mut windows = self.windows();
        for key in keys {
            let origin = windows.seen.get(*key).and_then(|seen| seen.origin);
            windows.seen.put(*key, SeenMessage { origin, stored: true });
        }
        windows.from_broker_us = Some(self.0.clock.now_us());
    }

    /// Forgets messages that did not get into the log. The broker still has them and will hand them out again.
    pub(super) fn forget(&self, keys: &[u64]) {
        let mut windows = self.windows();
        for key in keys {
            // A copy of the message may have been stored meanwhile, from another broker. Its key stays.
            if windows.seen.get(*key).is_some_and(|seen| !seen.stored) {
                windows.seen.remove(*key);
            }
        }
    }

    /// When the last event from the broker was stored; `None` when none of the windows' events came from the broker.
    pub(super) fn last_from_broker_us(&self) -> Option<u64> {
        self.windows().from_broker_us
    }

    /// The counters since the start.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// What recent events of the broker said about a call.
    #[must_use]
    pub fn call(&self, call_id: &str) -> Option<KnownCall> {
        let mut windows = self.windows();
        let key = windows.calls.key(call_id);
        windows.calls.get(key)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The account of a presence event from the broker: the owner of its realm. Not used for events of HTTP clients,
    /// because a client could name another tenant's realm.
    fn of_realm(&self, facts: &Facts) -> Option<AccountId> {
        let is_presence = facts.category == "presence" && !facts.detail.is_empty();
        is_presence.then(|| (self.0.realms.0)(&facts.detail)).flatten()
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<AppendError> for SubmitError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            other => Self::Closed(other.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
