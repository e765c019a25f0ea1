//! Definitions and samples, which need no token (`docs/kazoo/webhooks.md#definitions-and-samples`).

use super::*;

#[tokio::test]
async fn samples_need_no_token_and_every_offered_hook_has_some() {
    let test = TestApi::start().await;
    let answer = test.raw("GET", "/v2/webhooks/samples", "", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.get("page_size").is_none() && answer.body.get("version").is_none());
    let ids: Vec<_> = answer.body["data"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    for row in test.raw("GET", "/v2/webhooks", "", &[]).await.body["data"].as_array().unwrap() {
        let id = format!("webhooks_{}", row["id"].as_str().unwrap());
        assert!(ids.contains(&id.as_str()), "{id}");
        let sample = test.raw("GET", &format!("/v2/webhooks/samples/{id}"), "", &[]).await;
        let rows = sample.body["data"].as_array().unwrap();
        assert!(!rows.is_empty() && sample.body["page_size"] == rows.len(), "{id}");
        assert!(sample.body.get("start_key").is_none() && sample.body.get("revision").is_none());
    }
}

#[tokio::test]
async fn samples_are_filtered() {
    let test = TestApi::start().await;
    for (path, field, expected) in [
        ("webhooks_notifications?filter_event_name=missed_call", "event_name", json!(["missed_call"])),
        ("webhooks_object?filter_action=doc_created", "action", json!(["doc_created"])),
        (
            "webhooks_parking?filter_not_event_name=PARK_PARKED",
            "event_name",
            json!(["PARK_RETRIEVED", "PARK_ABANDONED"]),
        ),
        ("webhooks_sms?has_key=absent", "id", json!([])),
    ] {
        let answer = test.raw("GET", &format!("/v2/webhooks/samples/{path}"), "", &[]).await;
        let rows = answer.body["data"].as_array().unwrap();
        let found: Vec<_> = rows.iter().map(|row| row[field].clone()).collect();
        assert_eq!(Value::from(found), expected, "{path}");
        assert_eq!(answer.body["page_size"], rows.len(), "{path}");
    }
}

#[tokio::test]
async fn below_an_account_samples_are_the_same_and_need_its_token() {
    let test = TestApi::start().await;
    let (account, token) = test.account("a").await;
    for path in ["samples", "samples/webhooks_object"] {
        let global = test.raw("GET", &format!("/v2/webhooks/{path}"), "", &[]).await;
        for below in
            [format!("/v2/accounts/{account}/webhooks/{path}"), format!("/v2/account/webhooks/{path}")]
        {
            assert_eq!(test.raw("GET", &below, "", &[]).await.status, 401);
            let answer = test.call_as(&token, "GET", &below, Value::Null).await;
            assert_eq!((answer.status, &answer.body["data"]), (200, &global.body["data"]), "{below}");
        }
    }
    let foreign = format!("/v2/accounts/{}/webhooks/samples", test.master);
    assert_eq!(test.call_as(&token, "GET", &foreign, Value::Null).await.status, 403);
}

#[tokio::test]
async fn an_unknown_sample_is_named_and_samples_cannot_be_written() {
    let test = TestApi::start().await;
    for id in ["webhooks_foo", "object", "webhook_object", "webhooks_"] {
        let answer = test.raw("GET", &format!("/v2/webhooks/samples/{id}"), "", &[]).await;
        assert_eq!(answer.refusal(), (404, "bad identifier", &json!([id])));
    }
    assert_eq!(test.raw("PUT", "/v2/webhooks/samples", "", &[]).await.status, 405);
    assert_eq!(
        test.raw("GET", "/v2/webhooks/samples/webhooks_object/more", "", &[]).await.refusal().1,
        "not_found"
    );
}
