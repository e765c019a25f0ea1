//! Declares the exchanges exactly as KAZOO's nodes do, and our one queue, and binds the queue to the exchanges.
//!
//! Repeated on every connection, and every minute on a living one, so a broker that lost exchanges or bindings gets
//! them back. Every refusal of the broker is reported with its remedy.

use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use crate::amqp::{Address, ServerVersion, SetupError, declare_exchange, exchange_remedy, server_version};
use crate::kazoo;

/// How much our queue may hold; 0 leaves it to the broker's policies. A full queue drops its oldest message, so
/// publishers never wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Bytes of bodies.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

/// The type as which our queue is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// On one node. KAZOO's messages are not persistent, so they are lost when the broker stops.
    Classic,
    /// Replicated. Keeps all messages when a broker stops.
    Quorum,
}

/// The queue type, with what depends on the broker's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Classic,
    /// From version 4.0 on, a quorum queue drops a message that it has handed out 20 times, so a program that is killed
    /// that often would lose everything it had not acknowledged. The limit -1 switches that off. Older versions have no
    /// default limit, and there -1 would drop messages after the first delivery.
    Quorum {
        limits_deliveries: bool,
    },
}

/// The first version with a default delivery limit.
const LIMITS_DELIVERIES: ServerVersion = ServerVersion { major: 4, minor: 0 };

/// The kind of queue for this broker. Asks the broker for its version when the kind depends on it.
pub(super) async fn kind(address: &Address, queue_type: QueueType) -> Result<Kind, String> {
    match queue_type {
        QueueType::Classic => Ok(Kind::Classic),
        QueueType::Quorum => Ok(Kind::quorum_at(server_version(address).await?)),
    }
}

impl Kind {
    fn quorum_at(version: ServerVersion) -> Self {
        Self::Quorum { limits_deliveries: version >= LIMITS_DELIVERIES }
    }
}

/// A channel with our queue declared and bound.
pub(super) struct DeclaredQueue {
    pub(super) channel: Channel,
    /// Messages waiting in the queue.
    pub(super) waiting: u64,
    /// A warning, with its remedy, when the queue has other arguments than configured.
    pub(super) notice: Option<String>,
}

/// Declares KAZOO's exchanges and our queue, and binds the queue. Returns a usable channel.
///
/// The queue is durable, stays while Switchhook is away, and serves one consumer at a time
/// (`x-single-active-consumer`). The reason: a dead connection that was not closed still holds unacknowledged messages.
/// With a second consumer, later messages would be logged before those.
///
/// The queue is bounded and keeps its messages on disk. While nobody consumes, it must not use up the broker's memory:
/// a broker that is short of memory blocks every publisher of the platform.
pub(super) async fn open(
    connection: &Connection,
    queue: &str,
    bounds: QueueBounds,
    kind: Kind,
) -> Result<DeclaredQueue, SetupError> {
    let channel = channel(connection).await?;
    for exchange in kazoo::EXCHANGES {
        declare_exchange(&channel, exchange).await?;
    }
    let (channel, waiting, notice) =
        match declare_queue(&channel, queue, arguments(bounds, kind), false).await {
            Ok(waiting) => (channel, waiting, None),
            Err(error) if error.is_mismatch() => {
                // A queue keeps its properties, and deleting it would lose its messages. So it is used as it is.
                let channel = self::channel(connection).await?;
                let waiting = declare_queue(&channel, queue, FieldTable::default(), true).await?;
                let notice = unlike(queue, bounds, kind, &error);
                tracing::warn!(queue, notice, "the queue is used as it is");
                (channel, waiting, Some(notice))
            }
            Err(error) => return Err(error),
        };
    bind(&channel, queue).await?;
    Ok(DeclaredQueue { channel, waiting, notice })
}

/// Declares what may have vanished on a living connection, on a separate channel. Returns the number of waiting
/// messages.
pub(super) async fn renew(connection: &Connection, queue: &str) -> Result<u64, SetupError> {
    let channel = channel(connection).await?;
    let declared = async {
        for exchange in kazoo::EXCHANGES {
            declare_exchange(&channel, exchange).await?;
        }
        let waiting = declare_queue(&channel, queue, FieldTable::default(), true).await?;
        bind(&channel, queue).await?;
        Ok(waiting)
    };
    let declared = declared.await;
    // A refused declaration has closed the channel already.
    if declared.is_ok()
        && let Err(error) = channel.close(200, "looked".into()).await
    {
        tracing::debug!(%error, "the channel was gone already");
    }
    declared
}

pub(super) fn arguments(bounds: QueueBounds, kind: Kind) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut put = |name: &str, value| {
        arguments.insert(name.into(), value);
    };
    put("x-single-active-consumer", AMQPValue::Boolean(true));
    match kind {
        // Versions from 3.12 on do so anyway and ignore the argument.
        Kind::Classic => put("x-queue-mode", AMQPValue::LongString("lazy".into())),
        Kind::Quorum { limits_deliveries } => {
            put("x-queue-type", AMQPValue::LongString("quorum".into()));
            if limits_deliveries {
                put("x-delivery-limit", AMQPValue::LongLongInt(-1));
            }
        }
    }
    let limits = [("x-max-length-bytes", bounds.bytes), ("x-max-length", bounds.messages)];
    for (name, limit) in limits.into_iter().filter(|(_, limit)| *limit > 0) {
        put(name, AMQPValue::LongLongInt(i64::try_from(limit).unwrap_or(i64::MAX)));
        put("x-overflow", AMQPValue::LongString("drop-head".into()));
    }
    arguments
}

