//! Publishes events as KAZOO does: topic exchanges, not durable, not auto-deleted; but with confirms, so that
//! a test knows what the broker has.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};

/// A connection that publishes.
pub struct Publisher {
    connection: Connection,
    channel: Channel,
}

impl Publisher {
    /// Connects to a broker that is up.
    pub async fn connect(uri: &str) -> Self {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { connection, channel }
    }

    /// Declares an exchange as every KAZOO node does.
    pub async fn declare(&self, exchange: &str) {
        self.channel
            .exchange_declare(
                exchange.into(),
                ExchangeKind::Topic,
                ExchangeDeclareOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
    }

    /// Publishes JSON and waits for the broker's confirm.
    pub async fn publish(&self, exchange: &str, routing_key: &str, body: &[u8]) {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        self.publish_with(exchange, routing_key, body, properties).await;
    }

    /// Publishes with the given properties and waits for the broker's confirm. A message that no queue
    /// wanted is confirmed too, and gone, as with KAZOO.
    pub async fn publish_with(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        let confirmed = sent.unwrap().await.unwrap();
        assert!(matches!(confirmed, Confirmation::Ack(_)), "the broker refused a message");
    }

    /// Publishes many JSON bodies, then waits for all confirms: fast.
    pub async fn publish_all(&self, exchange: &str, routing_key: &str, bodies: &[Vec<u8>]) {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        let mut confirms = Vec::with_capacity(bodies.len());
        for body in bodies {
            let options = BasicPublishOptions::default();
            let key = routing_key.into();
            let sent =
                self.channel.basic_publish(exchange.into(), key, options, body, properties.clone()).await;
            confirms.push(sent.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }

    /// The channel, for what a test needs beyond publishing.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Says goodbye properly.
    pub async fn close(self) {
        self.connection.close(200, "bye".into()).await.unwrap();
    }
}
