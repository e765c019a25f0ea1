//! Searching events, showing one event with its deliveries, and the bound of a search.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp, call_event};
use crate::support::look::{LONG, events_of, number, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

async fn find(api: &Api, query: &str) -> Answer {
    let answer = api.own("GET", &format!("/events?{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// The `Msg-ID`s that a search finds.
async fn found(api: &Api, query: &str) -> Vec<String> {
    let answer = find(api, query).await;
    answer.data().as_array().unwrap().iter().map(|row| row["msg_id"].as_str().unwrap().to_owned()).collect()
}

/// All results, read page by page, and the number of pages.
async fn all(api: &Api, query: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut pages, mut start) = (Vec::new(), 0, String::new());
    loop {
        let answer = find(api, &format!("{query}{start}")).await;
        rows.extend(answer.data().as_array().unwrap().clone());
        pages += 1;
        let Some(next) = answer.body["next_start_key"].as_str() else { return (rows, pages) };
        start = format!("&start_key={next}");
    }
}

#[tokio::test]
async fn events_are_found_by_type_name_subject_message_and_time_newest_first() {
    let mut app = TestApp::start().await;
    let api = &app.api;
    let parked = call_event("PARK_PARKED", "two", 9);
    let mut events = events_of("one", 0..2);
    events.extend([call_event("CHANNEL_DESTROY", "one", 7), parked]);
    api.publish(&events).await;
    let [created0, created1, destroyed, parked] =
        ["one-CHANNEL_CREATE-0", "one-CHANNEL_CREATE-1", "one-CHANNEL_DESTROY-7", "two-PARK_PARKED-9"];
    assert_eq!(found(api, "").await, [parked, destroyed, created1, created0]);
    assert_eq!(found(api, "ascending=true").await, [created0, created1, destroyed, parked]);
    assert_eq!(found(api, "hook_events=channel_create").await, [created1, created0]);
    assert_eq!(found(api, "hook_events=channel_destroy,parking").await, [parked, destroyed]);
    assert_eq!(found(api, "event_names=CHANNEL_DESTROY").await, [destroyed]);
    assert_eq!(found(api, "subjects=two").await, [parked]);
    assert_eq!(found(api, &format!("msg_ids={created1}")).await, [created1]);
    assert_eq!(found(api, "subjects=one&event_names=PARK_PARKED").await, [""; 0]);
    let now = switchhook::model::gregorian_seconds(switchhook::model::Clock::system().now_us());
    assert_eq!(found(api, &format!("created_from={}&created_to={}", now - 600, now + 5)).await.len(), 4);
    assert_eq!(found(api, &format!("created_from={}", now + 100)).await, [""; 0]);
    assert_eq!(found(api, &format!("created_to={}", now - 600)).await, [""; 0]);
    for (query, field) in [
        ("hook_events=nothing", "hook_events"),
        ("created_from=x", "created_from"),
        ("created_from=9&created_to=8", "created_from"),
        ("account_ids=7", "account_ids"),
    ] {
        let refused = api.own("GET", &format!("/events?{query}"), None).await;
        assert_eq!((refused.status, refused.data()[field].is_object()), (400, true), "{query}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_page_examines_a_bounded_number_of_events_and_says_where_to_continue() {
    let mut app = TestApp::with(&["http.max_searched_events=100"]).await;
    app.api.publish(&events_of("rare", 0..1)).await;
    app.api.publish(&events_of("many", 0..1000)).await;
    app.api.publish(&events_of("rare", 1..2)).await;
    for order in ["", "&ascending=true"] {
        let first = find(&app.api, &format!("subjects=rare{order}")).await;
        assert_eq!(first.data().as_array().unwrap().len(), 1, "{first:?}");
        assert!(first.body["next_start_key"].is_string(), "{first:?}");
        let (rows, pages) = all(&app.api, &format!("subjects=rare{order}")).await;
        assert_eq!((rows.len(), pages > 2), (2, true), "{pages} pages");
        let (rows, _) = all(&app.api, &format!("page_size=77{order}")).await;
        let mut ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert!(
            ids.is_sorted_by(|a, b| if order.is_empty() { a > b } else { a < b }),
            "in order, none twice"
        );
        ids.dedup();
        assert_eq!(ids.len(), 1002);
    }
    app.stop().await;
}

#[tokio::test]
async fn one_event_is_shown_with_its_body_its_deliveries_and_their_attempts() {
    let receiver = Receiver::start().await;
    receiver.mood_at("/dead", Mood::status(500));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let api = &app.api;
    let hook = async |path: &str, more: Value| {
        let mut own = json!({"uri": receiver.uri(path), "format": "json"});
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.hook(own).await
    };
    let fine = hook("/fine", json!({})).await;
    let dead = hook("/dead", json!({"retries": 3})).await;
    let paused = hook("/paused", json!({})).await;
    hook("/other", json!({"hook": "parking"})).await;
    api.own("POST", &format!("/webhooks/{paused}/pause"), Some(json!({"data": {}}))).await;
    api.publish(&events_of("one", 0..1)).await;
    let late = hook("/late", json!({})).await;
    settled(api, &fine).await;
    settled(api, &dead).await;
    queue_when(api, &paused, "it waits", |q| q["waiting"] == 1).await;
    let id = find(api, "event_names=CHANNEL_CREATE").await.data()[0]["id"].as_str().unwrap().to_owned();
    let event = eventually("the ledger has it all", LONG, || async {
        let event = api.own("GET", &format!("/events/{id}"), None).await;
        let is_dead = event.data()["deliveries"].as_array()?.iter().any(|d| d["state"] == "dead");
        is_dead.then_some(event)
    })
    .await;
    assert_eq!(event.data()["body"], call_event("CHANNEL_CREATE", "one", 0), "{event:?}");
    assert_eq!(event.data()["deliveries_complete"], true);
    let deliveries = event.data()["deliveries"].as_array().unwrap();
    let of = |hook: &str| deliveries.iter().find(|d| d["hook_id"] == hook).unwrap();
    assert_eq!(deliveries.len(), 3, "not the hook of another family, nor the one made later ({late})");
    assert_eq!((&of(&fine)["state"], &of(&paused)["state"]), (&json!("delivered"), &json!("waiting")));
    let tries = of(&dead)["attempts"].as_array().unwrap();
    assert_eq!(tries.iter().map(|t| &t["attempt"]).collect::<Vec<_>>(), [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(of(&dead)["delivery_id"], tries[0]["delivery_id"]);
    assert_eq!(event.data()["deliveries_by_state"], json!({"waiting": 1, "delivered": 1, "dead": 1}));

    // The deliveries are paged and filtered like a list.
    let mut paged = Vec::new();
    let mut query = "page_size=2".to_owned();
    loop {
        let page = api.own("GET", &format!("/events/{id}?{query}"), None).await;
        paged.extend(page.data()["deliveries"].as_array().unwrap().clone());
        assert!(paged.len() <= 3, "{page:?}");
        let Some(next) = page.body["next_start_key"].as_str() else { break };
        query = format!("page_size=2&start_key={next}");
    }
    assert_eq!(&paged, deliveries);
    let some = api.own("GET", &format!("/events/{id}?state=dead,waiting"), None).await;
    let found: Vec<&Value> = some.data()["deliveries"].as_array().unwrap().iter().collect();
    assert!(found.len() == 2 && found.contains(&of(&dead)) && found.contains(&of(&paused)), "{found:?}");
    let refused = api.own("GET", &format!("/events/{id}?state=lost"), None).await;
    assert_eq!(
        (refused.status, refused.body["data"]["state"]["enum"]["value"].as_str()),
        (400, Some("lost"))
    );

    // An event that was found can be delivered again.
    let delivery = of(&fine)["delivery_id"].as_str().unwrap();
    api.own("POST", &format!("/webhooks/attempts/{delivery}"), Some(json!({"data": {}}))).await;
    receiver.wait_until(LONG, |all| all.iter().filter(|r| r.path == "/fine").count() == 2).await;
    assert!(receiver.requests_at("/fine").iter().all(|r| number(r) == 0));
    app.stop().await;
}

#[tokio::test]
async fn an_event_is_seen_only_by_its_account_and_the_accounts_above() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let master = app.api.account.clone();
    let child = app.api.account_below(&master, "child").await;
    let beside = app.api.account_below(&master, "beside").await;
    let above = json!({"uri": receiver.uri("/"), "include_subaccounts": true});
    let hook = app.api.hook(above).await;
    let event = json!({"data": events_of("c", 0..1)});
    let taken = app.api.call("PUT", &format!("/v2/accounts/{child}/events"), Some(event)).await;
    let id = taken.data()["event_ids"][0].as_str().unwrap().to_owned();
    settled(&app.api, &hook).await;
    let as_seen = async |account: &str, path: &str| {
        app.api.call("GET", &format!("/v2/accounts/{account}/events{path}"), None).await
    };
    let one = format!("/{id}");
    let calls = "?event_names=CHANNEL_CREATE";
    assert_eq!(as_seen(&child, calls).await.data().as_array().unwrap().len(), 1);
    assert_eq!(as_seen(&beside, calls).await.data(), &json!([]));
    assert_eq!(as_seen(&beside, &one).await.status, 404);
    let own = as_seen(&child, &one).await;
    assert_eq!(
        (own.status, &own.data()["deliveries"]),
        (200, &json!([])),
        "an ancestor's hooks are not shown"
    );
    let from_above = as_seen(&master, &one).await;
    assert_eq!(from_above.data()["deliveries"][0]["hook_id"], hook, "{from_above:?}");
    for path in ["/x", "/000000000000000000000000", &format!("/{}{}", &id[..8], "00000000000fffff")] {
        assert_eq!(as_seen(&child, path).await.status, 404, "{path}");
    }

    let key = json!({"data": {"name": "k"}});
    let key = app.api.call("PUT", &format!("/v2/accounts/{child}/api_keys"), Some(key)).await;
    let client = app.client_with(key.data()["api_key"].as_str().unwrap()).await;
    for path in ["/v2/quarantine".to_owned(), format!("/v2/quarantine/{id}")] {
        assert_eq!(client.call("GET", &path, None).await.status, 403, "{path}");
    }
    assert_eq!(app.api.call("GET", "/v2/quarantine", None).await.data(), &json!([]));
    assert_eq!(app.api.call("GET", &format!("/v2/quarantine/{id}"), None).await.status, 404, "understood");
    app.stop().await;
}
