//! Lists of bindings, in both forms. Lists of sessions need clients (`tests/it/websocket_listing.rs`).

use serde_json::json;

use super::*;
use crate::http::Profile;

#[tokio::test]
async fn the_bindings_are_listed_without_a_token_in_the_form_of_the_profile() {
    let classic = TestApi::start().await.raw("GET", "/v2/websockets", "", &[]).await;
    assert_eq!((classic.status, &classic.body["status"]), (200, &json!("success")));
    let data = &classic.body["data"];
    assert_eq!(data["call"][0], json!({"binding": "call.CHANNEL_CREATE.*", "event": "CHANNEL_CREATE"}));
    let events: Vec<_> = data["call"].as_array().unwrap().iter().map(|row| row["event"].clone()).collect();
    let first = ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_DESTROY", "CHANNEL_BRIDGE", "CHANNEL_HOLD"];
    assert_eq!((&events[..5], events.len()), (&first.map(serde_json::Value::from)[..], 9));
    assert_eq!(data["fax"], json!([{"binding": "fax.status.*", "event": "fax"}]));
    let object = json!({"binding": "object.doc_created.account", "event": "doc_created.account"});
    assert_eq!(data["object"][0], object);
    assert_eq!(data["notification"].as_array().unwrap().len(), 39);
    assert_eq!(data.as_object().unwrap().len(), 7);

    let options = ApiOptions { profile: Profile::Current, ..ApiOptions::default() };
    let current = TestApi::start_with(options).await.raw("GET", "/v2/websockets", "", &[]).await;
    let data = &current.body["data"];
    assert_eq!(data["call"][3], "call.CHANNEL_HOLD.{CALL_ID}");
    assert_eq!(data["object"][0], "object.doc_created.account");
    assert_eq!(data["presence"][1], "presence.mwi_updates.{USER}");
    assert_eq!(data["conference"].as_array().unwrap().len() + data["fax"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn every_listed_binding_can_be_subscribed_to() {
    for profile in [Profile::Classic, Profile::Current] {
        let options = ApiOptions { profile, ..ApiOptions::default() };
        let listed = TestApi::start_with(options).await.raw("GET", "/v2/websockets", "", &[]).await;
        for row in listed.body["data"].as_object().unwrap().values().flat_map(|rows| rows.as_array().unwrap())
        {
            let binding = row.as_str().or(row["binding"].as_str()).unwrap();
            let named = binding.replace("{CONFERENCE_ID}", "conf").replace("{ACTION}", "doc_created");
            let named = named.split('.').map(|part| if part.starts_with('{') { "*" } else { part });
            let named = named.collect::<Vec<_>>().join(".");
            assert!(crate::kazoo::Pattern::parse(&named).is_ok(), "{named}");
        }
    }
}

#[tokio::test]
async fn an_unknown_session_gives_an_empty_response_and_cannot_be_closed() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/websockets", test.master);
    assert_eq!(test.get(&path).await.body["data"], json!([]));
    assert_eq!(test.get(&format!("{path}/192.0.2.1:7")).await.body["data"], json!([]));
    assert_eq!(test.call("DELETE", &format!("{path}/192.0.2.1:7"), Value::Null).await.status, 404);
    assert_eq!(test.raw("GET", &path, "", &[]).await.status, 401);
    assert_eq!(test.call("PUT", &path, json!({})).await.status, 405);
}
