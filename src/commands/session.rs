//! One connection for requests: an exclusive queue for replies, publishing with confirms, and a table of the callers by
//! `Msg-ID`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer, PublisherConfirm};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::CommandError;
use super::nodes::Nodes;
use super::request::{Heard, Request, RequesterOptions};
use crate::amqp::{Address, BrokerStatus, SetupError, Status, declare_exchange, exchange_remedy};
use crate::model::Clock;
use crate::state::random_id;

/// How often the session checks whether the broker blocks publishers.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// One check in this many publishes a message to find out.
const PROBE_AT: u32 = 5;
/// The queue that these messages go to. It does not exist.
const PROBE_TO: &str = "switchhook.no-such-queue";
/// A broker that has not confirmed after this time is considered lost.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// The most replies that the broker hands out before they are acknowledged.
const PREFETCH: u16 = 64;
/// The largest reply, enough for ten thousand channels.
const MOST_REPLY_BYTES: usize = 16 << 20;

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// On request.
    Stopped,
    /// The connection was lost: reconnect.
    Lost(String),
}

impl From<lapin::Error> for Ended {
    fn from(error: lapin::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Receives messages from further exchanges, beside those for replies and nodes.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The exchanges with their routing keys.
    pub(super) bindings: Vec<(&'static str, &'static str)>,
    /// Receives each message with the zone it came from.
    pub(super) heard: mpsc::Sender<(u16, Bytes)>,
}

/// A published message whose confirm has not arrived.
struct Unconfirmed {
    confirm: PublisherConfirm,
    caller: mpsc::Sender<Heard>,
    until: Instant,
}

/// An open connection.
pub(super) struct Session {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    queue: String,
    /// Exchanges that were declared on this connection.
    declared: HashSet<&'static str>,
    /// The message that is not confirmed. Only one at a time: a returned message carries no delivery tag, so with
    /// several unconfirmed ones it would be unclear which of them the broker has returned.
    unconfirmed: Option<Unconfirmed>,
    /// The callers that wait for answers, by `Msg-ID`. May include some that have given up.
    asked: HashMap<String, mpsc::Sender<Heard>>,
    /// A channel without confirms for the messages that the broker drops.
    probe: Channel,
    listener: Option<Listener>,
    /// The number of the broker's zone.
    zone: u16,
}

impl Session {
    pub(super) async fn open(
        address: &Address,
        options: &RequesterOptions,
        listener: Option<Listener>,
    ) -> Result<Self, String> {
        let connection = address.connect("switchhook commands").await?;
        let failed = |error: lapin::Error| error.to_string();
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(failed)?;
        // A new name for each connection, because the broker may not yet know that the former connection is lost.
        let queue = format!("{}-commands-{}", options.node, random_id());
        declare_queue(
            &channel,
            &queue,
            listener.as_ref().map(|listener| listener.bindings.clone()).unwrap_or_default(),
        )
        .await
        .map_err(|error| error.to_string())?;
        let consume = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consumer =
            channel.basic_consume(queue.as_str().into(), "".into(), consume, FieldTable::default());
        let consumer = consumer.await.map_err(failed)?;
        let probe = connection.create_channel().await.map_err(failed)?;
        let (declared, asked) = (HashSet::new(), HashMap::new());
        Ok(Self {
            connection,
            channel,
            consumer,
            queue,
            declared,
            unconfirmed: None,
            asked,
            probe,
            listener,
            zone: options.zone,
        })
    }

    /// Handles requests and passes on replies until the connection is lost.
    pub(super) async fn work(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        nodes: &mut Nodes,
        clock: &Clock,
        status: &Status,
    ) -> Ended {
        nodes.listen(clock.now_us());
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut look = 0_u32;
        loop {
            let handled = tokio::select! {
                next = self.consumer.next() => match next {
                    Some(Ok(delivery)) => self.take(delivery, nodes, clock).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Err(Ended::Lost("the broker cancelled the consumer".to_owned())),
                },
                _ = looks.tick() => {
                    look = look.wrapping_add(1);
                    self.look_for_alarm(look % PROBE_AT == 1, status).await
                }
                Some(confirmed) = confirmed(&mut self.unconfirmed) => self.report_confirmation(confirmed, nodes, clock),
                // One message at a time: a broker returns an unroutable message without the number of its confirm, so with two under way
                // it would be unknown which one came back.
                request = requests.recv(), if self.unconfirmed.is_none() => match request {
                    Some(request) => self.publish(request).await,
                    None => Err(Ended::Stopped),
                },
            };
            if let Err(ended) = handled {
                return ended;
            }
        }
    }

    /// Notes whether the broker blocks publishers. The broker reports this only to connections that publish, so now and
    /// then a message is published to a queue that does not exist.
    async fn look_for_alarm(&self, probes: bool, status: &Status) -> Result<(), Ended> {
        let blocked = self.connection.status().blocked();
        let was = matches!(&*status.watch().borrow(), BrokerStatus::Connected { queue, .. } if queue.blocked);
        if blocked != was {
            if blocked {
                tracing::warn!("the broker blocks publishers: it is short of memory or disk");
            }
            status.looked(|queue| queue.blocked = blocked);
        }
        if probes && !blocked {
            let (to, options) = (PROBE_TO.into(), BasicPublishOptions::default());
            let sent = self.probe.basic_publish("".into(), to, options, b"", BasicProperties::default());
            // The confirm is of no interest: the broker drops the message, and it was only sent to learn whether
            // publishers are blocked.
            drop(sent.await?);
        }
        Ok(())
    }

