//! Why a command or a question came to nothing.

/// Why there is no answer, or no confirmation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The program runs without a broker.
    #[error("no broker is configured (amqp.uri)")]
    NoBroker,
    /// The broker is away.
    #[error("not connected to the broker: {0}")]
    NotConnected(String),
    /// As many requests as `commands.max_in_flight`, or a tenant's part of them, are under way.
    #[error("{0} requests are under way, the most allowed")]
    Busy(usize),
    /// The broker gave the message back: no queue is bound for it.
    #[error("no switch listens for it")]
    NobodyListens,
    /// Nobody answered in time.
    #[error("no switch answered within {0} ms")]
    NoAnswer(u128),
    /// The broker did not take the message.
    #[error("the broker refused the message")]
    Refused,
    /// It was sent, and whether it arrived is not known.
    #[error(
        "the broker did not confirm it in time (short of memory or disk, it blocks all publishers); it may have been \
         published all the same"
    )]
    Unconfirmed,
    /// No such channel, or not one of the account's tree.
    #[error("no such channel")]
    Unknown,
    /// The command needs a channel with another leg.
    #[error("channel is not bridged")]
    NotBridged,
}

impl CommandError {
    /// Whether it is certain that nobody got the message, so that it may be tried at another broker.
    #[must_use]
    pub(super) fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::NoBroker | Self::NotConnected(_) | Self::NobodyListens | Self::Refused | Self::Busy(_)
        )
    }

    /// What a client is told, in KAZOO's words where it has some. Where and how we connect is nobody's business
    /// but ours.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Unknown => "bad identifier".to_owned(),
            Self::Busy(_) => "too many requests".to_owned(),
            Self::NotBridged => "Channel is not bridged".to_owned(),
            Self::NotConnected(_) => "not connected to the broker".to_owned(),
            other => other.to_string(),
        }
    }
}
