//! What passes between the handle of a requester and its task, and how both behave.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::CommandError;
use crate::kazoo::Message;

/// How the requester behaves.
#[derive(Debug, Clone)]
pub struct RequesterOptions {
    /// How we name ourselves to the broker: `app@host`.
    pub node: String,
    /// The number of the broker's zone.
    pub zone: u16,
    /// How long a confirm, and the answers to a question, are waited for.
    pub timeout: Duration,
    /// Requests under way at most.
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

/// What a caller wants of the task.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: Message,
    /// Whether answers are to come to our queue.
    pub(super) asks: bool,
    /// The caller; gone when it has given up.
    pub(super) heard: mpsc::Sender<Heard>,
}

/// What the task tells a caller. Without any of the first three, the message may or may not have been taken.
#[derive(Debug)]
pub(super) enum Heard {
    /// The broker has it in a queue; so many nodes may answer (0: not known).
    Confirmed { nodes: usize },
    /// It was not published, for this reason.
    Failed(CommandError),
    /// An answer.
    Answer(Bytes),
}
