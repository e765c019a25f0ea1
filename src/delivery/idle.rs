//! Connections to receivers between one request and the next.
//!
//! Held: a connection has one request at a time, and nobody but that request's attempt drives it: no task for each
//! connection, none for each request. What waits here is looked at when it is taken and now and then, so that one
//! that its receiver has closed is neither used nor kept.

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
    /// What reads and writes; `None` once it has ended.
    driver: Option<Pin<Box<Driver>>>,
}

impl Open {
    /// Speaks HTTP/1.1 on a stream to an origin.
    pub(super) async fn on(stream: Stream, origin: Arc<str>) -> Result<Self, hyper::Error> {
        let (sender, driver) = http1::handshake(stream).await?;
        Ok(Self { sender, origin, driver: Some(Box::pin(driver)) })
    }

    /// Reads and writes while `work` waits for what comes of it.
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
        // How it ends is told to whoever waits for an answer on it.
        if self.driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
            self.driver = None;
        }
    }

    /// Whether it can have a request now.
    fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Connections that wait, by where they go. Cheap to clone; clones share them.
#[derive(Clone)]
pub(super) struct Idle {
    by_origin: Arc<Mutex<HashMap<Arc<str>, Vec<Waiting>>>>,
    per_origin: usize,
    timeout: Duration,
}

struct Waiting {
    open: Open,
    since: Instant,
}

impl Idle {
    /// Keeps so many for each origin, each for so long.
    pub(super) fn new(per_origin: usize, timeout: Duration) -> Self {
        Self { by_origin: Arc::default(), per_origin, timeout }
    }

    /// The connection to this origin that was used last.
    pub(super) fn take(&self, origin: &str) -> Option<Open> {
        loop {
            let mut waiting = self.lock().get_mut(origin)?.pop()?;
            if waiting.since.elapsed() < self.timeout && waiting.open.is_ready() {
                return Some(waiting.open);
            }
        }
    }

    /// Takes a connection whose answer was read to its end; one that is of no further use is closed.
    pub(super) fn put(&self, mut open: Open) {
        if self.per_origin == 0 || !open.is_ready() {
            return;
        }
        let (origin, since) = (open.origin.clone(), Instant::now());
        let mut all = self.lock();
        let some = all.entry(origin).or_default();
        if some.len() < self.per_origin {
            some.push(Waiting { open, since });
        }
    }

    /// Closes what waits for too long or was closed by its receiver.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, some| {
            some.retain_mut(|waiting| waiting.since.elapsed() < self.timeout && waiting.open.is_ready());
            !some.is_empty()
        });
    }

    /// Whether any is of use.
    #[cfg(test)]
    pub(super) fn any(&self) -> bool {
        self.sweep();
        !self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Waiting>>> {
        self.by_origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "idle_tests.rs"]
mod tests;
