//! All bindings, with KAZOO's messages from a real broker.

use serde_json::{Value, json};

use super::support::app::TestApp;
use super::support::broker::Broker;
use super::support::look::LONG;
use super::support::publisher::Publisher;
use super::support::wait::eventually;

/// A published message, and the frames of each binding.
struct Case {
    exchange: &'static str,
    key: String,
    body: Value,
    /// Binding, subscription key, name.
    shown: Vec<(&'static str, String, &'static str)>,
}

/// A message of a KAZOO node.
fn event(category: &str, name: &str, more: &Value) -> Value {
    let mut event = json!({"Event-Category": category, "Event-Name": name, "Node": "n@h", "App-Name": "a"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn cases(account: &str) -> Vec<Case> {
    let db = format!("account%2F{}%2F{}%2F{}", &account[..2], &account[2..4], &account[4..]);
    let hold = json!({"Call-ID": "c@1", "Custom-Channel-Vars": {"Account-ID": account}});
    let lock = json!({"Event": "lock", "Conference-ID": "conf", "Account-ID": account});
    let status = json!({"Job-ID": "202611-f", "Account-ID": account});
    let fax =
        json!({"ID": "202611-f", "Type": "fax", "Database": format!("{db}-202611"), "Account-ID": account});
    vec![
        Case {
            exchange: "callevt",
            key: "call.CHANNEL_HOLD.c%401".into(),
            body: event("call_event", "CHANNEL_HOLD", &hold),
            shown: vec![("call.*.*", format!("call.{account}.CHANNEL_HOLD.*"), "CHANNEL_HOLD")],
        },
        Case {
            exchange: "conference",
            key: format!("conference.event.lock.{account}.conf.conf"),
            body: event("conference", "event", &lock),
            shown: vec![
                ("conference.event.conf.*", format!("conference.event.*.{account}.conf.*"), "event"),
                ("conference.event.conf.*.lock", format!("conference.event.lock.{account}.conf.*"), "event"),
                ("conference.event.*.conf.*", format!("conference.event.*.{account}.conf.*"), "event"),
            ],
        },
        // The account is known from the event before.
        Case {
            exchange: "conference",
            key: "conference.command.conf".into(),
            body: event("conference", "command", &json!({"Conference-ID": "conf"})),
            shown: vec![("conference.command.conf", "conference.command.conf".into(), "command")],
        },
        Case {
            exchange: "faxes",
            key: format!("fax.status.{account}.202611-f"),
            body: event("fax", "status", &status),
            shown: vec![("fax.status.*", format!("fax.status.{account}.*"), "status")],
        },
        Case {
            exchange: "configuration",
            key: format!("doc_created.{db}-202611.fax.202611-f"),
            body: event("configuration", "doc_created", &fax),
            shown: vec![
                ("fax.object.*", format!("*.{db}-202611.fax.*"), "doc_created"),
                ("object.doc_created.fax", format!("doc_created.{db}-202611.fax.*"), "doc_created"),
                ("doc_created.*.fax.*", format!("doc_created.{db}-202611.fax.*"), "doc_created"),
            ],
        },
    ]
}

/// Presence events name a realm and no account.
fn presence_cases() -> Vec<Case> {
    let dialog = json!({"Call-ID": "d@1", "Presence-ID": "10@pbx.example", "State": "early"});
    let mwi = json!({"Call-ID": "0123", "Presence-ID": "10@pbx.example", "To": "sip:10@pbx.example"});
    vec![
        Case {
            exchange: "presence",
            key: "dialog.pbx%2Eexample.d%401".into(),
            body: event("presence", "dialog_update", &dialog),
            shown: vec![("presence.dialog.*", "dialog.pbx%2Eexample.*".into(), "dialog_update")],
        },
        Case {
            exchange: "presence",
            key: "mwi_updates.pbx%2Eexample.10".into(),
            body: event("presence", "mwi_update", &mwi),
            shown: vec![("mwi_updates.10", "mwi_updates.pbx%2Eexample.10".into(), "mwi_update")],
        },
    ]
}

#[tokio::test]
async fn every_binding_gets_the_events_that_kazoo_publishes_for_it_and_no_others() {
    let broker = Broker::shared().await;
    let mut app = TestApp::with(&[&format!("amqp.uri={}", broker.uri())]).await;
    eventually("the broker is consumed from", LONG, || async {
        (app.api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
    let master = &app.api.account;
    let body = json!({"data": {"name": "pbx", "realm": "PBX.example"}});
    let answer = app.api.call("PUT", &format!("/v2/accounts/{master}"), Some(body)).await;
    let account = answer.data()["id"].as_str().unwrap();
    let cases: Vec<Case> = cases(account).into_iter().chain(presence_cases()).collect();
    let (mut owner, mut other, mut all) = (app.connect().await, app.connect().await, app.connect().await);
    for (binding, ..) in cases.iter().flat_map(|case| &case.shown) {
        owner.subscribe(account, binding, Value::Null).await;
        other.subscribe(master, binding, Value::Null).await;
        all.subscribe("*", binding, Value::Null).await;
    }
    let publisher = Publisher::connect(&broker.uri()).await;
    for Case { exchange, key, body, shown } in &cases {
        publisher.publish(exchange, key, body.to_string().as_bytes()).await;
        for (binding, subscription, name) in shown {
            let frame = owner.event().await;
            assert_eq!(frame["subscribed_key"], *binding, "{frame}");
            assert_eq!((&frame["subscription_key"], &frame["name"]), (&json!(subscription), &json!(name)));
            assert_eq!(frame["data"]["event_name"], *name, "{frame}");
            assert_eq!(frame["data"].get("node"), None, "{frame}");
            assert_eq!(all.event().await["subscribed_key"], *binding);
        }
    }
    owner.has_no_more().await;
    all.has_no_more().await;
    other.has_no_more().await;
    app.stop().await;
}
