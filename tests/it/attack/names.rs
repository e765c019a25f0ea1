//! Lookups of host names are bounded for each account, so names without an answer do not delay other tenants.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::dns::{NameServer, Says};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually_true;

/// Names below `dead.example` get no answer, `none.example` does not exist, all others lead to this machine.
async fn name_server(ttl_s: u32) -> NameServer {
    NameServer::start(move |name| match name {
        dead if dead.ends_with("dead.example") => Says::Nothing,
        "none.example" => Says::Code(3),
        _ => Says::Addresses(vec![Ipv4Addr::LOCALHOST], ttl_s),
    })
    .await
}

fn by_name(name: &str, receiver: &Receiver, path: &str) -> String {
    format!("http://{name}:{}{path}", receiver.address().port())
}

#[tokio::test]
async fn host_names_without_an_answer_do_not_delay_other_tenants() {
    let (names, receiver) = (name_server(0).await, Receiver::start().await);
    // Each delivery needs a new connection, and therefore a lookup.
    receiver.mood(Mood::answer(200, &[("connection", "close")], ""));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[names.setting()]).await;
    let master = process.api().await;
    let attacker = master.tenant("attacker").await;
    let victim = master.tenant("victim").await;
    for n in 0..32 {
        attacker.hook(json!({"uri": format!("http://h{n}.dead.example/")})).await;
    }
    let hook = victim.hook(json!({"uri": by_name("hooks.victim.example", &receiver, "/")})).await;
    let events: Vec<Value> = (0..1200).map(|n| call_event("CHANNEL_CREATE", &format!("a{n}"), n)).collect();
    attacker.publish(&events).await;
    eventually_true("the attacker's names are asked for", Duration::from_secs(20), || {
        (0..32).all(|n| names.asked(&format!("h{n}.dead.example")) > 0)
    })
    .await;
    for n in 0..10 {
        victim.publish(&[call_event("CHANNEL_CREATE", &format!("v{n}"), n)]).await;
        // One by one, so that each delivery competes with the attacker's lookups.
        receiver.wait_for(usize::try_from(n).unwrap() + 1, Duration::from_secs(10)).await;
    }
    let attempts = victim.own("GET", &format!("/webhooks/{hook}/attempts"), None).await;
    let failed = attempts.data().as_array().unwrap().iter().filter(|a| a["result"] != "success").count();
    assert_eq!(failed, 0, "{}", attempts.data());
    let document = victim.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_ne!(document.data()["enabled"], false, "{}", document.data());
}

#[tokio::test]
async fn a_name_servers_answer_is_used_for_its_ttl_and_shared_by_concurrent_attempts() {
    let (names, receiver) = (name_server(600).await, Receiver::start().await);
    receiver.mood(Mood::answer(200, &[("connection", "close")], ""));
    let app = TestApp::with(&[&names.setting()]).await;
    app.api.hook(json!({"uri": by_name("hooks.example", &receiver, "/"), "ordering": "none"})).await;
    let events: Vec<Value> = (0..50).map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n)).collect();
    app.api.publish(&events).await;
    receiver.wait_for(50, Duration::from_secs(20)).await;
    assert_eq!(names.asked("hooks.example"), 1);
}

#[tokio::test]
async fn a_host_name_cannot_lead_to_a_forbidden_address() {
    let inside = Receiver::start().await;
    let names = NameServer::start(|_| Says::Addresses(vec![Ipv4Addr::LOCALHOST], 0)).await;
    let app = TestApp::with(&[&names.setting(), "delivery.allow_addresses=[\"127.9.9.9/32\"]"]).await;
    let hook = app.api.hook(json!({"uri": by_name("hooks.example", &inside, "/")})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let path = format!("/webhooks/{hook}/attempts");
    crate::support::wait::eventually("the attempt is refused", Duration::from_secs(20), || async {
        let attempts = app.api.own("GET", &path, None).await;
        attempts.body["data"][0]["client_error"].as_str().filter(|e| *e == "forbidden_address").map(|_| ())
    })
    .await;
    assert_eq!(inside.count(), 0);
}

#[tokio::test]
async fn unanswered_names_of_many_tenants_leave_lookups_for_every_other_tenant() {
    let (names, receiver) = (name_server(0).await, Receiver::start().await);
    receiver.mood(Mood::answer(200, &[("connection", "close")], ""));
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[names.setting()]).await;
    let master = process.api().await;
    let victim = master.tenant("victim").await;
    let hook = victim.hook(json!({"uri": by_name("hooks.victim.example", &receiver, "/")})).await;
    let mut attackers = Vec::new();
    for n in 0..8 {
        let tenant = master.tenant(&format!("attacker {n}")).await;
        let child = tenant.account_below(&tenant.account, &format!("child of {n}")).await;
        attackers.extend([tenant.clone(), tenant.below(child)]);
    }
    // Each tenant has more names than there are places for lookups.
    for (n, attacker) in attackers.iter().enumerate() {
        for m in 0..24 {
            attacker.hook(json!({"uri": format!("http://h{m}.a{n}.dead.example/"), "retries": 4})).await;
        }
    }
    for attacker in &attackers {
        let events: Vec<Value> = (0..20).map(|n| call_event("CHANNEL_CREATE", &format!("a{n}"), n)).collect();
        attacker.publish(&events).await;
    }
    eventually_true("names of every attacker are asked for", Duration::from_secs(60), || {
        (0..attackers.len()).all(|n| (0..24).any(|m| names.asked(&format!("h{m}.a{n}.dead.example")) > 0))
    })
    .await;
    for n in 0..10 {
        victim.publish(&[call_event("CHANNEL_CREATE", &format!("v{n}"), n)]).await;
        receiver.wait_for(usize::try_from(n).unwrap() + 1, Duration::from_secs(20)).await;
    }
    let attempts = victim.own("GET", &format!("/webhooks/{hook}/attempts"), None).await;
    let failed = attempts.data().as_array().unwrap().iter().filter(|a| a["result"] != "success").count();
    assert_eq!(failed, 0, "{}", attempts.data());
}
