//! Exchanges as every KAZOO node declares them; whatever the broker refuses is named with the remedy.

use lapin::options::ExchangeDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind, ExchangeKind};

/// What the broker did not let us declare or bind.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}{remedy}")]
pub struct SetupError {
    what: String,
    remedy: &'static str,
    source: lapin::Error,
}

impl SetupError {
    /// That `what` was refused; `remedy` says for which refusal a person can do what.
    pub fn new(what: String, source: lapin::Error, remedy: fn(&AMQPSoftError) -> &'static str) -> Self {
        let remedy = soft_error(&source).as_ref().map_or("", remedy);
        Self { what, remedy, source }
    }

    /// Whether what exists has other properties than those declared.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(soft_error(&self.source), Some(AMQPSoftError::PRECONDITIONFAILED))
    }

    /// Whether it does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(soft_error(&self.source), Some(AMQPSoftError::NOTFOUND))
    }
}

fn soft_error(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// Declares an exchange of KAZOO's: neither durable nor auto-deleted, of the type that it has
/// (`docs/kazoo/amqp.md#exchanges`).
pub async fn declare_exchange(channel: &Channel, exchange: &str) -> Result<(), SetupError> {
    let kind = match exchange {
        "targeted" | "callctl" => ExchangeKind::Direct,
        "nodes" => ExchangeKind::Fanout,
        _ => ExchangeKind::Topic,
    };
    channel
        .exchange_declare(exchange.into(), kind, ExchangeDeclareOptions::default(), FieldTable::default())
        .await
        .map_err(|e| SetupError::new(format!("declaring the exchange '{exchange}'"), e, exchange_remedy))
}

/// What can be done when the broker refuses an exchange, or a binding to it.
#[must_use]
pub fn exchange_remedy(error: &AMQPSoftError) -> &'static str {
    match error {
        AMQPSoftError::PRECONDITIONFAILED => {
            " (it exists in another form than KAZOO's, or is durable or auto-deleted; delete it and let KAZOO or \
             us declare it)"
        }
        AMQPSoftError::ACCESSREFUSED => {
            " (the user of amqp.uri needs the permissions 'configure' and 'read' on it, and 'write' to publish: \
             rabbitmqctl set_permissions)"
        }
        AMQPSoftError::NOTFOUND => " (it was deleted meanwhile: trying again declares it)",
        _ => "",
    }
}
