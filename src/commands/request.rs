//! What the handle of a requester and its task exchange, and the settings of both.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::CommandError;
use crate::kazoo::Message;

/// Settings of the requester.
#[derive(Debug, Clone)]
pub struct RequesterOptions {
    /// Our name for the broker: `app@host`.
    pub node: String,
    /// The number of the broker's zone.
    pub zone: u16,
    /// The time limit for a confirm, and for the answers to a question.
    pub timeout: Duration,
    /// The most requests under way.
    pub max_in_flight: usize,
    /// The wait after the first failure to connect.
    pub reconnect_initial: Duration,
    /// The longest wait between attempts.
    pub reconnect_max: Duration,
}

impl Default for RequesterOptions {
    fn default() -> Self {
        Self {
            node: "switchhook@localhost".to_owned(),
            zone: 0,
            timeout: Duration::from_secs(2),
            max_in_flight: 64,
            reconnect_initial: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(30),
        }
    }
}

/// A request to the task.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: Message,
    /// Whether answers are expected on our queue.
    pub(super) asks: bool,
    /// Where results go. Closed when the caller has given up.
    pub(super) heard: mpsc::Sender<Heard>,
}

/// A result for the caller. If neither of the first two arrives, it is unknown whether the message was taken.
#[derive(Debug)]
pub(super) enum Heard {
    /// The broker has the message in a queue. Up to `nodes` answers may come; 0 when their number is unknown.
    Confirmed { nodes: usize },
    /// The message was not published.
    Failed(CommandError),
    /// An answer.
    Answer(Bytes),
}
