//! `switchhook amqp renew`: recreates our queue with the configured arguments, without losing a message.
//!
//! A queue keeps the arguments that it was created with, so the queue must be deleted and created again. Meanwhile a
//! spare queue takes its messages and its bindings; afterwards everything moves back in the same way. A message leaves
//! one queue only after the broker has confirmed it in the other. If the command ends early, a second run continues.
//! An event that is published while the bindings change may arrive twice, or after a later event.

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeleteOptions,
};
use lapin::protocol::basic::AMQPProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, Connection};

use super::message::MOVED_FROM;
use super::topology::{Kind, QueueBounds, QueueType, arguments, channel, declare_queue, kind, look};
use crate::amqp::{Address, declare_exchange};
use crate::kazoo;

/// Messages that are moved together.
const BATCH: usize = 500;
/// The delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// The result for the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The queue does not exist.
    Absent,
    /// It already has the configured arguments.
    AsConfigured,
    /// It has a consumer.
    Consumed,
    /// It holds more messages or bytes than the configuration allows.
    TooMuch {
        /// Messages found.
        messages: u64,
        /// Bytes of the bodies that were counted.
        bytes: u64,
    },
    /// It was recreated.
    Renewed {
        /// Messages that were moved.
        messages: u64,
    },
}

/// Counts what was moved.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    messages: u64,
    bytes: u64,
}

/// Recreates the queue. Refuses a queue that has a consumer.
pub async fn renew(
    address: &Address,
    queue: &str,
    bounds: QueueBounds,
    queue_type: QueueType,
) -> Result<Renewal, String> {
    let kind = kind(address, queue_type).await?;
    let connection = address.connect("switchhook amqp renew").await?;
    let renewed = renew_over(&connection, queue, bounds, kind).await;
    if let Err(error) = connection.close(200, "done".into()).await {
        tracing::debug!(%error, "the connection was gone already");
    }
    renewed
}

async fn renew_over(
    connection: &Connection,
    queue: &str,
    bounds: QueueBounds,
    kind: Kind,
) -> Result<Renewal, String> {
    let spare = format!("{queue}.renewed");
    let (found, left) = (look(connection, queue).await?, look(connection, &spare).await?);
    if found.is_none() && left.is_none() {
        return Ok(Renewal::Absent);
    }
    if found.is_some_and(|found| found.consumers > 0) {
        return Ok(Renewal::Consumed);
    }
    let messages = [found, left].into_iter().flatten().map(|queue| queue.messages).sum();
    if bounds.messages > 0 && messages > bounds.messages {
        return Ok(Renewal::TooMuch { messages, bytes: 0 });
    }
    let text = |error: crate::amqp::SetupError| error.to_string();
    let mut on = self::channel(connection).await.map_err(text)?;
    for exchange in kazoo::EXCHANGES {
        declare_exchange(&on, exchange).await.map_err(text)?;
    }
    match declare_queue(&on, queue, arguments(bounds, kind), false).await {
        Ok(_) if left.is_none() => return Ok(Renewal::AsConfigured),
        // An earlier run ended between the two moves.
        Ok(_) => {}
        Err(error) if error.is_mismatch() => {
            on = self::channel(connection).await.map_err(text)?;
            // A bound would drop the oldest messages while they are moved.
            let unbounded = arguments(QueueBounds { bytes: 0, messages: 0 }, kind);
            declare_queue(&on, &spare, unbounded, false).await.map_err(text)?;
            let moved = shift(&on, queue, &spare).await?;
            if bounds.bytes > 0 && moved.bytes > bounds.bytes {
                return Ok(Renewal::TooMuch { messages: moved.messages, bytes: moved.bytes });
            }
            delete(&on, queue).await?;
            declare_queue(&on, queue, arguments(bounds, kind), false).await.map_err(text)?;
        }
        Err(error) => return Err(error.to_string()),
    }
    let moved = shift(&on, &spare, queue).await?;
    delete(&on, &spare).await?;
    Ok(Renewal::Renewed { messages: moved.messages })
}

/// Moves all messages and bindings of one queue to another.
async fn shift(on: &Channel, from: &str, to: &str) -> Result<Moved, String> {
    on.confirm_select(ConfirmSelectOptions::default()).await.map_err(|e| e.to_string())?;
    // Most messages move before the bindings do, so that they come before the events that arrive at the other
    // queue directly.
    let mut moved = Moved::default();
    while drain(on, from, to, &mut moved).await? {}
    for binding in kazoo::bindings() {
        let (exchange, key) = (binding.exchange, binding.routing_key.as_str());
        let options = QueueBindOptions::default();
        on.queue_bind(to.into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
            .map_err(|e| format!("binding '{to}' to '{exchange}' with '{key}': {e}"))?;
    }
    for binding in kazoo::bindings() {
        let (exchange, key) = (binding.exchange, binding.routing_key.as_str());
        // After all bindings of the other queue exist: meanwhile an event arrives in both queues, and never in
        // neither.
        on.queue_unbind(from.into(), exchange.into(), key.into(), FieldTable::default())
            .await
            .map_err(|e| format!("unbinding '{from}' from '{exchange}' with '{key}': {e}"))?;
    }
    while drain(on, from, to, &mut moved).await? {}
    Ok(moved)
}

/// Moves up to `BATCH` messages and returns whether there were any. They leave `from` after the broker has confirmed
/// them in `to`.
async fn drain(on: &Channel, from: &str, to: &str, moved: &mut Moved) -> Result<bool, String> {
    let (mut confirms, mut last) = (Vec::with_capacity(BATCH), None);
    while confirms.len() < BATCH {
        let got = on.basic_get(from.into(), BasicGetOptions::default()).await.map_err(|e| e.to_string())?;
        let Some(got) = got else { break };
        let delivery = got.delivery;
        let properties = moved_from(&delivery.properties, &delivery.exchange, &delivery.routing_key);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = on.basic_publish("".into(), to.into(), options, &delivery.data, properties).await;
        confirms.push(sent.map_err(|e| e.to_string())?);
        moved.messages += 1;
        moved.bytes += delivery.data.len() as u64;
        last = Some(delivery.delivery_tag);
    }
    let Some(last) = last else { return Ok(false) };
    for confirm in confirms {
        match confirm.await.map_err(|e| e.to_string())? {
            Confirmation::Ack(None) => {}
            _ => {
                return Err(format!(
                    "the broker did not accept a message for '{to}'; nothing is lost: run the command again"
                ));
            }
        }
    }
    on.basic_ack(last, BasicAckOptions { multiple: true }).await.map_err(|e| e.to_string())?;
    Ok(true)
}

/// The properties of a message, with headers that name its original exchange and routing key.
fn moved_from(properties: &AMQPProperties, exchange: &ShortString, key: &ShortString) -> AMQPProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    if !exchange.as_str().is_empty() {
        for (name, text) in MOVED_FROM.into_iter().zip([exchange, key]) {
            headers.insert(name.into(), AMQPValue::LongString(text.as_str().into()));
        }
    }
    properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT)
}

/// Deletes an empty, unused queue.
async fn delete(on: &Channel, queue: &str) -> Result<(), String> {
    let options = QueueDeleteOptions { if_unused: true, if_empty: true, ..QueueDeleteOptions::default() };
    let deleted = on.queue_delete(queue.into(), options).await;
    deleted.map(|_| ()).map_err(|e| {
        format!("the queue '{queue}' is in use or got new messages, so it was not deleted ({e}); run the command again")
    })
}
