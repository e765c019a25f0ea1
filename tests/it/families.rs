//! Events of every family, submitted over HTTP, as their hooks get them: payload, verb, format and signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, body};
use crate::support::receiver::{Receiver, Request};

fn object(action: &str, kind: &str, account: &str) -> Value {
    let database = format!("account/{}/{}/{}", &account[..2], &account[2..4], &account[4..]);
    json!({"Event-Category": "configuration", "Event-Name": action, "Msg-ID": format!("{action}-{kind}"),
        "Database": database, "ID": "doc-1", "Type": kind, "Rev": "1-a", "App-Name": "crossbar", "App-Version": "1"})
}

fn notification(name: &str, account: &str) -> Value {
    json!({"Event-Category": "notification", "Event-Name": name, "Msg-ID": name, "Account-ID": account,
        "Fax-ID": "fax-1", "Fax-Info": {"Fax-Success": true}, "App-Name": "fax", "App-Version": "1"})
}

/// Waits for the total of these requests and checks the number at each path.
async fn counts(receiver: &Receiver, expected: &[(&str, usize)]) -> Vec<Request> {
    let got = receiver.wait_for(expected.iter().map(|(_, n)| n).sum(), LONG).await;
    for (path, count) in expected {
        assert_eq!(receiver.requests_at(path).len(), *count, "{path}");
    }
    got
}

#[tokio::test]
async fn each_family_reaches_its_hooks_and_an_all_hook_gets_each_event_once() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    for (path, fields) in [
        ("/all", json!({"hook": "all"})),
        ("/parking", json!({"hook": "parking"})),
        ("/object", json!({"hook": "object", "custom_data": {"type": "device", "action": "doc_edited"}})),
        ("/low", json!({"hook": "notifications", "custom_data": {"type": "low_balance"}})),
        ("/notifications", json!({"hook": "notifications", "custom_data": {"type": "all"}})),
        ("/sms", json!({"hook": "sms"})),
        ("/mms", json!({"hook": "mms"})),
        ("/sent", json!({"hook": "outbound_fax"})),
        ("/fax", json!({"hook": "inbound_fax"})),
    ] {
        let mut document = json!({"uri": receiver.uri(path), "format": "json"});
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        app.api.hook(document).await;
    }
    let sms = json!({"Event-Category": "sms", "Event-Name": "inbound", "Message-ID": "m1", "Account-ID": account,
        "From": "+1", "To": "+2", "Body": "hi", "Route-Type": "offnet"});
    let mut mms = sms.clone();
    (mms["Event-Category"], mms["Message-ID"]) = (json!("mms"), json!("m2"));
    app.api
        .publish(&[
            call_event("PARK_PARKED", "p", 1),
            object("doc_edited", "device", &account),
            object("doc_created", "device", &account),
            object("doc_edited", "user", &account),
            notification("low_balance", &account),
            notification("inbound_fax", &account),
            notification("outbound_fax", &account),
            sms,
            mms,
        ])
        .await;
    let expected = [
        ("/all", 9),
        ("/parking", 1),
        ("/object", 1),
        ("/low", 1),
        ("/notifications", 3),
        ("/sms", 1),
        ("/mms", 1),
        ("/sent", 1),
        ("/fax", 1),
    ];
    counts(&receiver, &expected).await;
    let of = |path: &str| body(&receiver.requests_at(path)[0]);
    assert_eq!(of("/object")["action"], "doc_edited");
    assert_eq!((&of("/object")["id"], &of("/object")["type"]), (&json!("doc-1"), &json!("device")));
    assert_eq!((&of("/sms")["id"], &of("/sms")["body"]), (&json!("m1"), &json!("hi")));
    assert_eq!((&of("/mms")["id"], &of("/mms")["type"]), (&json!("m2"), &json!("mms")));
    assert_eq!(of("/fax")["fax_success"], true, "in its classic form");
    assert_eq!((&of("/sent")["fax_success"], &of("/sent")["fax_id"]), (&json!(true), &json!("fax-1")));
    assert_eq!(of("/low")["event_name"], "low_balance");
    app.stop().await;
}

