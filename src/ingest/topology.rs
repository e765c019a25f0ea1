//! Declares what we consume from, exactly as KAZOO's nodes declare it, and binds our one queue to it.
//!
//! Done again on every connection: a broker that lost its exchanges in a restart gets them back, whoever comes
//! first. Whatever the broker refuses is named with the remedy.

use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;

use crate::amqp::{SetupError, declare_exchange, exchange_remedy};
use crate::kazoo;

/// Declares KAZOO's exchanges and the queue (durable, shared by nobody, kept when we are away), and binds it.
pub(super) async fn declare(channel: &Channel, queue: &str) -> Result<(), SetupError> {
    for exchange in kazoo::EXCHANGES {
        declare_exchange(channel, exchange).await?;
    }
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .map_err(|e| SetupError::new(format!("declaring the queue '{queue}'"), e, queue_remedy))?;
    tracing::debug!(queue, waiting = declared.message_count(), "queue declared");
    for binding in kazoo::bindings() {
        let (exchange, key) = (binding.exchange, binding.routing_key.as_str());
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
            .map_err(|e| {
            SetupError::new(format!("binding '{queue}' to '{exchange}' with '{key}'"), e, exchange_remedy)
        })?;
    }
    Ok(())
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
