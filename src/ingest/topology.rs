//! Declares what we consume from, exactly as KAZOO's nodes declare it, and binds our one queue to it.
//!
//! Done again on every connection, and every minute on one that lives: a broker that lost exchanges or bindings gets
//! them back. Whatever the broker refuses is named with the remedy.

use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};

use crate::amqp::{Address, ServerVersion, SetupError, declare_exchange, exchange_remedy, server_version};
use crate::kazoo;

/// What our queue may hold; 0: the broker's policies decide. The oldest message goes first, publishers never wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Bytes of bodies.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

/// What kind of queue ours is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// On one node; what KAZOO publishes is not persistent, and is gone when the broker stops.
    Classic,
    /// Replicated; keeps everything over a stop of the broker.
    Quorum,
}

/// The kind of queue for one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Classic,
    /// From version 4.0 on a quorum queue drops a message that it has handed out 20 times, so a program that is killed
    /// that often would lose all that it had not acknowledged; -1 switches that off. Older versions have no such limit,
    /// and there -1 drops messages after the first time.
    Quorum {
        limits_deliveries: bool,
    },
}

/// The first version with a limit of deliveries that nobody asked for.
const LIMITS_DELIVERIES: ServerVersion = ServerVersion { major: 4, minor: 0 };

/// The kind of queue that a broker gets. Asks a broker for its version when that matters.
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

/// What was found on the way in.
pub(super) struct Opened {
    pub(super) channel: Channel,
    /// Messages that wait.
    pub(super) waiting: u64,
    /// That the queue is not as it would be made now, with the remedy.
    pub(super) notice: Option<String>,
}

/// Declares KAZOO's exchanges and our queue, and binds it; the channel that is left.
///
/// The queue is durable, kept while we are away, and hands its messages to one consumer at a time
/// (`x-single-active-consumer`). A connection that is dead without having been closed still has messages that are
/// not acknowledged: with two consumers at a time, those behind them would be logged before them.
///
/// It is bounded and keeps its messages on disk: while nobody consumes, it must not take the broker's memory, since a
/// broker that is short of it blocks every publisher of the platform.
pub(super) async fn open(
    connection: &Connection,
    queue: &str,
    bounds: QueueBounds,
    kind: Kind,
) -> Result<Opened, SetupError> {
    let channel = channel(connection).await?;
    for exchange in kazoo::EXCHANGES {
        declare_exchange(&channel, exchange).await?;
    }
    let (channel, waiting, notice) =
        match declare_queue(&channel, queue, arguments(bounds, kind), false).await {
            Ok(waiting) => (channel, waiting, None),
            Err(error) if error.is_mismatch() => {
                // A queue keeps the properties that it was made with, and deleting it loses what it holds.
                let channel = self::channel(connection).await?;
                let waiting = declare_queue(&channel, queue, FieldTable::default(), true).await?;
                let notice = unlike(queue, bounds, kind, &error);
                tracing::warn!(queue, notice, "the queue is used as it is");
                (channel, waiting, Some(notice))
            }
            Err(error) => return Err(error),
        };
    bind(&channel, queue).await?;
    Ok(Opened { channel, waiting, notice })
}

/// Declares what may have vanished under a connection that lives, on a channel of its own; the messages that wait.
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
        // Versions from 3.12 on do so anyway, and ignore it.
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

/// What to do about a queue that was made with other arguments. A policy bounds it where it stands.
fn unlike(queue: &str, bounds: QueueBounds, kind: Kind, mismatch: &SetupError) -> String {
    // So the broker names the first property that differs.
    if mismatch.to_string().contains("arg 'durable'") {
        return format!(
            "the queue '{queue}' is not durable: when the broker stops, the queue and all that it holds are gone; once \
             it is empty, stop Switchhook, delete the queue (rabbitmqctl delete_queue {queue}) and start again"
        );
    }
    let QueueBounds { bytes, messages } = bounds;
    let wrong = mismatch.to_string();
    let is_other_type = wrong.contains("arg 'x-queue-type'");
    if is_other_type {
        return format!(
            "the queue '{queue}' was made as another type than amqp.queue_type says, and is used as it is; make it \
             again without losing a message: stop the program, and run switchhook amqp renew"
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
            "the queue '{queue}' was made without x-delivery-limit = -1: this broker drops a message that it has handed \
             out 20 times, silently; make the queue again without losing a message: stop the program, and run \
             switchhook amqp renew"
        );
    }
    for (name, limit) in [("max-length-bytes", bytes), ("max-length", messages)] {
        if let (true, Some(policy)) = (limit > 0, policy.as_object_mut()) {
            policy.insert(name.to_owned(), limit.into());
        }
    }
    format!(
        "the queue '{queue}' was made with other arguments, and may have no bound; renew it without losing a message: \
         stop the program, and run switchhook amqp renew; or bound it where it stands: rabbitmqctl set_policy --apply-to queues switchhook '^{queue}$' '{policy}' (with -p for another vhost)"
    )
}

/// A refused declaration closes its channel: the next one needs another.
pub(super) async fn channel(connection: &Connection) -> Result<Channel, SetupError> {
    let opened = connection.create_channel().await;
    opened.map_err(|e| SetupError::new("opening a channel".to_owned(), e, |_| ""))
}

/// Declares the queue, or looks at it when `passive`; the messages that wait.
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

/// A queue, as a look at it shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Messages that wait.
    pub(super) messages: u64,
    /// Who consumes from it.
    pub(super) consumers: u32,
}

/// Looks at a queue; `None`: there is none of that name.
pub(super) async fn look(connection: &Connection, queue: &str) -> Result<Option<Look>, String> {
    // Asking for one that is missing closes the channel.
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

/// The broker's own queue, taken away with its bindings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Messages that are lost with it.
    pub messages: u64,
    /// Who consumes from it.
    pub consumers: u32,
    /// Whether it was removed.
    pub removed: bool,
}

/// Looks at an installation's queue and, when `really`, deletes it with its bindings. One that is consumed from stays.
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
