//! Replays through the API.

use super::*;
use crate::model::{EventOffset, Family, ReplayOnly, ReplayPoint};

#[tokio::test]
async fn a_replay_is_started_watched_and_cancelled() {
    let test = TestApi::start().await;
    let hook = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks/{hook}/replay", test.master);
    let data = json!({"from_offset": 3, "until_offset": "7", "only": "failed", "hook_events": ["parking"]});
    let started = test.call("POST", &path, data).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(started.header("location"), Some(format!("{path}/{id}").as_str()));
    let asked = test.recorded.replays.lock().unwrap()[0].0.clone();
    assert_eq!(
        (asked.from, asked.until),
        (ReplayPoint::Offset(EventOffset(3)), Some(ReplayPoint::Offset(EventOffset(7))))
    );
    assert_eq!((asked.only, asked.filter.families), (ReplayOnly::Failed, vec![Family::Parking]));

    assert_eq!(test.get(&path).await.body["data"][0]["id"], id);
    assert_eq!(test.get(&format!("{path}/{id}")).await.body["data"]["state"], "running");
    let cancelled = test.call("DELETE", &format!("{path}/{id}"), Value::Null).await;
    assert_eq!(cancelled.body["data"]["state"], "cancelled");
    let other = "0".repeat(32);
    assert_eq!(test.get(&format!("{path}/{other}")).await.status, 404);
    assert_eq!(test.call("DELETE", &format!("{path}/{other}"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_range_can_be_times_or_one_event() {
    let test = TestApi::start().await;
    let hook = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks/{hook}/replay", test.master);
    let from = NOW_S + 62_167_219_200 - 60;
    let dry = test.call("POST", &path, json!({"created_from": from, "dry_run": true})).await;
    assert_eq!((dry.status, &dry.body["data"]["dry_run"]), (200, &json!(true)));
    let event = test.api.state.settings().log_ids.event_id(EventOffset(5)).to_string();
    assert_eq!(test.call("POST", &path, json!({"event_id": event})).await.status, 201);
    let asked: Vec<_> =
        test.recorded.replays.lock().unwrap().iter().map(|(request, _)| request.clone()).collect();
    assert_eq!(asked[0].from, ReplayPoint::TimeUs((NOW_S - 60) * 1_000_000));
    assert_eq!(
        (asked[1].from, asked[1].until),
        (ReplayPoint::Offset(EventOffset(5)), Some(ReplayPoint::Offset(EventOffset(6))))
    );
}

#[tokio::test]
async fn a_replay_without_a_beginning_or_with_bad_fields_is_refused() {
    let test = TestApi::start().await;
    let hook = test.hook(&test.master, "h").await;
    let path = format!("/v2/accounts/{}/webhooks/{hook}/replay", test.master);
    for (data, field) in [
        (json!({}), "from_offset"),
        (json!({"from_offset": -1}), "from_offset"),
        (json!({"from_offset": 0, "only": "some"}), "only"),
        (json!({"from_offset": 0, "hook_events": ["nope"]}), "hook_events"),
        (json!({"event_id": "000000010000000000000000"}), "event_id"),
        (json!({"created_from": 5, "created_to": 4}), "created_from"),
    ] {
        let refused = test.call("POST", &path, data).await;
        assert_eq!(refused.status, 400, "{field}: {refused:?}");
        assert!(refused.body["data"].get(field).is_some(), "{field}: {refused:?}");
    }
    assert!(test.recorded.replays.lock().unwrap().is_empty());
}
