//! Declares what we consume from, exactly as KAZOO's nodes declare it, and binds our one queue to it.
//!
//! Done again on every connection: a broker that lost its exchanges in a restart gets them back, whoever comes
//! first. Whatever the broker refuses is named with the remedy.

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use crate::amqp::{SetupError, declare_exchange, exchange_remedy};
use crate::kazoo;

/// Declares KAZOO's exchanges and our queue, and binds it; the channel that is left.
///
/// The queue is durable, kept while we are away, and hands its messages to one consumer at a time
/// (`x-single-active-consumer`). A connection that is dead without having been closed still has messages that are
/// not acknowledged: with two consumers at a time, those behind them would be logged before them.
pub(super) async fn open(connection: &Connection, queue: &str) -> Result<Channel, SetupError> {
    let channel = channel(connection).await?;
    for exchange in kazoo::EXCHANGES {
        declare_exchange(&channel, exchange).await?;
    }
    let mut one_consumer = FieldTable::default();
    one_consumer.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let channel = match declare_queue(&channel, queue, one_consumer).await {
        Ok(()) => channel,
        Err(error) if error.is_mismatch() => {
            // A queue keeps the properties that it was made with, and one of an earlier version works as well.
            let channel = self::channel(connection).await?;
            declare_queue(&channel, queue, FieldTable::default()).await?;
            tracing::info!(
                queue,
                "the queue was made without x-single-active-consumer; delete it while it is empty and nothing is \
                 published to have it made with it"
            );
            channel
        }
        Err(error) => return Err(error),
    };
    bind(&channel, queue).await?;
    Ok(channel)
}

/// A refused declaration closes its channel: the next one needs another.
async fn channel(connection: &Connection) -> Result<Channel, SetupError> {
    let opened = connection.create_channel().await;
    opened.map_err(|e| SetupError::new("opening a channel".to_owned(), e, |_| ""))
}

async fn declare_queue(channel: &Channel, queue: &str, arguments: FieldTable) -> Result<(), SetupError> {
    let declared = channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
        .await
        .map_err(|e| SetupError::new(format!("declaring the queue '{queue}'"), e, queue_remedy))?;
    tracing::debug!(queue, waiting = declared.message_count(), "queue declared");
    Ok(())
}

async fn bind(channel: &Channel, queue: &str) -> Result<(), SetupError> {
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
