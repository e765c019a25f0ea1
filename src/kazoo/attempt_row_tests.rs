//! Rows of the attempts API.

use super::*;
use crate::kazoo::hook_from_document;
use crate::model::{Encoding, Failure, Mended, Source, TransportError};
use bytes::Bytes;
use serde_json::json;

fn hook(event: &str) -> Hook {
    let doc = json!({"_id": "e".repeat(32), "pvt_account_id": "f".repeat(32), "uri": "http://r.example/", "hook": event,
        "retries": 3, "_rev": "3-a"});
    hook_from_document(doc.as_object().unwrap()).unwrap()
}

fn row(hook: &Hook, attempt: u16, result: &AttemptResult, delivered: bool) -> Value {
    let (mut headers, mut mended) = (Object::new(), Mended::default());
    headers.insert("webhook-id".to_owned(), "DLV1".into());
    mended.add(Mended::NESTING);
    let event = Event {
        source: Source::Http,
        encoding: Encoding::Plain,
        family: Some(Family::ChannelAnswer),
        account: None,
        internal_leg: false,
        mended,
        quarantine: None,
        category: "call_event",
        name: "CHANNEL_ANSWER",
        subject: "call-1",
        msg_id: "",
        detail: "",
        exchange: "",
        routing_key: "",
        trace: None,
        trace_state: "",
        handed_in: None,
        body: b"{}",
    };
    Value::Object(attempt_row(&AttemptParts {
        hook_id: hook.id,
        hook: Some(hook),
        event: Some(&event),
        event_id: "ev1",
        delivery_id: "dlv1",
        attempt,
        max_tries: hook.max_tries(),
        body: Some(b"{}"),
        headers: Some(&headers),
        result,
        delivered,
        duration_us: 12_999,
        phases: Phases { first_byte_us: Some(9), ..Phases::default() },
        ended_us: 1_000_000,
    }))
}

#[test]
fn a_failed_answer_has_kazoos_fields() {
    let response = Response {
        status: 503,
        headers: vec![("Retry-After".to_owned(), "7".to_owned())],
        body: Bytes::from_static(b"later \xff"),
        ..Response::default()
    };
    let answered = AttemptResult::Answered(response);
    let found = row(&hook("channel_answer"), 1, &answered, false);
    assert_eq!(
        found,
        json!({"hook_id": "e".repeat(32), "hook_event": "CHANNEL_ANSWER", "event_id": "ev1",
        "event_type": "channel_answer", "event_name": "CHANNEL_ANSWER", "subject": "call-1", "mended": ["nesting"],
        "hook_revision": "3-a", "delivery_id": "dlv1", "attempt": 1, "uri": "http://r.example/", "method": "post",
        "req_headers": {"webhook-id": "DLV1"},
        "req_body": "{}", "result": "failure", "duration_ms": 12,
        "timings": {"name_us": null, "connect_us": null, "tls_us": null, "first_byte_us": 9, "total_us": 12_999}, "timestamp": 62_167_219_201_u64,
        "reason": "bad response code", "try": 3, "retries_left": 2, "resp_status_code": "503",
        "resp_headers": {"retry-after": "7"}, "resp_body": "later \u{fffd}"})
    );
    let last = row(&hook("all"), 3, &answered, false);
    assert_eq!(
        (&last["hook_event"], &last["try"], &last["retries_left"]),
        (&json!("all"), &json!(1), &json!("retries exceeded"))
    );
    let beyond = row(&hook("all"), 9, &answered, false);
    assert_eq!(beyond["try"], 1);
}

#[test]
fn a_transport_error_keeps_kazoos_odd_count() {
    let refused = AttemptResult::failed(TransportError::Refused);
    let first = row(&hook("object"), 1, &refused, false);
    assert_eq!((&first["retries"], &first["retries_left"]), (&json!(3), &json!(3)));
    assert_eq!(
        (&first["client_error"], &first["reason"]),
        (&json!("failed_connect: econnrefused"), &json!("kazoo http client error"))
    );
    assert_eq!(row(&hook("object"), 3, &refused, false)["retries_left"], "retries exceeded");
}

#[test]
fn all_fields_of_a_row_are_named() {
    let answered = AttemptResult::Answered(Response { status: 503, ..Response::default() });
    let detailed = Failure { error: TransportError::Tls, detail: Some("why".into()) };
    let results = [answered, AttemptResult::Failed(detailed), AttemptResult::Expired];

    let rows = results.iter().map(|result| row(&hook("all"), 1, result, false));
    let found: Vec<String> =
        rows.flat_map(|row| row.as_object().unwrap().clone()).map(|(key, _)| key).collect();
    for key in &found {
        assert!(ATTEMPT_FIELDS.contains(&key.as_str()), "{key}");
    }
    for field in ATTEMPT_FIELDS {
        assert!(found.iter().any(|key| key == field), "{field}");
    }
}

#[test]
fn a_success_has_no_reason() {
    let ok = AttemptResult::Answered(Response { status: 200, ..Response::default() });
    let found = row(&hook("object"), 1, &ok, true);
    assert_eq!(
        (found.get("reason"), &found["result"], &found["resp_status_code"]),
        (None, &json!("success"), &json!("200"))
    );
}
