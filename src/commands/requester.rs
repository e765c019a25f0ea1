//! The handle for publishing: sends a message and waits for the broker's confirm, or asks a question and collects the
//! answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::error::CommandError;
use super::request::{Heard, Request, RequesterOptions};
use super::task::RequesterTask;
use crate::amqp::{Address, BrokerStatus, Status};
use crate::kazoo::{AnswerError, Message};
use crate::model::Clock;

/// The most answers to a question that may wait to be read. More are dropped.
const MOST_ANSWERS: usize = 64;

/// Publishes messages and asks questions. A cheap handle.
#[derive(Debug, Clone)]
pub struct Requester(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<BrokerStatus>,
    in_flight: Arc<Semaphore>,
    options: RequesterOptions,
}

impl Requester {
    /// A requester for the broker at `address`, and its task, which connects at once.
    #[must_use]
    pub fn new(address: Address, options: &RequesterOptions, clock: Clock) -> (Self, RequesterTask) {
        let status = Status::new(clock.now_us());
        let (sender, requests) = mpsc::channel(options.max_in_flight.max(1));
        let inner = Inner {
            requests: sender,
            status: status.watch(),
            in_flight: Arc::new(Semaphore::new(options.max_in_flight.max(1))),
            options: options.clone(),
        };
        let task = RequesterTask::new(address, options.clone(), clock, (status, requests));
        (Self(Some(Arc::new(inner))), task)
    }

    /// The requester of a program without a broker.
    #[must_use]
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Our name for the broker.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.as_ref().map_or("", |inner| &inner.options.node)
    }

    /// The most requests under way; 0 without a broker.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.options.max_in_flight)
    }

    /// The state of the connection; the receiver follows its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<BrokerStatus> {
        self.0.as_ref().map_or_else(Status::disabled, |inner| inner.status.clone())
    }

    /// Publishes a message once. Returns when the broker has it in at least one queue.
    pub async fn publish(&self, message: Message) -> Result<(), CommandError> {
        let mut waiting = self.send(message, false).await?;
        match waiting.next().await {
            Some(Heard::Confirmed { .. }) => Ok(()),
            Some(Heard::Failed(error)) => Err(error),
            Some(Heard::Answer(_)) | None => Err(CommandError::Unconfirmed),
        }
    }

    /// Asks a question and collects what `read` makes of the answers, until all expected nodes have answered or the
    /// time limit is reached. An answer that cannot be read is logged and does not count.
    pub async fn ask<T>(
        &self,
        message: Message,
        read: impl Fn(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<Vec<T>, CommandError> {
        let mut waiting = self.send(message, true).await?;
        let (mut answers, mut expected) = (Vec::new(), None);
        while expected.is_none_or(|nodes| nodes == 0 || answers.len() < nodes) {
            match waiting.next().await {
                // An answer may arrive before the confirm.
                Some(Heard::Confirmed { nodes }) => expected = Some(nodes),
                Some(Heard::Failed(error)) => return Err(error),
                Some(Heard::Answer(body)) => match read(&body) {
                    Ok(answer) => answers.push(answer),
                    Err(reason) => tracing::warn!(%reason, "an answer from a switch cannot be understood"),
                },
                None => break,
            }
        }
        if answers.is_empty() { Err(waiting.nothing_came(expected.is_some())) } else { Ok(answers) }
    }

    async fn send(&self, message: Message, asks: bool) -> Result<PendingRequest, CommandError> {
        let inner = self.0.as_deref().ok_or(CommandError::NoBroker)?;
        if let BrokerStatus::Connecting { last_error, .. } = &*inner.status.borrow() {
            let reason = last_error.clone().unwrap_or_else(|| "not connected yet".to_owned());
            return Err(CommandError::NotConnected(reason));
        }
        let permit = inner.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| CommandError::Busy(inner.options.max_in_flight))?;
        let (sender, heard) = mpsc::channel(MOST_ANSWERS);
        let request = Request { message, asks, heard: sender };
        let ended = |_| CommandError::NotConnected("the program is ending".to_owned());
        inner.requests.send(request).await.map_err(ended)?;
        let timeout = inner.options.timeout;
        Ok(PendingRequest { heard, until: Instant::now() + timeout, timeout, _permit: permit })
    }
}

/// A request under way.
struct PendingRequest {
    heard: mpsc::Receiver<Heard>,
    until: Instant,
    timeout: Duration,
    _permit: OwnedSemaphorePermit,
}

impl PendingRequest {
    /// The next result; `None` when the time is up or the connection is lost.
    async fn next(&mut self) -> Option<Heard> {
        tokio::time::timeout_at(self.until, self.heard.recv()).await.ok().flatten()
    }

    /// Why there was no answer. `asked`: the broker has confirmed the question.
    fn nothing_came(&self, asked: bool) -> CommandError {
        if Instant::now() < self.until {
            CommandError::NotConnected("the connection was lost while waiting for an answer".to_owned())
        } else if !asked {
            CommandError::Unconfirmed
        } else {
            CommandError::NoAnswer(self.timeout.as_millis())
        }
    }
}
