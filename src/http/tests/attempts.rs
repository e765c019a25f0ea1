//! Attempts: ranges and pages (`docs/kazoo/webhooks.md#attempts-over-the-api`).

use super::*;

const NOW: u64 = NOW_S + 62_167_219_200;

#[tokio::test]
async fn pages_of_attempts_follow_each_other_newest_first() {
    let test = TestApi::start().await;
    *test.recorded.ledger.lock().unwrap() = 5;
    let path = format!("/v2/accounts/{}/webhooks/attempts?page_size=2", test.master);
    let mut seen = Vec::new();
    let mut page = path.clone();
    for _ in 0..5 {
        let answer = test.get(&page).await;
        seen.extend(answer.body["data"].as_array().unwrap().clone());
        let Some(next) = answer.body["next_start_key"].as_str() else { break };
        page = format!("{path}&start_key={next}");
    }
    assert_eq!(Value::from(seen), json!([{"n": 4}, {"n": 3}, {"n": 2}, {"n": 1}, {"n": 0}]));
}

#[tokio::test]
async fn the_range_is_the_last_31_days_unless_asked_otherwise() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks/attempts", test.master);
    assert_eq!(test.get(&path).await.status, 200);
    let asked = test.recorded.attempts.lock().unwrap()[0].clone();
    assert_eq!(asked.until_us, (NOW_S + 1) * 1_000_000);
    assert_eq!(asked.from_us, (NOW_S - 2_682_000) * 1_000_000);
    assert_eq!((asked.hook, asked.limit), (None, 50));

    let (from, to) = (NOW - 10, NOW - 20);
    let reversed = test.get(&format!("{path}?created_from={from}&created_to={to}")).await;
    let message = format!("created_to {to} is prior to created_from {from}");
    let expected = json!({"created_from": {"date_range": {"message": message, "cause": from}}});
    assert_eq!(reversed.refusal(), (400, "validation error", &expected));

    let from = NOW - 2_682_001;
    let long = test.get(&format!("{path}?created_from={from}")).await;
    let message = format!("created_to {NOW} is more than 2682000 seconds from created_from {from}");
    let expected = json!({"created_from": {"date_range": {"message": message, "cause": NOW}}});
    assert_eq!(long.refusal(), (400, "validation error", &expected));
}

#[tokio::test]
async fn bad_paging_is_a_faulty_request() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks/attempts", test.master);
    let refused = test.get(&format!("{path}?page_size=0")).await;
    assert_eq!(
        refused.refusal(),
        (404, "faulty_request", &json!({"message": "page size must be at least 1"}))
    );
    assert_eq!(test.get(&format!("{path}?created_from=x")).await.status, 400);
}

#[tokio::test]
async fn a_hook_that_does_not_exist_has_an_empty_list() {
    let test = TestApi::start().await;
    *test.recorded.ledger.lock().unwrap() = 5;
    let (a, _) = test.account("a").await;
    let others = test.hook(&a, "a's").await;
    for hook in ["nothing", &"0".repeat(32), &others] {
        let path = format!("/v2/accounts/{}/webhooks/{hook}/attempts", test.master);
        let answer = test.get(&path).await;
        assert_eq!((answer.status, &answer.body["data"]), (200, &json!([])), "{hook}");
    }
    let own = test.get(&format!("/v2/accounts/{a}/webhooks/{others}/attempts")).await;
    assert_eq!(own.body["page_size"], 5);
}

#[tokio::test]
async fn an_unreadable_ledger_is_a_fault_of_the_store_without_details() {
    let test = TestApi::start().await;
    *test.recorded.broken.lock().unwrap() = true;
    for query in ["", "?is_chunked=true", "?accept=csv"] {
        let answer = test.get(&format!("/v2/accounts/{}/webhooks/attempts{query}", test.master)).await;
        let expected = json!({"message": "datastore fatal error"});
        assert_eq!(answer.refusal(), (503, "datastore_fault", &expected), "{query}");
    }
}
