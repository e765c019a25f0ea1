//! `switchhook amqp renew`: our queue made again with the arguments of the configuration, without losing a message.
//!
//! A queue keeps the arguments that it was made with. So its messages move to a spare queue, which is bound in its
//! place meanwhile; the queue is deleted and made again; and everything moves back in the same way. A message is taken
//! out of one queue only after the broker has confirmed it in the other. Whatever ends the command, a second run goes
//! on from there. An event that is published in the moment in which bindings change may come twice, or behind a later
//! one.

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

/// Messages moved at a time.
const BATCH: usize = 500;
/// A message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// What became of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// There is none.
    Absent,
    /// It has the arguments of the configuration already.
    AsConfigured,
    /// Somebody consumes from it.
    Consumed,
    /// It holds more than the configuration allows: messages, bytes.
    TooMuch {
        /// Messages found.
        messages: u64,
        /// Bytes of their bodies, as far as they were looked at.
        bytes: u64,
    },
    /// It was made again.
    Renewed {
        /// Messages that it held.
        messages: u64,
    },
}

/// What was moved.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    messages: u64,
    bytes: u64,
}

/// Makes the queue again. Nobody may consume from it.
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

/// Moves everything from one queue to another, and the bindings with it.
async fn shift(on: &Channel, from: &str, to: &str) -> Result<Moved, String> {
    on.confirm_select(ConfirmSelectOptions::default()).await.map_err(|e| e.to_string())?;
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
        on.queue_unbind(from.into(), exchange.into(), key.into(), FieldTable::default())
            .await
            .map_err(|e| format!("unbinding '{from}' from '{exchange}' with '{key}': {e}"))?;
    }
    while drain(on, from, to, &mut moved).await? {}
    Ok(moved)
}

/// Moves some messages; whether there were any. They leave `from` after the broker has confirmed them in `to`.
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
                    "the broker did not take a message for '{to}'; nothing is lost: run it again"
                ));
            }
        }
    }
    on.basic_ack(last, BasicAckOptions { multiple: true }).await.map_err(|e| e.to_string())?;
    Ok(true)
}

/// The properties of a message, with where it was published at first.
fn moved_from(properties: &AMQPProperties, exchange: &ShortString, key: &ShortString) -> AMQPProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    if !exchange.as_str().is_empty() {
        for (name, text) in MOVED_FROM.into_iter().zip([exchange, key]) {
            headers.insert(name.into(), AMQPValue::LongString(text.as_str().into()));
        }
    }
    properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT)
}

/// Deletes a queue that is empty and that nobody uses.
async fn delete(on: &Channel, queue: &str) -> Result<(), String> {
    let options = QueueDeleteOptions { if_unused: true, if_empty: true, ..QueueDeleteOptions::default() };
    let deleted = on.queue_delete(queue.into(), options).await;
    deleted.map(|_| ()).map_err(|e| {
        format!("the queue '{queue}' is in use or got new messages, and was not deleted ({e}); run it again")
    })
}
