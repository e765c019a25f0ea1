//! Errors of commands and of questions to switches.

/// Why there is no answer or no confirmation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No broker is configured.
    #[error("no broker is configured (amqp.uri)")]
    NoBroker,
    /// There is no connection to the broker.
    #[error("not connected to the broker: {0}")]
    NotConnected(String),
    /// The most requests are under way: `commands.max_in_flight`, or the tenant's part of it.
    #[error("{0} requests are under way, the most allowed")]
    Busy(usize),
    /// The broker returned the message, because no queue is bound for it.
    #[error("no switch listens for it")]
    NobodyListens,
    /// No switch answered in time.
    #[error("no switch answered within {0} ms")]
    NoAnswer(u128),
    /// The broker refused the message.
    #[error("the broker refused the message")]
    Refused,
    /// The message was sent, but it is unknown whether it arrived.
    #[error(
        "the broker did not confirm it in time (a broker short of memory or disk blocks all publishers); it may have been \
         published nevertheless"
    )]
    Unconfirmed,
    /// The channel does not exist or is not in the account's tree.
    #[error("no such channel")]
    Unknown,
    /// The command needs a channel that is bridged to another leg.
    #[error("channel is not bridged")]
    NotBridged,
}

impl CommandError {
    /// Whether it is certain that nobody received the message, so that it may be sent to another broker.
    #[must_use]
    pub(super) fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::NoBroker | Self::NotConnected(_) | Self::NobodyListens | Self::Refused | Self::Busy(_)
        )
    }

    /// The text for clients, in KAZOO's words where KAZOO has some. It does not reveal our connections.
    #[must_use]
    pub fn for_client(&self) -> String {
        match self {
            Self::Unknown => "bad identifier".to_owned(),
            Self::Busy(_) => "too many requests".to_owned(),
            Self::NotBridged => "Channel is not bridged".to_owned(),
            Self::NotConnected(_) => "not connected to the broker".to_owned(),
            other => other.to_string(),
        }
    }
}
