//! Declares what we consume from, exactly as KAZOO's nodes declare it, and binds our one queue to it.
//!
//! Done again on every connection: a broker that lost its exchanges in a restart gets them back, whoever comes
//! first. Whatever the broker refuses is named with the remedy.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind, ExchangeKind};

use crate::kazoo;

/// What the broker did not let us declare or bind.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}{remedy}")]
pub(super) struct SetupError {
    what: String,
    remedy: &'static str,
    source: lapin::Error,
}

/// Declares KAZOO's exchanges and the queue (durable, shared by nobody, kept when we are away), and binds it.
pub(super) async fn declare(channel: &Channel, queue: &str) -> Result<(), SetupError> {
    for exchange in kazoo::EXCHANGES {
        declare_exchange(channel, exchange).await?;
    }
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .map_err(|e| failed(format!("declaring the queue '{queue}'"), e, queue_remedy))?;
    tracing::debug!(queue, waiting = declared.message_count(), "queue declared");
    for binding in kazoo::bindings() {
        let (exchange, key) = (binding.exchange, binding.routing_key.as_str());
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
            .map_err(|e| failed(format!("binding '{queue}' to '{exchange}' with '{key}'"), e, exchange_remedy))?;
    }
    Ok(())
}

/// A topic exchange that is neither durable nor auto-deleted.
pub(super) async fn declare_exchange(channel: &Channel, exchange: &str) -> Result<(), SetupError> {
    let options = ExchangeDeclareOptions::default();
    channel
        .exchange_declare(exchange.into(), ExchangeKind::Topic, options, FieldTable::default())
        .await
        .map_err(|e| failed(format!("declaring the exchange '{exchange}'"), e, exchange_remedy))
}

fn failed(what: String, source: lapin::Error, remedy: fn(&AMQPSoftError) -> &'static str) -> SetupError {
    let remedy = soft_error(&source).as_ref().map_or("", remedy);
    SetupError { what, remedy, source }
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

fn exchange_remedy(error: &AMQPSoftError) -> &'static str {
    match error {
        AMQPSoftError::PRECONDITIONFAILED => {
            " (it exists in another form than KAZOO's: topic, not durable, not auto-deleted; delete it and let \
             KAZOO or us declare it)"
        }
        AMQPSoftError::ACCESSREFUSED => {
            " (the user of amqp.uri needs the permissions 'configure' and 'read' on it: rabbitmqctl \
             set_permissions)"
        }
        AMQPSoftError::NOTFOUND => " (it was deleted meanwhile: trying again declares it)",
        _ => "",
    }
}

fn queue_remedy(error: &AMQPSoftError) -> &'static str {
    match error {
        AMQPSoftError::PRECONDITIONFAILED => {
            " (it exists with other properties, for instance not durable or of another type: choose another \
             amqp.queue, or empty and delete it)"
        }
        AMQPSoftError::ACCESSREFUSED => {
            " (the user of amqp.uri needs the permissions 'configure', 'write' and 'read' on it: rabbitmqctl \
             set_permissions)"
        }
        AMQPSoftError::RESOURCELOCKED => {
            " (another connection holds it exclusively: choose another amqp.queue)"
        }
        _ => "",
    }
}
