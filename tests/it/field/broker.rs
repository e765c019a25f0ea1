//! The broker in real operation: bindings that vanish, an unread queue, an installation that has ended.

use std::collections::HashSet;
use std::time::Duration;

use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::look::number;
use crate::support::process::{Process, run};
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;
use switchhook::model::{Clock, gregorian_seconds};

const SOON: Duration = Duration::from_secs(60);

/// The answer of readiness, once the program is ready and `enough` is true.
async fn ready_when(app: &TestApp, enough: impl Fn(&Value) -> bool) -> Value {
    eventually("readiness", SOON, async || {
        let answer = app.api.call("GET", "/health/ready", None).await;
        (answer.status == 200 && enough(&answer.body)).then_some(answer.body)
    })
    .await
}

/// The number of messages in the queue; `None` if the queue does not exist.
async fn messages(broker: &Broker, queue: &str) -> Option<u32> {
    let publisher = Publisher::connect(&broker.uri()).await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = publisher.channel().queue_declare(queue.into(), passive, FieldTable::default()).await;
    found.ok().map(|queue| queue.message_count())
}

fn event(app: &TestApp, number: u64) -> Vec<u8> {
    let mut event = call_event("CHANNEL_DESTROY", "c", number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": app.api.account});
    event.to_string().into_bytes()
}

#[tokio::test]
async fn an_exchange_deleted_under_a_live_connection_is_declared_and_bound_again() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let app = TestApp::with(&[&uri, "amqp.check_interval_ms=200"]).await;
    let receiver = Receiver::start().await;
    app.api.hook(json!({"uri": receiver.uri("/"), "hook": "channel_destroy"})).await;
    ready_when(&app, |_| true).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.channel().exchange_delete("callevt".into(), ExchangeDeleteOptions::default()).await.unwrap();
    // Another client may declare the exchange first, but only we bind our queue to it.
    publisher.declare("callevt").await;
    let body = event(&app, 1);
    eventually("an event of the new exchange", SOON, async || {
        publisher.publish("callevt", "call.CHANNEL_DESTROY.c", &body).await;
        (receiver.count() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unread_queue_stays_bounded_by_dropping_its_oldest_messages() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let mut app = TestApp::with(&[&uri, "amqp.queue_max_messages=10"]).await;
    ready_when(&app, |ready| !ready.to_string().contains("broker_queue")).await;
    app.stop().await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.declare("callevt").await;
    for number in 0..50 {
        publisher.publish("callevt", "call.CHANNEL_DESTROY.c", &event(&app, number)).await;
    }
    assert_eq!(messages(&broker, "switchhook").await, Some(10));
    app.restart(None).await;
    let ready = ready_when(&app, |ready| ready.to_string().contains("broker_queue")).await;
    assert!(ready.to_string().contains("the queue was full when the connection was made"), "{ready}");

    // The same queue with other bounds is used unchanged, and the notice names its bounds.
    app.restart(Some(&[&uri, "amqp.queue_max_messages=20"])).await;
    let ready = ready_when(&app, |ready| ready.to_string().contains("broker_queue")).await;
    assert!(ready.to_string().contains("rabbitmqctl set_policy"), "{ready}");
}

#[tokio::test]
async fn an_installation_that_has_ended_leaves_nothing_at_the_broker() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let mut app = TestApp::with(&[&uri, "amqp.queue=old"]).await;
    ready_when(&app, |_| true).await;
    let remove = async |more: &[&str]| {
        let args = ["amqp", "remove", "--set", &uri, "--set", "amqp.queue=old"];
        run(&[&args[..], more].concat()).await
    };
    let refused = remove(&["--yes"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("stop the program first"), "{refused:?}");
    app.stop().await;
    let shown = remove(&[]).await;
    assert!(shown.code == Some(0) && shown.stdout.concat().contains("add --yes"), "{shown:?}");
    assert_eq!(messages(&broker, "old").await, Some(0));
    let removed = remove(&["--yes"]).await;
    assert!(
        removed.code == Some(0) && removed.stdout.concat().contains("removed the queue 'old'"),
        "{removed:?}"
    );
    assert_eq!(messages(&broker, "old").await, None);
    assert!(remove(&["--yes"]).await.stdout.concat().contains("has no queue 'old'"));
}

/// Bodies of the numbered events that a receiver got, by number.
fn numbers(receiver: &Receiver) -> Vec<u64> {
    receiver.requests().iter().map(number).collect()
}

#[tokio::test]
async fn a_queue_without_a_bound_is_renewed_while_events_flow_and_none_is_lost() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let publisher = Publisher::connect(&broker.uri()).await;
    // A queue as an earlier version declared it: durable, with one consumer at a time, and without a bound.
    let mut old = FieldTable::default();
    old.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    publisher
        .channel()
        .queue_declare("switchhook".into(), QueueDeclareOptions::durable(), old)
        .await
        .unwrap();
    let mut app = TestApp::with(&[&uri]).await;
    let receiver = Receiver::start().await;
    let hook =
        json!({"uri": receiver.uri("/"), "hook": "channel_destroy", "format": "json", "ordering": "none"});
    app.api.hook(hook).await;
    let ready = ready_when(&app, |ready| ready.to_string().contains("broker_queue")).await;
    assert!(ready.to_string().contains("switchhook amqp renew"), "{ready}");
    let renew = async || run(&["amqp", "renew", "--set", &uri]).await;
    let refused = renew().await;
    assert!(refused.code == Some(1) && refused.stderr.contains("stop the program first"), "{refused:?}");
    app.stop().await;

    let bodies: Vec<Vec<u8>> = (0..3000).map(|number| event(&app, number)).collect();
    publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", &bodies[..1500]).await;
    let renewing = renew();
    let publishing = async {
        for part in bodies[1500..].chunks(10) {
            publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", part).await;
        }
    };
    let (renewed, ()) = tokio::join!(renewing, publishing);
    assert!(renewed.code == Some(0) && renewed.stdout.concat().contains("renewed the queue"), "{renewed:?}");
    assert_eq!(messages(&broker, "switchhook.renewed").await, None);
    assert!(messages(&broker, "switchhook").await.unwrap() >= 3000);
    assert!(renew().await.stdout.concat().contains("already"), "a second time there is nothing to do");

    app.restart(None).await;
    let ready = ready_when(&app, |_| true).await;
    assert!(!ready.to_string().contains("amqp renew"), "{ready}");
    receiver.wait_for(3000, SOON).await;
    eventually("every event", SOON, async || {
        let got: HashSet<u64> = numbers(&receiver).into_iter().collect();
        (got.len() == 3000).then_some(())
    })
    .await;
    // A moved message keeps its original exchange and routing key.
    let found =
        app.api.own("GET", "/events?event_names=CHANNEL_DESTROY&page_size=1&ascending=true", None).await;
    let row = &found.data()[0];
    assert_eq!(
        (&row["exchange"], &row["routing_key"]),
        (&json!("callevt"), &json!("call.CHANNEL_DESTROY.c"))
    );
}

#[tokio::test]
async fn a_queue_that_holds_more_than_its_bound_is_not_renewed() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let publisher = Publisher::connect(&broker.uri()).await;
    let durable = QueueDeclareOptions::durable();
    publisher.channel().queue_declare("switchhook".into(), durable, FieldTable::default()).await.unwrap();
    for _ in 0..20 {
        publisher.publish("", "switchhook", b"{}").await;
    }
    let refused = run(&["amqp", "renew", "--set", &uri, "--set", "amqp.queue_max_messages=10"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("holds 20 messages"), "{refused:?}");
    assert_eq!(messages(&broker, "switchhook").await, Some(20));
    let absent = run(&["amqp", "renew", "--set", &uri, "--set", "amqp.queue=none"]).await;
    assert!(absent.stdout.concat().contains("has no queue 'none'"), "{absent:?}");
}

#[tokio::test]
async fn a_silent_broker_is_reported_while_its_connection_is_still_open() {
    let broker = Broker::start().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let app = TestApp::with(&[&uri]).await;
    ready_when(&app, |_| true).await;
    broker.signal("STOP");
    let silent = eventually("readiness names the broker", SOON, async || {
        let answer = app.api.call("GET", "/health/ready", None).await;
        answer.body["faults"].as_array()?.iter().find(|fault| fault["what"] == "broker").cloned()
    })
    .await;
    broker.signal("CONT");
    assert!(silent["reason"].as_str().unwrap().contains("no sign of life"), "{silent}");
    ready_when(&app, |_| true).await;
}

#[tokio::test]
async fn a_renewal_that_was_killed_repeatedly_is_completed_by_the_next_one_without_loss() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let publisher = Publisher::connect(&broker.uri()).await;
    let mut old = FieldTable::default();
    old.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let durable = QueueDeclareOptions::durable();
    publisher.channel().queue_declare("switchhook".into(), durable, old).await.unwrap();
    let mut app = TestApp::with(&[&uri]).await;
    let receiver = Receiver::start().await;
    let hook =
        json!({"uri": receiver.uri("/"), "hook": "channel_destroy", "format": "json", "ordering": "none"});
    app.api.hook(hook).await;
    ready_when(&app, |ready| ready.to_string().contains("amqp renew")).await;
    app.stop().await;

    let bodies: Vec<Vec<u8>> = (0..1500).map(|number| event(&app, number)).collect();
    let mut parts = bodies.chunks(900);
    publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", parts.next().unwrap()).await;
    let mut rest = bodies[900..].chunks(150);
    // Kill it while messages move away, between the two moves, and while they move back.
    for at in ["there", "there", "back"] {
        let mut renewal = Process::spawn(&["amqp", "renew", "--set", &uri]);
        let mut most = 0;
        while !renewal.has_ended() {
            let spare = messages(&broker, "switchhook.renewed").await.unwrap_or(0);
            most = most.max(spare);
            let is_time = if at == "there" { spare > 0 } else { most > 0 && spare < most };
            if is_time {
                break;
            }
        }
        renewal.kill();
        publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", rest.next().unwrap()).await;
    }
    publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", rest.next().unwrap()).await;
    let renewed = run(&["amqp", "renew", "--set", &uri]).await;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    assert_eq!(messages(&broker, "switchhook.renewed").await, None, "{renewed:?}");
    assert!(messages(&broker, "switchhook").await.unwrap() >= 1500);

    app.restart(None).await;
    let ready = ready_when(&app, |_| true).await;
    assert!(!ready.to_string().contains("amqp renew"), "{ready}");
    eventually("every event", SOON, async || {
        let got: HashSet<u64> = numbers(&receiver).into_iter().collect();
        (got.len() == 1500).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_alarm_of_the_broker_is_in_readiness_and_metrics() {
    // The limit is below the memory that the broker uses.
    let broker = Broker::start_with("vm_memory_high_watermark.absolute = 1MB\n").await;
    let uri = format!("amqp.uri={}", broker.uri());
    let app = TestApp::with(&[&uri]).await;
    let ready = ready_when(&app, |ready| ready.to_string().contains("broker_alarm")).await;
    assert!(ready.to_string().contains("short of memory or disk"), "{ready}");
    let page = app.api.text("/metrics").await;
    assert!(page.lines().any(|line| line == "switchhook_broker_blocked 1"), "{page}");
}

#[tokio::test]
async fn the_age_of_arriving_events_and_the_times_of_dropped_ones_are_reported() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let settings = [uri.as_str(), "amqp.queue_max_messages=50", "amqp.check_interval_ms=200"];
    let mut app = TestApp::with(&settings).await;
    ready_when(&app, |_| true).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let stamped = |number: u64, age_s: u64| {
        let mut event: Value = serde_json::from_slice(&event(&app, number)).unwrap();
        event["Timestamp"] = json!(gregorian_seconds(Clock::system().now_us()) - age_s);
        event.to_string().into_bytes()
    };
    let bodies: Vec<Vec<u8>> = (1..=100).map(|number| stamped(number, 120)).collect();
    publisher.publish("callevt", "call.CHANNEL_DESTROY.c", &stamped(0, 0)).await;
    eventually("the first event is stored", SOON, async || {
        let found = app.api.own("GET", "/events?event_names=CHANNEL_DESTROY", None).await;
        (found.data().as_array()?.len() == 1).then_some(())
    })
    .await;
    app.stop().await;
    publisher.publish_all("callevt", "call.CHANNEL_DESTROY.c", &bodies).await;
    app.restart(None).await;
    let ready =
        ready_when(&app, |ready| ready.to_string().contains("the dropped events were sent between")).await;
    let said = ready["notices"].to_string();
    assert!(said.contains("the queue was full") && said.contains("s after they were sent"), "{said}");
}
