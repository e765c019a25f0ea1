//! Publishes KAZOO messages of our own (a hook was disabled) to the broker, as well as it goes: bounded,
//! confirmed, and dropped with one warning while the broker is away. Nothing durable rests on it.

use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::broker::{Address, InvalidUri, Waits};
use super::topology;
use crate::tasks::Stop;

/// A broker that has not confirmed by then is away.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// How the publisher behaves.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// How many messages may wait to be published.
    pub queue: usize,
    /// The wait after the first failure; messages of that time are dropped.
    pub reconnect_initial: Duration,
    /// The longest wait between attempts.
    pub reconnect_max: Duration,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            queue: 256,
            reconnect_initial: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(30),
        }
    }
}

#[derive(Debug)]
struct Message {
    exchange: String,
    routing_key: String,
    body: Bytes,
}

/// Hands messages over; a cheap handle.
#[derive(Debug, Clone)]
pub struct Publisher(Option<mpsc::Sender<Message>>);

impl Publisher {
    /// A publisher for the broker at `uri`, and its task. It connects with the first message.
    pub fn new(uri: &str, options: &PublisherOptions) -> Result<(Self, PublisherTask), InvalidUri> {
        let address = Address::parse(uri)?;
        let (sender, messages) = mpsc::channel(options.queue.max(1));
        let waits = Waits::new(options.reconnect_initial, options.reconnect_max);
        let task = PublisherTask { address, messages, waits, session: None, away_until: None };
        Ok((Self(Some(sender)), task))
    }

    /// A publisher of a program without a broker: everything is dropped.
    #[must_use]
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Hands a JSON message over to be published on a topic exchange of KAZOO. Does not wait; false when the
    /// queue is full, or there is no broker, and the message is dropped.
    pub fn publish(&self, exchange: &str, routing_key: &str, body: impl Into<Bytes>) -> bool {
        let Some(sender) = &self.0 else { return false };
        let message =
            Message { exchange: exchange.to_owned(), routing_key: routing_key.to_owned(), body: body.into() };
        sender.try_send(message).is_ok()
    }
}

/// The task behind [`Publisher`]: owns the connection.
#[derive(Debug)]
pub struct PublisherTask {
    address: Address,
    messages: mpsc::Receiver<Message>,
    waits: Waits,
    session: Option<Session>,
    /// The broker is away: messages are dropped until then without another attempt.
    away_until: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    /// Kept open for the channel.
    connection: Connection,
    channel: Channel,
}

impl PublisherTask {
    /// Publishes until told to stop, or until every handle is dropped.
    pub async fn run(mut self, stop: Stop) {
        while let Some(Some(message)) = stop.run_until_cancelled(self.messages.recv()).await {
            if stop.run_until_cancelled(self.deliver(&message)).await.is_none() {
                break;
            }
        }
        if let Some(session) = self.session {
            let closing = session.connection.close(200, "switchhook stops".into());
            if !matches!(tokio::time::timeout(Duration::from_secs(1), closing).await, Ok(Ok(()))) {
                tracing::debug!("the publisher's connection was gone already");
            }
        }
    }

    async fn deliver(&mut self, message: &Message) {
        if self.away_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        match self.publish(message).await {
            Ok(()) => {
                if self.away_until.take().is_some() {
                    tracing::info!(broker = %self.address, "publishing to the broker again");
                }
                self.waits.after_success();
            }
            Err(reason) => {
                self.session = None;
                if self.away_until.is_none() {
                    let (exchange, routing_key) = (&message.exchange, &message.routing_key);
                    tracing::warn!(
                        broker = %self.address, exchange, routing_key, reason,
                        "cannot publish; messages are dropped until the broker is back"
                    );
                }
                self.away_until = Some(Instant::now() + self.waits.after_failure());
            }
        }
    }

    /// A connection that died while it was idle says so only when it is used: then a fresh one gets a chance.
    async fn publish(&mut self, message: &Message) -> Result<(), String> {
        if let Some(session) = &self.session {
            match session.publish(message).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(error, "the publisher's connection is stale"),
            }
            self.session = None;
        }
        let session = Session::open(&self.address).await?;
        session.publish(message).await?;
        self.session = Some(session);
        Ok(())
    }
}

impl Session {
    async fn open(address: &Address) -> Result<Self, String> {
        let connection = address.connect("switchhook publisher").await?;
        let channel = connection.create_channel().await.map_err(|e| e.to_string())?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|e| e.to_string())?;
        Ok(Self { connection, channel })
    }

    async fn publish(&self, message: &Message) -> Result<(), String> {
        let publishing = async {
            topology::declare_exchange(&self.channel, &message.exchange).await.map_err(|e| e.to_string())?;
            let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
            let properties = BasicProperties::default().with_content_type("application/json".into());
            let options = BasicPublishOptions::default();
            let sent = self.channel.basic_publish(exchange, key, options, &message.body, properties).await;
            match sent.map_err(|e| e.to_string())?.await.map_err(|e| e.to_string())? {
                Confirmation::Ack(_) | Confirmation::NotRequested => Ok(()),
                Confirmation::Nack(_) => Err("the broker refused the message".to_owned()),
            }
        };
        tokio::time::timeout(CONFIRM_WITHIN, publishing)
            .await
            .unwrap_or_else(|_| Err(format!("no confirm within {} s", CONFIRM_WITHIN.as_secs())))
    }
}
