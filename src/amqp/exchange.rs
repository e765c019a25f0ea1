//! Declares exchanges exactly as every KAZOO node does. A refusal of the broker is reported with its remedy.

use lapin::options::ExchangeDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind, ExchangeKind};

/// The broker refused a declaration or binding.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}{remedy}")]
pub struct SetupError {
    what: String,
    remedy: &'static str,
    source: lapin::Error,
}

impl SetupError {
    /// `what` was refused. `remedy` returns what a person can do about a refusal, or an empty text.
    pub fn new(what: String, source: lapin::Error, remedy: fn(&AMQPSoftError) -> &'static str) -> Self {
        let remedy = soft_error(&source).as_ref().map_or("", remedy);
        Self { what, remedy, source }
    }

    /// Whether something of the same name exists with other properties.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(soft_error(&self.source), Some(AMQPSoftError::PRECONDITIONFAILED))
    }

    /// Whether the thing does not exist.
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

/// Declares one of KAZOO's exchanges: neither durable nor auto-deleted, of the type that KAZOO declares
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

/// The remedy when the broker refuses an exchange or a binding to it.
#[must_use]
pub fn exchange_remedy(error: &AMQPSoftError) -> &'static str {
    match error {
        AMQPSoftError::PRECONDITIONFAILED => {
            " (it exists in another form than KAZOO's, or is durable or auto-deleted; delete it, then KAZOO or Switchhook \
             declares it again)"
        }
        AMQPSoftError::ACCESSREFUSED => {
            " (the user of amqp.uri needs the permissions 'configure' and 'read' on it, and 'write' to publish: \
             rabbitmqctl set_permissions)"
        }
        AMQPSoftError::NOTFOUND => " (it was deleted meanwhile; the next attempt declares it)",
        _ => "",
    }
}
