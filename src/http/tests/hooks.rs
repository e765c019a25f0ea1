//! Hooks through the API (`docs/kazoo/webhooks.md#hooks-over-the-api`).

use super::*;
use crate::model::EventOffset;
use crate::state::Kind;

async fn disable(test: &TestApi, id: &str) {
    let disable = |doc: &mut serde_json::Map<String, Value>| {
        doc.insert("enabled".into(), false.into());
        doc.insert("pvt_disabled_message".into(), "too many failed attempts".into());
    };
    test.api.state.update(Kind::Hook, id, disable).await.expect("disabled");
}

#[tokio::test]
async fn a_hook_is_created_with_defaults_and_found_again() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let created = test.call("PUT", &path, hook("User sync")).await;
    let id = created.body["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!((created.status, id.len()), (201, 32));
    assert_eq!(created.header("location"), Some(format!("{path}/{id}").as_str()));
    for (field, value) in [("enabled", json!(true)), ("format", json!("form-data")), ("retries", json!(2))] {
        assert_eq!(created.body["data"][field], value);
    }
    let read = test.get(&format!("{path}/{id}")).await;
    assert_eq!(read.body["data"], created.body["data"]);
    assert_eq!(read.body["revision"], created.body["revision"]);
    let listed = test.get(&path).await;
    let row = json!({"id": id, "name": "User sync", "hook": "channel_create",
        "uri": "https://example.com/hook", "enabled": true});
    assert_eq!(listed.body["data"], json!([row]));
}

#[tokio::test]
async fn private_fields_of_a_client_are_ignored_and_a_new_hook_begins_at_the_logs_end() {
    let test = TestApi::start().await;
    let events = format!("/v2/accounts/{}/events", test.master);
    let event = json!({"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "Call-ID": "c"});
    assert_eq!(test.call("PUT", &events, json!([event, event])).await.status, 201);
    let mut data = hook("h");
    data["pvt_start_offset"] = 0.into();
    data["_rev"] = "9-x".into();
    data["id"] = "9d1e7c3a5b804f6e92c4a7d0b3f8e651".into();
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let created = test.call("PUT", &path, data.clone()).await;
    assert_eq!(created.body["data"]["id"], "9d1e7c3a5b804f6e92c4a7d0b3f8e651");
    let compiled = test.api.state.hook("9d1e7c3a5b804f6e92c4a7d0b3f8e651".parse().unwrap()).unwrap();
    assert_eq!(compiled.start_offset, EventOffset(2));
    assert_eq!(test.call("PUT", &path, data).await.refusal().1, "datastore_conflict");
}

#[tokio::test]
async fn every_error_of_a_hook_is_named_with_kazoos_texts() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let data = json!({"uri": "https://localhost:345/webhook", "hook": "channel_create", "retries": 9,
        "http_verb": "patch"});
    let refused = test.call("PUT", &path, data).await;
    let expected = json!({
        "name": {"required": {"message": "Field is required but missing", "value": "name"}},
        "uri": {"error": {"message": "invalid client URL", "cause": "nothing is delivered to loopback, private and other special addresses unless delivery.allow_addresses opens them",
            "value": "https://localhost:345/webhook"}},
        "http_verb": {"enum": {"message": "Value not found in enumerated list of values",
            "target": ["get", "post", "put"], "value": "patch"}},
        "retries": {"maximum": {"message": "Value must be at most 4", "target": 4, "value": 9}},
    });
    assert_eq!(refused.refusal(), (400, "validation error", &expected));
}

#[tokio::test]
async fn another_accounts_hook_counts_as_unknown() {
    let test = TestApi::start().await;
    let (a, token) = test.account("a").await;
    let id = test.hook(&test.master, "masters").await;
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let data = if method == "GET" { Value::Null } else { hook("x") };
        let path = format!("/v2/accounts/{a}/webhooks/{id}");
        let answer = test.call_as(&token, method, &path, data).await;
        let expected = json!({"message": "bad identifier", "cause": id});
        assert_eq!(answer.refusal(), (404, "bad_identifier", &expected), "{method}");
    }
}

#[tokio::test]
async fn a_deleted_hook_is_gone_from_every_listing() {
    let test = TestApi::start().await;
    let id = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let deleted = test.call("DELETE", &format!("{path}/{id}"), Value::Null).await;
    assert_eq!(deleted.body["data"]["_read_only"], json!({"deleted": true}));
    assert_eq!(deleted.body["data"]["name"], "h");
    assert_eq!(test.get(&format!("{path}/{id}")).await.refusal().1, "bad_identifier");
    assert_eq!(test.get(&path).await.body["data"], json!([]));
    assert!(test.api.state.get(Kind::Hook, &id).unwrap().is_some());
    let hard = test.hook(&test.master, "h").await;
    let gone = test.call("DELETE", &format!("{path}/{hard}?should_soft_delete=false"), Value::Null).await;
    assert_eq!(gone.status, 200);
    assert!(test.api.state.get(Kind::Hook, &hard).unwrap().is_none());
}

