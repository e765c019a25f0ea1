//! URIs that no request can use are refused when they are written, with the reason.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};

/// The response to creating a hook with this URI.
async fn written(api: &Api, verb: &str, uri: &str) -> (u16, Value) {
    let document = json!({"name": "n", "hook": "channel_create", "http_verb": verb, "uri": uri});
    let answer = api.own("PUT", "/webhooks", Some(json!({"data": document}))).await;
    (answer.status, answer.body["data"]["uri"]["error"].clone())
}

#[tokio::test]
async fn an_unusable_uri_is_refused_when_it_is_written() {
    let app = TestApp::with(&["limits.max_document_bytes=1048576"]).await;
    let long = format!("http://receiver.example/?{}", "a".repeat(65_600));
    let label = format!("http://{}.example/", "a".repeat(64));
    for (uri, cause) in [
        ("http://{{host}}/hook", "host name"),
        ("http://a\"b.example/", "host name"),
        ("http://a`b.example/", "host name"),
        (&label, "host name"),
        ("http://receiver.example:0/", "port 0"),
        (&long, "longer than"),
    ] {
        for verb in ["get", "post"] {
            let (status, error) = written(&app.api, verb, uri).await;
            assert_eq!((status, &error["message"]), (400, &json!("invalid client URL")), "{uri:.80}");
            let said = error["cause"].as_str().unwrap_or_default();
            assert!(said.contains(cause), "{uri:.80} {said}");
        }
    }
    let hooks = app.api.own("GET", "/webhooks", None).await;
    assert_eq!(hooks.data(), &json!([]));
}