    async fn publish(&mut self, mut request: Request) -> Result<(), Ended> {
        if request.heard.is_closed() {
            // The caller has given up and was answered.
            return Ok(());
        }
        let exchange = request.message.exchange;
        if !self.declared.contains(exchange) {
            let declared = declare_exchange(&self.channel, exchange).await;
            declared.map_err(|error| Ended::Lost(error.to_string()))?;
            self.declared.insert(exchange);
        }
        if request.asks {
            request.message.body.insert("Server-ID".to_owned(), self.queue.as_str().into());
            // Here and not when a caller gives up, because only questions make the table grow.
            self.asked.retain(|_, caller| !caller.is_closed());
            self.asked.insert(request.message.msg_id().to_owned(), request.heard.clone());
        }
        let key = request.message.routing_key.as_str().into();
        // Mandatory, so that a command without a listener comes back at once. Otherwise its sender would wait for
        // an effect that never comes.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut properties = BasicProperties::default().with_content_type("application/json".into());
        if let Some(process) = request.message.to_process.take() {
            let mut headers = FieldTable::default();
            headers.insert("Deliver-To-PID".into(), AMQPValue::LongString(process.into()));
            properties = properties.with_headers(headers);
        }
        let body = Value::Object(std::mem::take(&mut request.message.body)).to_string();
        let sent = self.channel.basic_publish(exchange.into(), key, options, body.as_bytes(), properties);
        let until = Instant::now() + CONFIRM_WITHIN;
        self.unconfirmed = Some(Unconfirmed { confirm: sent.await?, caller: request.heard, until });
        Ok(())
    }

    fn report_confirmation(
        &mut self,
        confirmed: Result<Confirmation, String>,
        nodes: &Nodes,
        clock: &Clock,
    ) -> Result<(), Ended> {
        let Some(Unconfirmed { caller, .. }) = self.unconfirmed.take() else { return Ok(()) };
        let heard = match confirmed.map_err(Ended::Lost)? {
            Confirmation::Ack(None) | Confirmation::NotRequested => {
                Heard::Confirmed { nodes: nodes.count(clock.now_us()) }
            }
            Confirmation::Ack(Some(_)) => Heard::Failed(CommandError::NobodyListens),
            Confirmation::Nack(_) => Heard::Failed(CommandError::Refused),
        };
        // Fails if the caller has given up, which does not matter.
        drop(caller.try_send(heard));
        Ok(())
    }

    async fn take(&mut self, delivery: Delivery, nodes: &mut Nodes, clock: &Clock) -> Result<(), Ended> {
        // Acknowledged before it is read: a reply is worth nothing after a lost connection, because its question
        // is lost too.
        delivery.acker.ack(BasicAckOptions::default()).await?;
        if delivery.exchange.as_str() == "nodes" {
            nodes.hear(&delivery.data, clock.now_us());
            return Ok(());
        }
        if delivery.exchange.as_str() != "targeted" {
            let heard = self.listener.as_ref().map(|listener| &listener.heard);
            if heard.is_some_and(|heard| heard.try_send((self.zone, delivery.data.into())).is_err()) {
                tracing::warn!("too many questions to KAZOO's applications are waiting; one is dropped");
            }
            return Ok(());
        }
        let bytes = delivery.data.len();
        let Ok(reply) = serde_json::from_slice::<Reply>(&delivery.data) else {
            tracing::warn!(bytes, "a reply cannot be understood");
            return Ok(());
        };
        let Some(caller) = self.asked.get(&reply.msg_id).filter(|_| bytes <= MOST_REPLY_BYTES) else {
            tracing::debug!(msg_id = reply.msg_id, bytes, "a reply is too late or too large");
            return Ok(());
        };
        if caller.try_send(Heard::Answer(delivery.data.into())).is_err() {
            self.asked.remove(&reply.msg_id);
        }
        Ok(())
    }

    /// Closes the connection within a second.
    pub(super) async fn close(&self) {
        let closing = self.connection.close(200, "switchhook stops".into());
        if !matches!(tokio::time::timeout(Duration::from_secs(1), closing).await, Ok(Ok(()))) {
            tracing::debug!("the connection for commands was already closed");
        }
    }
}

/// The part of a reply that names its question.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "Msg-ID")]
    msg_id: String,
}

/// Waits until the message under way is confirmed, returned or lost. `None` when there is no such message.
async fn confirmed(unconfirmed: &mut Option<Unconfirmed>) -> Option<Result<Confirmation, String>> {
    let Unconfirmed { confirm, until, .. } = unconfirmed.as_mut()?;
    Some(match tokio::time::timeout_at(*until, confirm).await {
        Ok(confirmed) => confirmed.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no confirm within {} s", CONFIRM_WITHIN.as_secs())),
    })
}

/// Declares this connection's own queue, for replies and for advertisements of nodes.
async fn declare_queue(
    channel: &Channel,
    name: &str,
    more: Vec<(&'static str, &'static str)>,
) -> Result<(), SetupError> {
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await
        .map_err(|e| SetupError::new(format!("declaring the queue '{name}'"), e, exchange_remedy))?;
    for (exchange, key) in [("targeted", name), ("nodes", "")].into_iter().chain(more) {
        declare_exchange(channel, exchange).await?;
        let options = QueueBindOptions::default();
        channel
            .queue_bind(name.into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
            .map_err(|e| SetupError::new(format!("binding '{name}' to '{exchange}'"), e, exchange_remedy))?;
    }
    Ok(())
}
