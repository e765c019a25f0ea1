//! Attempts from the ledger: ranges, pages, filters, CSV (`docs/kazoo/webhooks.md#attempts-over-the-api`).

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::look::{attempts_when, events_of};
use crate::support::raw::send_as;
use crate::support::receiver::{Mood, Receiver};

/// Creates two hooks: the first has five attempts refused with 500, the second one refused with 410, which disables it.
/// Returns the client and the ids.
async fn refused(app: &TestApp, receiver: &Receiver) -> (Api, String, String) {
    receiver.mood(Mood::by(|r| Mood::status(if r.path == "/a" { 500 } else { 410 })));
    let hook = |path: &str| json!({"uri": receiver.uri(path), "retries": 1});
    let (a, b) = (app.api.hook(hook("/a")).await, app.api.hook(hook("/b")).await);
    app.api.publish(&events_of("one", 0..5)).await;
    attempts_when(&app.api, &a, 5).await;
    attempts_when(&app.api, &b, 1).await;
    (app.api.clone(), a, b)
}

async fn rows(api: &Api, query: &str) -> Vec<Value> {
    let answer = api.own("GET", &format!("/webhooks/attempts?{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

#[tokio::test]
async fn attempts_are_paged_filtered_and_ordered_like_any_list() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (api, a, b) = refused(&app, &receiver).await;
    let of_a = rows(&api, &format!("filter_hook_id={a}&paginate=false")).await;
    assert!(
        of_a.len() >= 5 && of_a.iter().all(|row| row["hook_id"] == *a && row["resp_status_code"] == "500")
    );
    let of_b = rows(&api, "filter_resp_status_code=410&page_size=1000").await;
    assert!(!of_b.is_empty() && of_b.iter().all(|row| row["hook_id"] == *b));
    assert!(rows(&api, "filter_result=success").await.is_empty());
    assert!(rows(&api, "has_key=client_error").await.is_empty());
    let mut ascending = rows(&api, &format!("filter_hook_id={a}&ascending=true")).await;
    ascending.reverse();
    assert_eq!(ascending, of_a);

    let (mut paged, mut query) = (Vec::new(), format!("filter_hook_id={a}&page_size=2"));
    loop {
        let page = api.own("GET", &format!("/webhooks/attempts?{query}"), None).await;
        paged.extend(page.data().as_array().unwrap().clone());
        let Some(next) = page.body["next_start_key"].as_str() else { break };
        query = format!("filter_hook_id={a}&page_size=2&start_key={next}");
    }
    assert_eq!(paged, of_a);
    app.stop().await;
}

#[tokio::test]
async fn attempts_can_be_streamed_and_downloaded() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (api, a, _) = refused(&app, &receiver).await;
    let path = format!("/v2/accounts/{}/webhooks/{a}/attempts", api.account);
    let whole = send_as(&api, "GET", &format!("{path}?paginate=false"), &[], "").await.body();
    let pieces = format!("{path}?paginate=false&is_chunked=true&chunk_size=1");
    assert_eq!(send_as(&api, "GET", &pieces, &[], "").await.body()["data"], whole["data"]);
    let csv = send_as(&api, "GET", &format!("{path}?accept=csv"), &[], "").await;
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let at = columns.iter().position(|column| column == "delivery_id").unwrap();
    let found: Vec<_> = reader.records().map(|row| row.unwrap()[at].to_owned()).collect();
    let expected: Vec<_> =
        whole["data"].as_array().unwrap().iter().map(|row| row["delivery_id"].clone()).collect();
    assert_eq!(json!(found), json!(expected));
    app.stop().await;
}

#[tokio::test]
async fn the_range_has_kazoos_rules() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (api, ..) = refused(&app, &receiver).await;
    let at = rows(&api, "page_size=1").await[0]["timestamp"].as_u64().unwrap();
    assert!(
        !rows(&api, &format!("created_from={at}&created_to={at}")).await.is_empty(),
        "both ends are included"
    );
    assert!(rows(&api, &format!("created_to={}", at - 3600)).await.is_empty());
    let refusal = |message: String, cause: u64| json!({"created_from": {"date_range": {"message": message, "cause": cause}}});
    for (from, to, expected) in [
        (at, at - 1, refusal(format!("created_to {} is prior to created_from {at}", at - 1), at)),
        (
            at - 2_682_001,
            at,
            refusal(
                format!("created_to {at} is more than 2682000 seconds from created_from {}", at - 2_682_001),
                at,
            ),
        ),
    ] {
        let path = format!("/webhooks/attempts?created_from={from}&created_to={to}");
        let answer = api.own("GET", &path, None).await;
        assert_eq!((answer.status, answer.data()), (400, &expected));
    }
    assert!(!rows(&api, &format!("created_from={}&created_to={at}", at - 2_682_000)).await.is_empty());
    app.stop().await;
}

#[tokio::test]
async fn attempts_of_a_deleted_hook_can_still_be_read() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (api, a, _) = refused(&app, &receiver).await;
    let path = format!("/webhooks/{a}/attempts");
    let before = api.own("GET", &path, None).await;
    assert_eq!(api.own("DELETE", &format!("/webhooks/{a}"), None).await.status, 200);
    let after = api.own("GET", &path, None).await;
    assert_eq!((after.status, after.data()), (200, before.data()));
    assert!(!after.data().as_array().unwrap().is_empty());
    app.stop().await;
}