#[tokio::test]
async fn a_callflows_event_is_sent_once_to_the_uri_in_the_event() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    app.api.hook(json!({"uri": receiver.uri("/all"), "hook": "all", "format": "json"})).await;
    let hook = json!({"_id": "63927219201", "uri": receiver.uri("/once"), "http_verb": "post", "retries": 2,
        "pvt_account_id": account});
    let event = json!({"Event-Category": "notification", "Event-Name": "webhook", "Msg-ID": "w", "Hook": hook,
        "Data": {"account_id": account, "call_id": "c", "answer": 42}});
    app.api.publish(&[event, call_event("CHANNEL_CREATE", "c", 1)]).await;
    counts(&receiver, &[("/once", 1), ("/all", 1)]).await;
    let once = receiver.requests_at("/once").remove(0);
    assert!(once.text().contains("answer=42") && once.text().contains("call_id=c"), "{}", once.text());
    app.stop().await;
}

#[tokio::test]
async fn a_hook_with_subaccounts_gets_the_events_of_a_child() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let master = app.api.account.clone();
    let child = app.api.account_below(&master, "child").await;
    let grandchild = app.api.account_below(&child, "grandchild").await;
    let below = json!({"uri": receiver.uri("/below"), "format": "json", "include_subaccounts": true});
    app.api.hook(below).await;
    app.api.hook(json!({"uri": receiver.uri("/own"), "format": "json"})).await;
    for account in [&child, &grandchild, &master] {
        let path = format!("/v2/accounts/{account}/events");
        let body = json!({"data": call_event("CHANNEL_CREATE", account, 1)});
        assert_eq!(app.api.call("PUT", &path, Some(body)).await.status, 201);
    }
    counts(&receiver, &[("/below", 3), ("/own", 1)]).await;
    let mut accounts: Vec<_> =
        receiver.requests_at("/below").iter().map(|r| body(r)["account_id"].clone()).collect();
    accounts.sort_by_key(ToString::to_string);
    let mut expected = vec![json!(child), json!(grandchild), json!(master)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(accounts, expected);
    app.stop().await;
}

#[tokio::test]
async fn verb_and_format_are_the_hooks_and_custom_data_is_part_of_the_payload() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    for (path, verb, format) in [
        ("/get", "get", "form-data"),
        ("/form", "post", "form-data"),
        ("/put", "put", "json"),
        ("/json", "post", "json"),
    ] {
        let uri = receiver.uri(&format!("{path}?own=1"));
        let custom = json!({"tenant": "blue & green"});
        app.api.hook(json!({"uri": uri, "http_verb": verb, "format": format, "custom_data": custom})).await;
    }
    app.api.publish(&[call_event("CHANNEL_CREATE", "c 1", 7)]).await;
    counts(&receiver, &[("/get", 1), ("/form", 1), ("/put", 1), ("/json", 1)]).await;
    let of = |path: &str| receiver.requests_at(path).remove(0);
    let get = of("/get");
    assert_eq!((get.method.as_str(), get.body.len()), ("GET", 0));
    assert!(get.query.starts_with("own=1&"), "{}", get.query);
    let form = of("/form");
    assert_eq!(form.header("content-type"), Some("application/x-www-form-urlencoded"));
    for text in [&get.query, form.text()] {
        assert!(text.contains("call_id=c+1") && text.contains("tenant=blue+%26+green"), "{text}");
    }
    for (path, method) in [("/put", "PUT"), ("/json", "POST")] {
        let request = of(path);
        assert_eq!(
            (request.method.as_str(), request.header("content-type")),
            (method, Some("application/json"))
        );
        assert_eq!(
            (&body(&request)["tenant"], &body(&request)["call_id"]),
            (&json!("blue & green"), &json!("c 1"))
        );
        assert_eq!(request.query, "own=1");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hook_with_a_secret_signs_its_requests() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let key = b"0123456789abcdef0123456789abcdef";
    let secret = format!("whsec_{}", STANDARD.encode(key));
    app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "secret": secret})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let request = receiver.wait_for(1, LONG).await.remove(0);
    let (id, time) = (request.header("webhook-id").unwrap(), request.header("webhook-timestamp").unwrap());
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &request.body].concat();
    let signature = request.header("webhook-signature").unwrap().strip_prefix("v1,").unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
    app.stop().await;
}
