//! A simulated switch: answers questions about its channels as KAZOO's switches do, and records commands.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::{Value, json};
use switchhook::tasks::Tasks;
use tokio::task::JoinHandle;

use super::wait::eventually;

/// How a switch answers a question.
#[derive(Debug, Clone)]
pub enum Mood {
    /// With its channels.
    Fine,
    /// Not at all.
    Silent,
    /// With these bytes, in which `MSG_ID` is replaced by the question's id.
    Says(String),
}

/// A running switch. It ends when dropped.
pub struct Switch {
    name: String,
    channel: Channel,
    /// The channels, as in a detailed answer.
    pub calls: Arc<Mutex<Vec<Value>>>,
    pub mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Vec<(String, Value)>>>,
    working: JoinHandle<()>,
    _connection: Connection,
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.working.abort();
    }
}

impl Switch {
    /// A switch that answers questions and takes commands.
    pub async fn start(uri: &str, name: &str) -> Self {
        Self::bound(uri, name, &[("callevt", "call.status_req.#"), ("metaflow", "metaflow.#")]).await
    }

    /// A switch with these bindings only.
    pub async fn bound(uri: &str, name: &str, bindings: &[(&str, &str)]) -> Self {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let queue = format!("{name}-{}", std::process::id());
        let private = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), private, FieldTable::default()).await.unwrap();
        for (exchange, kind) in [
            ("targeted", ExchangeKind::Direct),
            ("nodes", ExchangeKind::Fanout),
            ("callevt", ExchangeKind::Topic),
            ("metaflow", ExchangeKind::Topic),
        ] {
            let options = ExchangeDeclareOptions::default();
            channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.unwrap();
        }
        for (exchange, key) in bindings {
            let (queue, options) = (queue.as_str().into(), QueueBindOptions::default());
            channel
                .queue_bind(queue, (*exchange).into(), (*key).into(), options, FieldTable::default())
                .await
                .unwrap();
        }
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let (calls, mood) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Mood::Fine)));
        let got = Arc::new(Mutex::new(Vec::new()));
        let work = Work {
            name: name.to_owned(),
            channel: channel.clone(),
            calls: calls.clone(),
            mood: mood.clone(),
            got: got.clone(),
        };
        let working = Tasks::new().spawn("switch", work.run(consumer.await.unwrap()));
        Self { name: name.to_owned(), channel, calls, mood, got, working, _connection: connection }
    }

    /// Adds a call of an account; `other_leg` may be empty.
    pub fn call(&self, id: &str, account: &str, other_leg: &str) {
        self.calls.lock().unwrap().push(json!({
            "Call-ID": id, "Account-ID": account, "Other-Leg-Call-ID": other_leg, "Answered": true,
            "Destination": "1002", "Switch-URL": "sip:somewhere", "Media-Node": self.name,
            "Custom-Channel-Vars": {"Owner-ID": "someone"},
        }));
    }

    /// Publishes an advertisement of the switch.
    pub async fn advertise(&self) {
        let told = json!({
            "App-Name": "kz_nodes", "App-Version": "1", "Event-Category": "nodes", "Event-Name": "advertise",
            "Expires": 600_000, "Msg-ID": "a", "Node": self.name, "WhApps": {"ecallmgr": {"Startup": 1}},
        });
        publish(&self.channel, "nodes", "", told.to_string().as_bytes()).await;
    }

    /// The next command, with its routing key and body.
    pub async fn command(&self) -> (String, Value) {
        eventually("a command comes", Duration::from_secs(20), async || {
            let mut got = self.got.lock().unwrap();
            (!got.is_empty()).then(|| got.remove(0))
        })
        .await
    }

    /// Whether an unread command has arrived.
    pub fn has_command(&self) -> bool {
        !self.got.lock().unwrap().is_empty()
    }
}

struct Work {
    name: String,
    channel: Channel,
    calls: Arc<Mutex<Vec<Value>>>,
    mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Work {
    async fn run(self, mut consumer: Consumer) {
        while let Some(Ok(delivery)) = consumer.next().await {
            let body: Value = serde_json::from_slice(&delivery.data).unwrap();
            if delivery.exchange.as_str() == "metaflow" {
                self.got.lock().unwrap().push((delivery.routing_key.to_string(), body));
                continue;
            }
            let mood = self.mood.lock().unwrap().clone();
            let answer = match mood {
                Mood::Silent => continue,
                Mood::Fine => self.answer(&body).to_string(),
                Mood::Says(text) => text.replace("MSG_ID", body["Msg-ID"].as_str().unwrap()),
            };
            publish(&self.channel, "targeted", body["Server-ID"].as_str().unwrap(), answer.as_bytes()).await;
        }
    }

    fn answer(&self, question: &Value) -> Value {
        let calls = self.calls.lock().unwrap();
        let (name, channels) = if question["Event-Name"] == "query_channels_req" {
            let of_id = calls.iter().filter(|call| call["Call-ID"] == question["Call-ID"]);
            let found: serde_json::Map<_, _> =
                of_id.map(|call| (call["Call-ID"].as_str().unwrap().to_owned(), call.clone())).collect();
            ("query_channels_resp", Value::Object(found))
        } else {
            let own = calls.iter().filter(|call| call["Account-ID"] == question["Account-ID"]);
            let rows = own.map(|call| {
                json!({"uuid": call["Call-ID"], "account_id": call["Account-ID"], "switch_url": "sip:x",
                       "other_leg": call["Other-Leg-Call-ID"], "destination": call["Destination"]})
            });
            ("query_account_channels_resp", rows.collect())
        };
        json!({
            "App-Name": "ecallmgr", "App-Version": "5.0.0", "Event-Category": "call_event", "Event-Name": name,
            "Msg-ID": question["Msg-ID"], "Node": self.name, "Channels": channels,
        })
    }
}

async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8]) {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
}
