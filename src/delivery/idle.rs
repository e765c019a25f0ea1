//! Keeps idle connections to receivers for their next request.
//!
//! Invariant: a connection has one request at a time, and only that request's attempt drives it. There is no task per
//! connection or request. An idle connection is checked when it is taken and at intervals, so that one that its
//! receiver has closed is neither used nor kept.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use tokio::time::Instant;

use super::connect::Stream;

type Driver = http1::Connection<Stream, Full<Bytes>>;

/// An open connection.
pub(super) struct Open {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    origin: Arc<str>,
    made: Instant,
    /// Reads and writes on the connection; `None` once it has ended.
    driver: Option<Pin<Box<Driver>>>,
    /// Received bytes that were not understood when the driver ended.
    unread: Bytes,
}

/// HTTP/1.1 with the leniency of most clients: a malformed header is left out; a header with a blank before its
/// colon, or continued on the next line, is accepted. The receiver has the event, and its answer makes sense without
/// them.
fn lenient() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    http
}

impl Open {
    /// Starts HTTP/1.1 on a stream to an origin.
    pub(super) async fn on(stream: Stream, origin: Arc<str>) -> Result<Self, hyper::Error> {
        let (sender, driver) = lenient().handshake(stream).await?;
        let driver = Some(Box::pin(driver));
        Ok(Self { sender, origin, made: Instant::now(), driver, unread: Bytes::new() })
    }

    /// Drives the connection while `work` waits for its progress.
    pub(super) fn during<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            self.drive(cx);
            work.as_mut().poll(cx)
        })
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        // The driver's error is ignored here; the request that waits on this connection gets the error too.
        if self.driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
            self.unread = self.unread();
        }
    }

    /// Ends the connection and returns received bytes that were not understood.
    pub(super) fn unread(&mut self) -> Bytes {
        match self.driver.take() {
            Some(driver) => Pin::into_inner(driver).into_parts().read_buf,
            None => std::mem::take(&mut self.unread),
        }
    }

    /// Whether the connection can take a request now.
    fn is_ready(&mut self) -> bool {
        // Polling once lets the driver notice that the peer has closed. No waker: nobody waits for this connection.
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// After this number of requests in a row met a closing connection, no connection to their origin is kept …
const CLOSED_OFTEN: u32 = 3;
/// … for this time. The requests are also remembered for this time.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// Limits of idle connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleLimits {
    /// Most idle connections. Beyond this number, the connections that have been idle longest are closed.
    pub total: usize,
    /// Most idle connections for each host and port.
    pub per_origin: usize,
    /// Longest idle time.
    pub timeout: Duration,
    /// Age from which a connection is not used again, so that a change of the name's addresses takes effect.
    pub max_age: Duration,
}

/// Idle connections by origin. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Idle {
    all: Arc<Mutex<All>>,
    limits: IdleLimits,
}

#[derive(Default)]
struct All {
    by_origin: HashMap<Arc<str>, Origin>,
    waiting: usize,
}

#[derive(Default)]
struct Origin {
    /// In the order in which they became idle.
    waiting: Vec<IdleConnection>,
    closed: Option<Closed>,
}

/// Requests that met a closing connection, per origin.
struct Closed {
    times: u32,
    last: Instant,
}

struct IdleConnection {
    open: Open,
    since: Instant,
}

impl Origin {
    /// Whether the receiver closes idle connections so often that none should be kept.
    fn closes_often(&self) -> bool {
        self.closed
            .as_ref()
            .is_some_and(|closed| closed.times >= CLOSED_OFTEN && closed.last.elapsed() < FRESH_FOR)
    }
}

impl Idle {
    /// Starts without connections.
    pub(super) fn new(limits: IdleLimits) -> Self {
        Self { all: Arc::default(), limits }
    }

    /// Takes the most recently used connection to this origin.
    pub(super) fn take(&self, origin: &str) -> Option<Open> {
        loop {
            let mut all = self.lock();
            // The one used last: the receiver is least likely to have closed it, and the others can time out.
            let mut waiting = all.by_origin.get_mut(origin)?.waiting.pop()?;
            all.waiting -= 1;
            // Polling the connection needs no lock, and closing it may take a moment.
            drop(all);
            if waiting.since.elapsed() < self.limits.timeout && waiting.open.is_ready() {
                return Some(waiting.open);
            }
        }
    }

    /// Keeps a connection whose answer was read completely, or closes it if it cannot be used again.
    pub(super) fn put(&self, mut open: Open) {
        let since = Instant::now();
        let is_old = since.duration_since(open.made) >= self.limits.max_age;
        if self.limits.per_origin == 0 || self.limits.total == 0 || is_old || !open.is_ready() {
            return;
        }
        let mut all = self.lock();
        let origin = all.by_origin.entry(open.origin.clone()).or_default();
        if origin.waiting.len() >= self.limits.per_origin || origin.closes_often() {
            return;
        }
        origin.waiting.push(IdleConnection { open, since });
        all.waiting += 1;
        if all.waiting > self.limits.total {
            all.close_oldest(self.limits.total);
        }
    }

    /// Records that a request to this origin met a closing connection.
    pub(super) fn was_closed(&self, origin: &Arc<str>) {
        let (mut all, last) = (self.lock(), Instant::now());
        let origin = all.by_origin.entry(Arc::clone(origin)).or_default();
        // What happened before the time is forgotten: a receiver that closes a connection now and then is normal.
        let before = origin.closed.take().filter(|closed| closed.last.elapsed() < FRESH_FOR);
        let times = before.map_or(0, |closed| closed.times).saturating_add(1);
        origin.closed = Some(Closed { times, last });
    }

    /// Closes connections that have been idle for too long or that the receiver has closed.
    pub(super) fn sweep(&self) {
        let mut all = self.lock();
        all.by_origin.retain(|_, origin| {
            let waits = |waiting: &mut IdleConnection| {
                waiting.since.elapsed() < self.limits.timeout && waiting.open.is_ready()
            };
            origin.waiting.retain_mut(waits);
            let remembered = origin.closed.as_ref().is_some_and(|closed| closed.last.elapsed() < FRESH_FOR);
            remembered || !origin.waiting.is_empty()
        });
        all.waiting = all.by_origin.values().map(|origin| origin.waiting.len()).sum();
    }

    /// Whether any connection is usable.
    #[cfg(test)]
    pub(super) fn any(&self) -> bool {
        self.sweep();
        self.lock().waiting > 0
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Closes an eighth of `most` connections, the ones that have been idle longest. Closing single connections would cost a search
    /// each.
    fn close_oldest(&mut self, most: usize) {
        let origins = self.by_origin.values();
        let mut times: Vec<Instant> = origins.flat_map(|o| o.waiting.iter().map(|w| w.since)).collect();
        let (_, newest_closed, _) = times.select_nth_unstable(most / 8);
        let newest_closed = *newest_closed;
        self.by_origin.retain(|_, origin| {
            origin.waiting.retain(|waiting| waiting.since > newest_closed);
            origin.closed.is_some() || !origin.waiting.is_empty()
        });
        self.waiting = self.by_origin.values().map(|origin| origin.waiting.len()).sum();
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
