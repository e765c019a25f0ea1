//! Publishes numbered events with confirms, and continues after every restart of the broker.

use std::cell::Cell;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use serde_json::json;
use tokio::time::sleep;

use super::verdict::{Verdict, call};
use crate::support::app::call_event;

const AT_ONCE: u64 = 10;
/// The largest allowed backlog of the slowest hook.
const AHEAD: usize = 400;

/// The outcome of publishing an event.
#[derive(Debug, Default)]
pub struct Published {
    /// The broker has them in our queue.
    pub confirmed: Vec<u64>,
    /// No queue was bound (the broker had just started), or the outcome is unknown.
    pub uncertain: u64,
}

/// Publishes until the run is over.
pub async fn until(over: &Cell<bool>, uri: &str, account: &str, verdict: &Verdict) -> Published {
    let (mut published, mut next, mut channel) = (Published::default(), 0, None);
    while !over.get() {
        if published.confirmed.len() > verdict.slowest() + AHEAD {
            sleep(Duration::from_millis(5)).await;
            continue;
        }
        let Some(open) = &channel else {
            channel = connect(uri).await;
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut confirms = Vec::new();
        for number in next..next + AT_ONCE {
            confirms.push((number, send(open, account, number).await));
        }
        next += AT_ONCE;
        let before = published.uncertain;
        for (number, confirm) in confirms {
            let answer = match confirm {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(Confirmation::Ack(None)) => published.confirmed.push(number),
                Ok(_) => published.uncertain += 1,
                Err(_) => {
                    published.uncertain += 1;
                    channel = None;
                }
            }
        }
        if published.uncertain > before {
            // The program has not bound its queue again yet.
            sleep(Duration::from_millis(50)).await;
        }
    }
    published
}

async fn send(channel: &Channel, account: &str, number: u64) -> lapin::Result<lapin::PublisherConfirm> {
    let mut event = call_event("CHANNEL_CREATE", &call(number), number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    // The broker returns the message if no queue is bound; then the event does not count.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = event.to_string().into_bytes();
    let key = "call.CHANNEL_CREATE.call".into();
    // A confirmed message outlives the broker only if it is persistent.
    let properties = BasicProperties::default().with_delivery_mode(2);
    channel.basic_publish("callevt".into(), key, options, &body, properties).await
}

async fn connect(uri: &str) -> Option<Channel> {
    let connecting = Connection::connect(uri, ConnectionProperties::default());
    let connection = tokio::time::timeout(Duration::from_secs(2), connecting).await.ok()?.ok()?;
    let channel = connection.create_channel().await.ok()?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
    let options = ExchangeDeclareOptions::default();
    let declared =
        channel.exchange_declare("callevt".into(), ExchangeKind::Topic, options, FieldTable::default()).await;
    declared.ok().map(|()| channel)
}