#[tokio::test]
async fn the_reason_of_a_disabled_hook_is_shown_until_it_is_enabled_and_never_stored_publicly() {
    let test = TestApi::start().await;
    let id = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    disable(&test, &id).await;
    let reason = json!("too many failed attempts");
    assert_eq!(test.get(&path).await.body["data"][0]["disable_reason"], reason);
    let one = format!("{path}/{id}");
    assert_eq!(test.get(&one).await.body["data"]["disable_reason"], reason);
    let patched = test.call("PATCH", &one, json!({"name": "renamed"})).await;
    assert_eq!(patched.body["data"]["disable_reason"], reason);
    let stored = test.api.state.get(Kind::Hook, &id).unwrap().unwrap();
    assert!(!stored.contains_key("disable_reason"));
    let enabled = test.call("PATCH", &one, json!({"enabled": true})).await;
    assert!(enabled.body["data"].get("disable_reason").is_none());
    assert_eq!(test.api.state.hook(id.parse().unwrap()).unwrap().disable_reason, None);
}

#[tokio::test]
async fn a_secret_is_never_shown_and_survives_being_posted_back() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let mut data = hook("h");
    let secret = format!("whsec_{}", "A".repeat(32));
    data["secret"] = secret.clone().into();
    let created = test.call("PUT", &path, data).await;
    assert!(!created.body.to_string().contains(&secret), "{created:?}");
    let id = created.body["data"]["id"].as_str().unwrap().to_owned();
    let shown = test.get(&format!("{path}/{id}")).await.body["data"].clone();
    let posted = test.call("POST", &format!("{path}/{id}"), shown).await;
    assert_eq!(posted.status, 200, "{posted:?}");
    let stored = test.api.state.get(Kind::Hook, &id).unwrap().unwrap();
    assert_eq!(stored["secret"], secret);
}

#[tokio::test]
async fn bulk_reenable_enables_hooks_that_the_program_disabled_and_no_others() {
    let test = TestApi::start().await;
    let (a, _) = test.account("a").await;
    let (mine, below) = (test.hook(&test.master, "mine").await, test.hook(&a, "below").await);
    let by_person = test.hook(&test.master, "by person").await;
    let path = format!("/v2/accounts/{}", test.master);
    test.call("PATCH", &format!("{path}/webhooks/{by_person}"), json!({"enabled": false})).await;
    disable(&test, &mine).await;
    disable(&test, &below).await;
    let enabled = |id: &str| test.api.state.hook(id.parse().expect("an id")).is_some_and(|h| h.enabled);

    let missing = test.call("PATCH", &format!("{path}/webhooks"), json!({})).await;
    assert!(missing.body["data"]["re-enable"]["required"].is_object());
    let wrong = test.call("PATCH", &format!("{path}/webhooks"), json!({"re-enable": 1})).await;
    assert_eq!(wrong.body["data"]["re-enable"]["enum"]["target"], json!([true]));
    let done = test.call("PATCH", &format!("{path}/webhooks"), json!({"re-enable": true})).await;
    assert_eq!((done.status, &done.body["data"]), (200, &json!("hooks updated")));
    assert!(enabled(&mine) && !enabled(&below) && !enabled(&by_person));
    test.call("PATCH", &format!("{path}/descendants/webhooks"), json!({"re-enable": "true"})).await;
    assert!(enabled(&below) && !enabled(&by_person));
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    let test = TestApi::start().await;
    let id = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks/{id}", test.master);
    let patches = (0..4).map(|n| test.call("PATCH", &path, json!({format!("field{n}"): n})));
    for answer in futures_util::future::join_all(patches).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let read = test.get(&path).await;
    assert!((0..4).all(|n| read.body["data"][format!("field{n}")] == n), "{read:?}");
}

#[tokio::test]
async fn a_hooks_queue_is_shown() {
    let test = TestApi::start().await;
    let id = test.hook(&test.master, "h").await;
    let queue = test.get(&format!("/v2/accounts/{}/webhooks/{id}/queue", test.master)).await;
    assert_eq!(queue.body["data"]["state"], "auto_disabled");
    assert_eq!(queue.body["data"]["waiting"], 6);
    assert_eq!(queue.body["data"]["next_try_at"], NOW_S + 62_167_219_200);
}