/// The remedy for a queue that was created with other arguments. A policy can bound it without recreating it.
fn unlike(queue: &str, bounds: QueueBounds, kind: Kind, mismatch: &SetupError) -> String {
    // This is how the broker names the first property that differs.
    if mismatch.to_string().contains("arg 'durable'") {
        return format!(
            "the queue '{queue}' is not durable: when the broker stops, the queue and all its messages are lost; once it \
             is empty, stop Switchhook, delete the queue (rabbitmqctl delete_queue {queue}) and start again"
        );
    }
    let QueueBounds { bytes, messages } = bounds;
    let wrong = mismatch.to_string();
    let is_other_type = wrong.contains("arg 'x-queue-type'");
    if is_other_type {
        return format!(
            "the queue '{queue}' was created with another type than amqp.queue_type says, and is used as it is; to recreate \
             it without losing a message, stop the program and run switchhook amqp renew"
        );
    }
    let mut policy = serde_json::json!({"overflow": "drop-head"});
    let more = match kind {
        Kind::Classic => ("queue-mode", "lazy".into()),
        Kind::Quorum { .. } => ("delivery-limit", (-1).into()),
    };
    if let Some(policy) =
        policy.as_object_mut().filter(|_| kind != (Kind::Quorum { limits_deliveries: false }))
    {
        policy.insert(more.0.to_owned(), more.1);
    }
    if wrong.contains("arg 'x-delivery-limit'") {
        return format!(
            "the queue '{queue}' was created without x-delivery-limit = -1: this broker silently drops a message that it \
             has handed out 20 times; to recreate the queue without losing a message, stop the program and run \
             switchhook amqp renew"
        );
    }
    for (name, limit) in [("max-length-bytes", bytes), ("max-length", messages)] {
        if let (true, Some(policy)) = (limit > 0, policy.as_object_mut()) {
            policy.insert(name.to_owned(), limit.into());
        }
    }
    format!(
        "the queue '{queue}' was created with other arguments and may have no bound; to recreate it without losing a \
         message, stop the program and run switchhook amqp renew; or bound the existing queue with a policy: rabbitmqctl set_policy --apply-to queues switchhook '^{queue}$' '{policy}' (with -p for another vhost)"
    )
}

/// Opens a channel. A refused declaration closes its channel, so the next one needs a new channel.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, SetupError> {
    let opened = connection.create_channel().await;
    opened.map_err(|e| SetupError::new("opening a channel".to_owned(), e, |_| ""))
}

/// Declares the queue, or only checks that it exists when `passive`. Returns the number of waiting messages.
pub(super) async fn declare_queue(
    channel: &Channel,
    queue: &str,
    arguments: FieldTable,
    passive: bool,
) -> Result<u64, SetupError> {
    let options = QueueDeclareOptions { passive, ..QueueDeclareOptions::durable() };
    let declared = channel
        .queue_declare(queue.into(), options, arguments)
        .await
        .map_err(|e| SetupError::new(format!("declaring the queue '{queue}'"), e, queue_remedy))?;
    tracing::debug!(queue, waiting = declared.message_count(), "queue declared");
    Ok(declared.message_count().into())
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

/// The state of a queue at the broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Messages waiting in it.
    pub(super) messages: u64,
    /// Its consumers.
    pub(super) consumers: u32,
}

/// The state of a queue; `None` when it does not exist.
pub(super) async fn look(connection: &Connection, queue: &str) -> Result<Option<Look>, String> {
    // A separate channel, because asking for a missing queue closes the channel.
    let channel = channel(connection).await.map_err(|error| error.to_string())?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), options, FieldTable::default()).await {
        Ok(found) => {
            Ok(Some(Look { messages: found.message_count().into(), consumers: found.consumer_count() }))
        }
        Err(error) => {
            let error = SetupError::new(format!("looking at the queue '{queue}'"), error, queue_remedy);
            if error.is_missing() { Ok(None) } else { Err(error.to_string()) }
        }
    }
}

/// The result of removing an installation's queue with its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Messages in the queue. They are lost when it is removed.
    pub messages: u64,
    /// Consumers of the queue.
    pub consumers: u32,
    /// Whether it was removed.
    pub removed: bool,
}

/// Checks an installation's queue and, when `really`, deletes it with its bindings. A queue with a consumer stays.
pub async fn remove(address: &Address, queue: &str, really: bool) -> Result<Option<Removal>, String> {
    let connection = address.connect("switchhook amqp remove").await?;
    let Some(Look { messages, consumers }) = look(&connection, queue).await? else { return Ok(None) };
    let channel = connection.create_channel().await.map_err(|e| e.to_string())?;
    let removed = really && consumers == 0;
    if removed {
        let options = QueueDeleteOptions { if_unused: true, ..QueueDeleteOptions::default() };
        channel.queue_delete(queue.into(), options).await.map_err(|e| e.to_string())?;
    }
    if let Err(error) = connection.close(200, "done".into()).await {
        tracing::debug!(%error, "the connection was gone already");
    }
    Ok(Some(Removal { messages, consumers, removed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(major: u32, minor: u32) -> Option<AMQPValue> {
        let kind = Kind::quorum_at(ServerVersion { major, minor });
        let arguments = arguments(QueueBounds { bytes: 1, messages: 1 }, kind);
        assert!(!arguments.contains_key("x-queue-mode"), "a quorum queue is refused with it");
        arguments.inner().get("x-delivery-limit").cloned()
    }

    #[test]
    fn deliveries_are_unlimited_at_every_version_of_the_broker() {
        assert_eq!([limit(3, 8), limit(3, 10), limit(3, 13)], [None, None, None], "-1 loses messages there");
        let unlimited = Some(AMQPValue::LongLongInt(-1));
        assert_eq!(
            [limit(4, 0), limit(4, 3), limit(5, 0)],
            [unlimited.clone(), unlimited.clone(), unlimited]
        );
    }
}
