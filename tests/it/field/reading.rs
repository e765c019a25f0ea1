//! Every accepted event can be read by all later steps: hooks of both formats, websockets and searches.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::broker::Broker;
use crate::support::look::{body, settled};
use crate::support::publisher::Publisher;
use crate::support::raw::send_as;
use crate::support::receiver::Receiver;

const SOON: Duration = Duration::from_secs(30);

/// A call event with these last members, as a PBX would write it.
fn event(app: &TestApp, call: &str, members: &[u8]) -> Vec<u8> {
    let account = &app.api.account;
    let head = format!(
        r#"{{"Event-Category":"call_event","Event-Name":"CHANNEL_DESTROY","Call-ID":"{call}","Custom-Channel-Vars":{{"Account-ID":"{account}"}},"#
    );
    [head.as_bytes(), members, b"}"].concat()
}

/// Submits an event over HTTP with its exact bytes.
async fn put(app: &TestApp, event: &[u8]) -> (u16, Value) {
    let path = format!("/v2/accounts/{}/events", app.api.account);
    let text = format!(r#"{{"data":{}}}"#, std::str::from_utf8(event).unwrap());
    let answer = send_as(&app.api, "PUT", &path, &[("content-type", "application/json")], &text).await;
    (answer.status, answer.body())
}

/// Members of an event, and the repairs in them.
fn inputs() -> Vec<(String, Value)> {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    vec![
        (r#""Caller-ID-Name":"\ud83d""#.to_owned(), json!(["lone_surrogate"])),
        (r#""Nobodys-Field":"\udc00""#.to_owned(), json!(["lone_surrogate"])),
        (r#""Caller-ID-Name":1e999"#.to_owned(), Value::Null),
        (r#""Timestamp":18446744073709551616"#.to_owned(), Value::Null),
        (r#""Nobodys-Field":[1e999,-1E-999]"#.to_owned(), Value::Null),
        (format!(r#""Custom-Application-Vars":{{"a":{}}}"#, deep(200)), json!(["nesting"])),
        (format!(r#""Nobodys-Field":{}"#, deep(20_000)), json!(["nesting"])),
        (
            r#""Custom-Application-Vars":{"$serde_json::private::Number":"x"}"#.to_owned(),
            json!(["reserved_name"]),
        ),
        (
            r#""Custom-Application-Vars":{"$serde_json::private::RawValue":"{"}"#.to_owned(),
            json!(["reserved_name"]),
        ),
    ]
}

#[tokio::test]
async fn accepted_events_reach_hooks_websockets_and_searches_alike() {
    let app = TestApp::start().await;
    let (json_format, form_format) = (Receiver::start().await, Receiver::start().await);
    let hooks = [
        app.api.hook(json!({"uri": json_format.uri("/"), "hook": "channel_destroy", "format": "json"})).await,
        app.api.hook(json!({"uri": form_format.uri("/"), "hook": "channel_destroy"})).await,
    ];
    let mut socket = app.connect().await;
    socket.subscribe(&app.api.account, "call.CHANNEL_DESTROY.*", json!({})).await;
    let inputs = inputs();
    for (at, (members, mended)) in inputs.iter().enumerate() {
        let (status, answer) = put(&app, &event(&app, &format!("c{at}"), members.as_bytes())).await;
        assert_eq!(status, 201, "{members}: {answer}");
        let id = answer["data"]["event_ids"][0].as_str().unwrap();
        let shown = app.api.own("GET", &format!("/events/{id}"), None).await;
        assert_eq!((shown.status, &shown.data()["mended"]), (200, mended), "{shown:?}");
        assert_eq!(shown.data()["body"]["Call-ID"], format!("c{at}"), "{shown:?}");
    }
    let frames = socket.events(inputs.len()).await;
    for receiver in [&json_format, &form_format] {
        receiver.wait_for(inputs.len(), SOON).await;
    }
    for hook in &hooks {
        assert_eq!(settled(&app.api, hook).await["dead"], 0);
    }

    let of = |call: &str| {
        let frame = frames.iter().find(|frame| frame["data"]["call_id"] == call).unwrap()["data"].clone();
        let requests = json_format.requests();
        let sent = requests.iter().map(body).find(|sent| sent["call_id"] == call).unwrap();
        let forms = form_format.requests();
        let form = forms.iter().find(|form| form.text().contains(&format!("call_id={call}&"))).unwrap();
        (frame, sent, form.text().to_owned())
    };
    let (frame, sent, form) = of("c0");
    assert_eq!((&frame["caller_id_name"], &sent["caller_id_name"]), (&json!("\u{fffd}"), &json!("\u{fffd}")));
    assert!(form.contains("caller_id_name=%EF%BF%BD&"), "{form}");
    let (frame, sent, form) = of("c2");
    assert_eq!(
        (frame["caller_id_name"].to_string(), &sent["caller_id_name"]),
        ("1e+999".into(), &json!("1e+999"))
    );
    assert!(form.contains("caller_id_name=1e%2B999&"), "{form}");
    let (frame, sent, form) = of("c3");
    let digits = "18446744073709551616";
    assert_eq!(
        (frame["timestamp"].to_string(), sent["timestamp"].to_string()),
        (digits.into(), digits.into())
    );
    assert!(form.contains(&format!("timestamp={digits}&")), "{form}");
    assert_eq!(of("c4").0["nobodys_field"].to_string(), "[1e+999,-1e-999]");
}

#[tokio::test]
async fn bodies_from_the_broker_that_are_almost_json_are_repaired_and_delivered() {
    let broker = Broker::shared().await;
    let app = TestApp::with(&[&format!("amqp.uri={}", broker.uri())]).await;
    let receiver = Receiver::start().await;
    app.api.hook(json!({"uri": receiver.uri("/"), "hook": "channel_destroy", "format": "json"})).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    while app.api.call("GET", "/health/ready", None).await.status != 200 {
        tokio::task::yield_now().await;
    }
    let inputs: [(&[u8], &str); 4] = [
        (b"\"Caller-ID-Name\":\"Zo\xeb\"", "Zo\u{fffd}"),
        (b"\"Caller-ID-Name\":\"a\x07\tb\nc\"", "a\u{7}\tb\nc"),
        (b"\"Caller-ID-Name\":\"\xf0\x9f\x98\"", "\u{fffd}"),
        (br#""Caller-ID-Name":"\x41""#, "\\x41"),
    ];
    for (at, (members, _)) in inputs.iter().enumerate() {
        publisher
            .publish("callevt", "call.CHANNEL_DESTROY.c", &event(&app, &format!("c{at}"), members))
            .await;
    }
    // An event that cannot be repaired is visible only to the account that it names.
    let (ours, cut) = (app.api.account.clone(), event(&app, "cut", b"\"x\":"));
    publisher.publish("callevt", "call.CHANNEL_DESTROY.c", &cut[..cut.len() - 1]).await;
    for request in receiver.wait_for(inputs.len(), SOON).await {
        let sent = body(&request);
        let at: usize = sent["call_id"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(sent["caller_id_name"], inputs[at].1);
    }
    let quarantine = async |account: &str| {
        let answer = app.api.call("GET", &format!("/v2/accounts/{account}/quarantine"), None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data().as_array().unwrap().clone()
    };
    let mut rows = quarantine(&ours).await;
    while rows.is_empty() {
        rows = quarantine(&ours).await;
    }
    assert!(rows[0]["reason"].as_str().unwrap().contains("not JSON"), "{rows:?}");
    let id = rows[0]["id"].as_str().unwrap();
    let one = app.api.own("GET", &format!("/quarantine/{id}"), None).await;
    assert!(one.data()["body"].as_str().unwrap().contains("\"cut\""), "{one:?}");
    let below = app.api.account_below(&ours, "below").await;
    assert_eq!(quarantine(&below).await, Vec::<Value>::new());
    let one = app.api.call("GET", &format!("/v2/accounts/{below}/quarantine/{id}"), None).await;
    assert_eq!(one.status, 404, "{one:?}");
    let all = app.api.call("GET", "/v2/quarantine", None).await;
    assert_eq!(all.data()[0]["id"], id, "{all:?}");

    // It is released once it can be read, here with the body that the account corrects.
    let release = async |account: &str, data: Value| {
        let path = format!("/v2/accounts/{account}/quarantine/{id}");
        app.api.call("POST", &path, Some(json!({"data": data}))).await
    };
    let still_cut = release(&ours, json!({})).await;
    assert_eq!(still_cut.status, 400, "{still_cut:?}");
    let whole = event(&app, "whole", b"\"Caller-ID-Name\":\"w\"");
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(release(&below, whole.clone()).await.status, 404);
    let first = release(&ours, whole.clone()).await;
    let again = release(&ours, whole).await;
    assert_eq!((first.status, again.status), (201, 201), "{first:?} {again:?}");
    assert_eq!(first.data(), again.data(), "it is released once");
    let requests = receiver.wait_for(inputs.len() + 1, SOON).await;
    assert_eq!(body(requests.last().unwrap())["call_id"], "whole");
}

#[tokio::test]
async fn http_bodies_that_are_almost_json_are_repaired_event_by_event() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    app.api.hook(json!({"uri": receiver.uri("/"), "hook": "channel_destroy", "format": "json"})).await;
    let events = [
        event(&app, "c0", b"\"Caller-ID-Name\":\"Zo\xeb\""),
        event(&app, "c1", b"\"Caller-ID-Name\":\"a\x07\tb\nc\""),
        event(&app, "c2", b"\"Caller-ID-Name\":\"plain\""),
    ];
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = async |data: Vec<u8>| {
        let url = format!("{}/v2/accounts/{}/events", app.api.base(), app.api.account);
        let whole = [&b"{\"data\":"[..], &data, b"}"].concat();
        let request = client.put(url).header("x-auth-token", app.api.token());
        let answer = request.header("content-type", "application/json").body(whole).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let (status, answer) = put([&b"["[..], &events.join(&b","[..]), b"]"].concat()).await;
    assert_eq!(status, 201, "{answer}");
    let mended = [json!(["invalid_utf8"]), json!(["control_character"]), Value::Null];
    for (id, mended) in answer["data"]["event_ids"].as_array().unwrap().iter().zip(mended) {
        let shown = app.api.own("GET", &format!("/events/{}", id.as_str().unwrap()), None).await;
        assert_eq!((shown.status, &shown.data()["mended"]), (200, &mended), "{shown:?}");
    }
    let (status, answer) = put(events[0].clone()).await;
    assert_eq!(status, 201, "one event without an array: {answer}");
    receiver.wait_for(4, SOON).await;
    // Text without structure is refused, and one invalid event refuses the whole request.
    for bad in [&b"{\"a\":\"\xeb\""[..], b"[{\"a\":\"\xeb\"}]", b"\"\xeb\"", b"7"] {
        assert_eq!(put(bad.to_vec()).await.0, 400, "{}", String::from_utf8_lossy(bad));
    }
}
