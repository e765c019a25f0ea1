//! Questions through a real broker, with the test's own clock: when they end, and their limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchhook::amqp::{Address, BrokerStatus};
use switchhook::commands::{CommandError, Requester, RequesterOptions};
use switchhook::kazoo::{self, Message, Sender};
use switchhook::model::{AccountId, Clock};
use switchhook::tasks::{Stop, Tasks};

use super::support::broker::Broker;
use super::support::switch::{Mood, Switch};
use super::support::wait::eventually;

const SOON: Duration = Duration::from_secs(60);

fn question(msg_id: &str) -> Message {
    kazoo::account_query(AccountId(7), Sender { app: "test", node: "test@here", msg_id })
}

async fn is_connected(requester: &Requester) {
    let mut status = requester.status();
    let connected = status.wait_for(|status| matches!(status, BrokerStatus::Connected { .. }));
    tokio::time::timeout(SOON, connected).await.expect("the requester connects").unwrap();
}

#[tokio::test]
async fn broker_questions_end_when_every_advertised_switch_has_answered() {
    let broker = Broker::shared().await;
    let now = Arc::new(AtomicU64::new(1_000_000_000));
    let clock = Clock::new({
        let now = now.clone();
        move || now.load(Ordering::Relaxed)
    });
    // Long enough that no question of this test times out.
    let timeout = Duration::from_secs(3600);
    let options = RequesterOptions { timeout, max_in_flight: 2, ..RequesterOptions::default() };
    let (requester, task) = Requester::new(Address::parse(&broker.uri()).unwrap(), &options, clock);
    let (tasks, stop) = (Tasks::new(), Stop::new());
    let running = tasks.spawn("requester", task.run(stop.clone()));
    is_connected(&requester).await;
    let (first, second) =
        (Switch::start(&broker.uri(), "s1").await, Switch::start(&broker.uri(), "s2").await);
    first.advertise().await;
    second.advertise().await;
    now.fetch_add(30_000_000, Ordering::Relaxed);

    // While no advertisement has been received, a question lasts until its timeout.
    let asked = AtomicU64::new(0);
    eventually("both have been heard", SOON, async || {
        let id = format!("first{}", asked.fetch_add(1, Ordering::Relaxed));
        let asking = requester.ask(question(&id), kazoo::account_channels);
        let answers = tokio::time::timeout(Duration::from_secs(1), asking).await;
        matches!(answers, Ok(Ok(answers)) if answers.len() == 2).then_some(())
    })
    .await;
    for n in 0..20 {
        let asking = requester.ask(question(&format!("m{n}")), kazoo::account_channels);
        let answers = tokio::time::timeout(SOON, asking).await.expect("both answered").unwrap();
        assert_eq!(answers.len(), 2);
    }

    // Two unanswered questions reach the limit; abandoning them makes room again.
    *first.mood.lock().unwrap() = Mood::Silent;
    {
        let mut a = std::pin::pin!(requester.ask(question("a"), kazoo::account_channels));
        let mut b = std::pin::pin!(requester.ask(question("b"), kazoo::account_channels));
        assert!(futures_util::poll!(a.as_mut()).is_pending() && futures_util::poll!(b.as_mut()).is_pending());
        let refused = requester.ask(question("c"), kazoo::account_channels).await;
        assert_eq!(refused.unwrap_err(), CommandError::Busy(2));
    }
    *first.mood.lock().unwrap() = Mood::Fine;
    assert_eq!(requester.ask(question("d"), kazoo::account_channels).await.unwrap().len(), 2);

    // A question under way fails at once when the connection is lost.
    *first.mood.lock().unwrap() = Mood::Silent;
    let mut lost = std::pin::pin!(requester.ask(question("e"), kazoo::account_channels));
    assert!(futures_util::poll!(lost.as_mut()).is_pending());
    stop.cancel();
    running.await.unwrap();
    let ended = tokio::time::timeout(SOON, lost).await.expect("it is told");
    assert!(matches!(ended, Err(CommandError::NotConnected(_))), "{ended:?}");
}
