//! `PUT …/events`.

use super::*;
use crate::http::SubmitError;

fn event(account: Option<&str>) -> Value {
    let mut event =
        json!({"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "Call-ID": "c", "n": 1.50});
    if let Some(account) = account {
        event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    }
    event
}

#[tokio::test]
async fn one_or_many_events_are_stored_with_their_bytes_as_received() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/events", test.master);
    let bytes = r#"{"Event-Category":"call_event",  "Event-Name":"CHANNEL_CREATE","x":1.50}"#;
    let headers = [("x-auth-token", test.token.as_str())];
    let one = test.raw("PUT", &path, &format!("{{\"data\": {bytes}}}"), &headers).await;
    assert_eq!((one.status, &one.body["data"]["offsets"]), (201, &json!([0])));
    assert_eq!(one.body["data"]["event_ids"], json!(["000000010000000000000000"]));
    let taken = test.recorded.events.lock().unwrap().clone();
    assert_eq!(taken[0].body, bytes);
    assert_eq!(taken[0].account.to_string(), test.master);
    let many = test.call("PUT", &path, json!([event(None), event(Some(&test.master))])).await;
    assert_eq!(many.body["data"]["offsets"], json!([1, 2]));
}

#[tokio::test]
async fn one_event_of_another_account_refuses_all_and_is_named() {
    let test = TestApi::start().await;
    let (a, token) = test.account("a").await;
    let path = format!("/v2/accounts/{a}/events");
    let events = json!([event(Some(&a)), event(Some(&test.master))]);
    let refused = test.call_as(&token, "PUT", &path, events).await;
    let (status, _, details) = refused.refusal();
    assert_eq!((status, &details["index"], &details["cause"]), (403, &json!(1), &json!(test.master)));
    assert!(test.recorded.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_an_event_is_refused_and_named() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/events", test.master);
    let refused = test.call("PUT", &path, json!([event(None), {"Event-Category": "x"}, 7])).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body["data"]["data.1"]["invalid"]["message"].is_string(), "{refused:?}");
    for empty in [json!([]), json!({})] {
        assert_eq!(test.call("PUT", &path, empty).await.status, 400);
    }
}

#[tokio::test]
async fn a_store_that_is_full_is_reported() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/events", test.master);
    let too_large = SubmitError::TooLarge { index: 0, bytes: 9, max: 8 };
    let unavailable = SubmitError::Unavailable("poisoned".into());
    for (error, status) in
        [(SubmitError::Full, 507), (SubmitError::Busy, 429), (too_large, 413), (unavailable, 503)]
    {
        *test.recorded.refuse.lock().unwrap() = Some(error);
        let refused = test.call("PUT", &path, event(None)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert_eq!(refused.body["error"], status.to_string());
    }
}

#[tokio::test]
async fn the_envelopes_other_members_count_however_the_envelope_is_spelled() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/events", test.master);
    let (event, token) = (event(None), json!(test.token));
    for body in [
        format!(r#"{{"auth_token":{token},"data":{event}}}"#),
        format!(r#"{{"data":[{event}], "Auth_Token" : {token}, "x":[{{}}]}}"#),
        format!(r#"{{"AUTH_TOKEN":{token},"DATA":{event}}}"#),
        format!(r#"{{"data":7,"data":{event},"auth_token":{token}}}"#),
    ] {
        let answer = test.raw("PUT", &path, &body, &[]).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
    }
    assert_eq!(test.recorded.events.lock().unwrap().len(), 4);
    let headers = [("x-auth-token", test.token.as_str())];
    for body in ["{\"data\":", "{\"data\":7}", "[]", "{\"data\":{}} x", "{\"x\":1}", "{\"data\":{\"a\":}}"] {
        let answer = test.raw("PUT", &path, body, &headers).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
}
