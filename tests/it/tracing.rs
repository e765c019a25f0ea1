//! W3C trace context from the publisher of an event to its receiver, and spans for a collector.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString};
use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::look::{LONG, body, events_of, settled};
use crate::support::publisher::Publisher;
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn publish_traced(app: &TestApp, events: &[Value], parent: &str) {
    let headers = [("traceparent", parent), ("tracestate", "vendor=7")];
    let path = format!("/v2/accounts/{}/events", app.api.account);
    let answer = app.api.call_with("PUT", &path, Some(json!({"data": events})), &headers).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// The span id of a request, which must belong to the trace.
fn span(request: &Request) -> String {
    let parent = request.header("traceparent").unwrap();
    let parts: Vec<_> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"), "{parent}");
    assert_ne!(parts[2], "b7ad6b7169203331", "a span of its own");
    parts[2].to_owned()
}

#[tokio::test]
async fn each_attempt_carries_the_event_s_trace_with_a_span_of_its_own_also_after_a_restart() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    receiver.mood(Mood::by(|request| if request.number == 1 { Mood::status(500) } else { Mood::Ok }));
    publish_traced(&app, &events_of("traced", 0..1), PARENT).await;
    settled(&app.api, &hook).await;
    let attempts = receiver.requests();
    assert_eq!(attempts.len(), 2);
    assert_ne!(span(&attempts[0]), span(&attempts[1]));
    assert_eq!(attempts[0].header("tracestate"), Some("vendor=7"));

    // Restart, so that the event is read from the log.
    app.restart(None).await;
    let replay = json!({"data": {"from_offset": 0}});
    let again = app.api.own("POST", &format!("/webhooks/{hook}/replay"), Some(replay)).await;
    assert_eq!(again.status, 201, "{again:?}");
    span(&receiver.wait_for(3, LONG).await[2]);

    for untraced in ["nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
        receiver.forget();
        publish_traced(&app, &events_of("untraced", 0..1), untraced).await;
        let got = receiver.wait_for(1, LONG).await;
        assert_eq!((got[0].header("traceparent"), got[0].header("tracestate")), (None, None), "{untraced}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_brokers_message_has_its_trace_in_its_headers() {
    let (receiver, broker) = (Receiver::start().await, Broker::shared().await);
    let uri = format!("amqp.uri={}", broker.uri());
    let mut app = TestApp::with(&[uri.as_str()]).await;
    eventually("the program is ready", LONG, async || {
        (app.api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
    app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let mut event = call_event("CHANNEL_CREATE", "call", 1);
    event["Custom-Channel-Vars"] = json!({"Account-ID": app.api.account});
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString(LongString::from(PARENT)));
    headers.insert("tracestate".into(), AMQPValue::LongString(LongString::from("vendor=7")));
    let properties =
        BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
    let publisher = Publisher::connect(&broker.uri()).await;
    let bytes = event.to_string().into_bytes();
    publisher.publish_with("callevt", "call.CHANNEL_CREATE.call", &bytes, properties).await;
    let got = receiver.wait_for(1, LONG).await;
    span(&got[0]);
    assert_eq!(got[0].header("tracestate"), Some("vendor=7"));
    publisher.close().await;
    app.stop().await;
}

#[tokio::test]
async fn attempts_of_a_recorded_trace_reach_the_collector_as_spans_and_a_dead_one_delays_nothing() {
    let (receiver, collector) = (Receiver::start().await, Receiver::start().await);
    let endpoint = format!("telemetry.otlp_endpoint={}", collector.uri("/"));
    let mut app = TestApp::with(&[endpoint.as_str()]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    publish_traced(&app, &events_of("recorded", 0..1), PARENT).await;
    publish_traced(&app, &events_of("not recorded", 1..2), &PARENT.replace("-01", "-00")).await;
    settled(&app.api, &hook).await;
    let recorded = receiver.requests().into_iter().find(|r| body(r)["call_id"] == "recorded").unwrap();
    let exported = collector.wait_for(1, LONG).await;
    assert_eq!((exported[0].path.as_str(), exported[0].method.as_str()), ("/v1/traces", "POST"));
    let resource = &body(&exported[0])["resourceSpans"][0];
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!((&spans[0]["traceId"], &spans[0]["spanId"]), (&json!(TRACE), &json!(span(&recorded))));
    assert_eq!(spans[0]["parentSpanId"], "b7ad6b7169203331");
    let delivery =
        json!({"key": "switchhook.delivery_id", "value": {"stringValue": recorded.header("webhook-id")}});
    assert!(spans[0]["attributes"].as_array().unwrap().contains(&delivery), "{spans:?}");

    collector.mood(Mood::Hang);
    receiver.forget();
    publish_traced(&app, &events_of("recorded", 2..40), PARENT).await;
    assert_eq!(receiver.wait_for(38, LONG).await.len(), 38);
    collector.mood(Mood::Ok);
    app.stop().await;
}
