//! Tests of the test tools: with a receiver that reports wrong requests, every other test would be worthless.

use std::time::Duration;

use super::support::broker::Broker;
use super::support::publisher::Publisher;
use super::support::receiver::{Mood, Receiver, closed_uri};
use super::support::wait::{eventually, eventually_true};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_receiver_records_requests_and_answers_by_its_mood() {
    let receiver = Receiver::start().await;
    let client = reqwest::Client::new();
    let sent = client.post(receiver.uri("/a?x=1")).header("X-Test", "v").body("hello").send().await.unwrap();
    assert_eq!(sent.status(), 200);

    receiver.mood(Mood::status(503));
    receiver.mood_at("/b", Mood::answer(429, &[("Retry-After", "7")], "slow down"));
    assert_eq!(client.get(receiver.uri("/a")).send().await.unwrap().status(), 503);
    let refused = client.put(receiver.uri("/b")).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(refused.text().await.unwrap(), "slow down");

    let all = receiver.wait_for(3, SOON).await;
    let first = &all[0];
    assert_eq!((first.number, first.method.as_str(), first.path.as_str()), (1, "POST", "/a"));
    assert_eq!((first.query.as_str(), first.header("x-test"), first.text()), ("x=1", Some("v"), "hello"));
    assert!(first.at <= all[2].at);
    assert_eq!(receiver.requests_at("/a").last().unwrap().number_at_path, 2);
    assert_eq!(receiver.most_in_flight(), 1);
    receiver.forget();
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn every_bad_mood_is_an_error_at_the_client() {
    let mut receiver = Receiver::start().await;
    let client = reqwest::Client::builder().timeout(Duration::from_millis(300)).build().unwrap();
    for (path, mood) in [
        ("/hang", Mood::Hang),
        ("/reset", Mood::Reset),
        ("/close", Mood::Close),
        ("/partial", Mood::Partial),
        ("/endless", Mood::Endless),
        ("/late", Mood::After(Duration::from_secs(5), Box::new(Mood::Ok))),
    ] {
        receiver.mood_at(path, mood);
        let got = match client.get(receiver.uri(path)).send().await {
            Ok(answer) => answer.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(got.is_err(), "{path} answered");
        let tries = receiver.requests_at(path).len();
        assert_eq!(tries, 1, "{path} was asked {tries} times");
    }
    receiver.mood(Mood::by(|r| if r.number_at_path % 2 == 1 { Mood::status(500) } else { Mood::Ok }));
    for status in [500, 200, 500] {
        assert_eq!(client.get(receiver.uri("/flaky")).send().await.unwrap().status(), status);
    }

    receiver.refuse().await;
    assert!(client.get(receiver.uri("/flaky")).send().await.unwrap_err().is_connect());
    assert!(client.get(closed_uri()).send().await.unwrap_err().is_connect());
    receiver.accept_again();
    assert_eq!(client.get(receiver.uri("/flaky")).send().await.unwrap().status(), 200);
    assert!(receiver.address().ip().is_loopback());
    receiver.wait_until(SOON, |all| all.last().is_some_and(|r| r.path == "/flaky")).await;
}

#[tokio::test]
async fn waiting_ends_with_the_first_some() {
    let mut looks = 0;
    eventually_true("three looks", SOON, || {
        looks += 1;
        looks == 3
    })
    .await;
    assert_eq!(looks, 3);
    assert_eq!(eventually("an answer", SOON, async || Some(7)).await, 7);
}

#[tokio::test]
async fn a_broker_keeps_its_durable_queues_and_forgets_other_exchanges_when_killed() {
    use lapin::options::{BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
    use lapin::types::FieldTable;

    let (mut broker, other) = tokio::join!(Broker::start(), Broker::start());
    assert_ne!(broker.uri(), other.uri());

    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.declare("callevt").await;
    let channel = publisher.channel();
    channel
        .queue_declare("kept-queue".into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("kept-queue".into(), "callevt".into(), "call.#".into(), bind, FieldTable::default())
        .await
        .unwrap();
    publisher.publish("callevt", "call.CHANNEL_CREATE.x", b"{}").await;
    publisher.publish_all("callevt", "call.CHANNEL_CREATE.x", &[b"1".to_vec(), b"2".to_vec()]).await;
    let got = channel.basic_get("kept-queue".into(), BasicGetOptions::default()).await.unwrap().unwrap();
    assert_eq!(got.message_count, 2);

    broker.has_written("kept-queue").await;
    broker.kill();
    broker.start_again().await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    publisher.channel().queue_declare("kept-queue".into(), passive, FieldTable::default()).await.unwrap();
    let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
    let kind = lapin::ExchangeKind::Topic;
    let gone =
        publisher.channel().exchange_declare("callevt".into(), kind, passive, FieldTable::default()).await;
    assert!(gone.unwrap_err().to_string().contains("NOT-FOUND"));
    drop(publisher);
    Publisher::connect(&other.uri()).await.close().await;
}
