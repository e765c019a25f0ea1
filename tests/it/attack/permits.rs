//! Attempts under way: whatever the receivers of one tenant do, the deliveries of other tenants are made.

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, queue_when};
use crate::support::receiver::{Mood, Receiver};

const HOOKS: usize = 200;

/// A call event of an account.
fn event_of(account: &str, call: &str, number: u64) -> Value {
    let mut event = call_event("CHANNEL_CREATE", call, number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    event
}

/// The attacker's hooks hang, with many more attempts than there are permits. The neighbour's only hook, with the URI
/// `uri`, still gets its events.
async fn a_neighbour_gets_its_events_while_hooks_hang(hanging: &Receiver, uri: String, healthy: &Receiver) {
    let mut app = TestApp::with(&["delivery.max_in_flight=128", "delivery.request_timeout_ms=300000"]).await;
    let master = app.api.account.clone();
    let attacker = app.api.account_below(&master, "attacker").await;
    let neighbour = app.api.account_below(&master, "neighbour").await;
    // The attacker's child accounts belong to the same tenant, so they have no permits of their own.
    let mut accounts = vec![attacker.clone()];
    for n in 0..4 {
        accounts.push(app.api.account_below(&attacker, &format!("child {n}")).await);
    }
    for n in 0..HOOKS {
        let account = &accounts[n % accounts.len()];
        let document = json!({"uri": hanging.uri(&format!("/{n}")), "ordering": "none"});
        app.api.hook_of(account, document).await;
    }
    let hook = app.api.hook_of(&neighbour, json!({"uri": uri, "format": "json"})).await;
    let events: Vec<Value> = (0..8)
        .flat_map(|n| accounts.iter().map(move |account| event_of(account, &format!("c{n}"), n)))
        .collect();
    app.api.publish(&events).await;
    // Between half and three quarters of the permits hang now.
    hanging.wait_until(LONG, |requests| requests.iter().filter(|r| r.path != "/healthy").count() >= 60).await;
    let events: Vec<Value> = (0..20).map(|n| event_of(&neighbour, "theirs", n)).collect();
    app.api.publish(&events).await;
    healthy.wait_until(LONG, |requests| requests.iter().filter(|r| r.path == "/healthy").count() == 20).await;
    let neighbour = app.api.below(neighbour);
    queue_when(&neighbour, &hook, "the neighbour's events are delivered", |queue| queue["waiting"] == 0)
        .await;
    app.stop().await;
}

#[tokio::test]
async fn hanging_hooks_of_a_tenant_and_its_children_leave_permits_to_other_tenants() {
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.mood(Mood::Hang);
    a_neighbour_gets_its_events_while_hooks_hang(&hanging, healthy.uri("/healthy"), &healthy).await;
}

#[tokio::test]
async fn hanging_hooks_of_one_tenant_leave_permits_of_their_host_to_other_tenants() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if r.path == "/healthy" { Mood::Ok } else { Mood::Hang }));
    a_neighbour_gets_its_events_while_hooks_hang(&receiver, receiver.uri("/healthy"), &receiver).await;
}
