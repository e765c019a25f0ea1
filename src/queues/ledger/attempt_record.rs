//! The ledger's record of an attempt. It repeats neither the request nor the event: both are rebuilt from the events log and
//! from the hook's revision, which is a separate record (`revisions.rs`).

use serde::{Serialize, Serializer};

use crate::model::{EventOffset, Failure, Moment, OwnFault, Phases, QueueId, Response, Sent, Unsendable};
use crate::queues::queue::window::as_number;
use crate::queues::rules::fate::Fate;

/// What followed from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The delivery is settled: delivered.
    Delivered = 1,
    /// The delivery is tried again at `due`.
    Retry = 2,
    /// The delivery is settled: out of tries, while the hook works.
    Dead = 3,
    /// The delivery is out of tries and set aside until it is known whether the hook works.
    Suspect = 4,
    /// The delivery waits for its turn; its hook was disabled.
    Held = 5,
    /// The delivery is settled without being sent, because another system delivers the event.
    Shadow = 6,
}

impl Outcome {
    const ALL: [Self; 6] =
        [Self::Delivered, Self::Retry, Self::Dead, Self::Suspect, Self::Held, Self::Shadow];

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| *outcome as u8 == byte)
    }

    /// How the delivery ended; `None` if it goes on.
    #[must_use]
    pub fn fate(self) -> Option<Fate> {
        match self {
            Self::Delivered => Some(Fate::Delivered),
            Self::Dead => Some(Fate::Dead),
            Self::Shadow => Some(Fate::Shadow),
            Self::Retry | Self::Suspect | Self::Held => None,
        }
    }

    /// Whether nothing went wrong. Headers and body of such a response are stored only if the configuration asks for it.
    pub(in crate::queues) fn is_good(self) -> bool {
        matches!(self, Self::Delivered | Self::Shadow)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With an HTTP response.
    Answered(Response),
    /// Without a response.
    #[serde(serialize_with = "failure")]
    Failed(Failure),
    /// Before anything was sent, because this machine lacked a resource.
    Ours(OwnFault),
    /// Before anything was sent, because the event can never be sent to this hook.
    Unsendable(Unsendable),
    /// Nothing was sent, and nothing was meant to be sent.
    NotSent,
}

impl Ending {
    /// Whether there is more of a response than its status.
    pub(super) fn has_content(&self) -> bool {
        matches!(self, Self::Answered(response) if !response.headers.is_empty() || !response.body.is_empty())
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRecord {
    /// The queue.
    pub queue: QueueId,
    /// The event's offset.
    pub offset: EventOffset,
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// The tries of the delivery, including this one.
    pub tries: u16,
    /// The tries that are left.
    pub tries_left: u16,
    /// What followed.
    pub outcome: Outcome,
    /// How the attempt ended.
    pub ending: Ending,
    /// How long it took.
    pub duration_us: u64,
    /// When the next try is due. `None`: there is no next try, or it is due at once.
    #[serde(rename = "due_us", serialize_with = "as_number")]
    pub due: Option<Moment>,
    /// The hook's generation when the request was made. `None`: the record is of the first version.
    pub generation: Option<u64>,
    /// `None`: there was no request, or the record is of the first version.
    pub sent: Option<Sent>,
    /// How long the phases of the attempt took; empty if they were not measured.
    pub phases: Phases,
}

fn failure<S: Serializer>(failure: &Failure, to: S) -> Result<S::Ok, S::Error> {
    let detail = failure.detail.as_deref().map_or_else(String::new, |detail| format!(": {detail}"));
    to.serialize_str(&format!("{}{detail}", failure.error.text()))
}
