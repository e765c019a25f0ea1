//! The overview in one request: for the operator, for an account, and for an account with all below it.

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::look::{events_of, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};

/// The sum of a field over the minutes of the last hour.
fn hour(data: &Value, field: &str) -> u64 {
    data["hour"].as_array().unwrap().iter().map(|minute| minute[field].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn an_overview_counts_the_last_hours_deliveries_and_lists_first_what_needs_a_person() {
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    let tenant = app.api.tenant("tenant").await;
    let below = tenant.account_below(&tenant.account, "below").await;
    let works = tenant.hook(json!({"name": "works", "uri": good.uri("/")})).await;
    let retry = json!({"max_attempts": 20});
    let fails = tenant.hook(json!({"name": "fails", "uri": bad.uri("/"), "retry": retry})).await;
    tenant.hook_of(&below, json!({"name": "below", "uri": good.uri("/"), "enabled": false})).await;
    tenant.publish(&events_of("one", 0..7)).await;
    settled(&tenant, &works).await;
    queue_when(&tenant, &fails, "the hook is disabled", |q| q["status"] == "auto_disabled").await;

    let own = tenant.own("GET", "/webhooks/overview", None).await.data().clone();
    assert_eq!((&own["hooks"], &own["in_need"], &own["waiting"]), (&json!(2), &json!(1), &json!(7)));
    assert_eq!(own["in_need_first"][0]["id"], json!(fails), "{own}");
    assert_eq!(own["in_need_first"][0]["disable_reason"], "too many failed attempts");
    assert_eq!((hour(&own, "delivered"), own["hooks_by_state"]["idle"].clone()), (7, json!(1)));
    assert!(hour(&own, "failed") >= 6 && own["rates"]["failed_per_min"].as_u64() > Some(0), "{own}");
    let tree = tenant.own("GET", "/descendants/webhooks/overview", None).await.data().clone();
    assert_eq!((&tree["hooks"], &tree["hooks_by_state"]["disabled"]), (&json!(3), &json!(1)));

    let all = app.api.call("GET", "/admin/overview", None).await.data().clone();
    assert_eq!((&all["hooks"], &all["in_need"], &all["ready"]), (&json!(3), &json!(1), &json!(true)));
    assert!(
        hour(&all, "received") >= 7 && hour(&all, "delivered") == 7 && hour(&all, "failed") >= 6,
        "{all}"
    );
    assert_eq!(all["rates"]["delivered_per_min"], 7, "{all}");
    assert_eq!(all["broker"]["state"], "disabled");
    assert!(
        all["disk"]["free_bytes"].as_u64() > Some(0) && all["logs"]["events"]["bytes"].as_u64() > Some(0)
    );

    // An account does not see what it must not see.
    let user = app.user_of(&tenant, "user").await;
    let seen = user.own("GET", "/webhooks/overview", None).await;
    assert_eq!((seen.status, &seen.data()["hooks"]), (200, &json!(2)));
    assert_eq!(user.own("GET", "/descendants/webhooks/overview", None).await.status, 403);
    let other = app.api.tenant("other").await;
    for path in ["webhooks/overview", "descendants/webhooks/overview"] {
        let foreign = format!("/v2/accounts/{}/{path}", tenant.account);
        assert_eq!(other.call("GET", &foreign, None).await.status, 403);
    }
    assert_eq!(tenant.call("GET", "/admin/overview", None).await.status, 403);
    assert_eq!(app.anonymous().call("GET", "/admin/overview", None).await.status, 401);
    app.stop().await;
}
