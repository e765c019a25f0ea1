//! The shadow run: every delivery is prepared and none is sent. At any time every event belongs to exactly one of the
//! two systems, in both directions and whatever happens meanwhile.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp, call_event};
use crate::support::config_file::ConfigFile;
use crate::support::look::{LONG, document, events_of, number, queue_when, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::{eventually, eventually_true};

const SHADOW: &str = "kazoo.mode=shadow";

async fn mode(api: &Api) -> Value {
    let answer = api.call("GET", "/admin/mode", None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

async fn ask_for(api: &Api, data: Value) -> Answer {
    api.call("POST", "/admin/mode", Some(json!({"data": data}))).await
}

async fn change(api: &Api, data: Value) -> Value {
    let answer = ask_for(api, data).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

/// Waits until a hook has this number of attempts with this result.
async fn results(api: &Api, hook: &str, result: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} attempts are listed as {result}"), LONG, || async {
        let listed = api.own("GET", &format!("/webhooks/{hook}/attempts?page_size=1000"), None).await;
        let rows = listed.data().as_array().unwrap().clone();
        let rows: Vec<Value> = rows.into_iter().filter(|row| row["result"] == result).collect();
        (rows.len() >= count).then_some(rows)
    })
    .await
}

fn got(receiver: &Receiver) -> Vec<u64> {
    receiver.requests().iter().map(number).collect()
}

async fn metric(api: &Api, line: &str) -> bool {
    api.text("/metrics").await.lines().any(|found| found == line)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story: everything that could be sent, in one program")]
async fn in_shadow_mode_nothing_is_sent_whatever_its_cause() {
    let receiver = Receiver::start().await;
    receiver.mood_at("/down", Mood::status(500));
    let settings = [
        "disable.failure_count=3",
        "disable.probe_initial_ms=50",
        "disable.probe_max_ms=50",
        "disable.window_ms=2000",
    ];
    let settings =
        [&settings[..], &["retry.initial_ms=400", "retry.max_ms=400", "metrics.public=true"]].concat();
    let mut app = TestApp::with(&settings).await;
    let api = &app.api;
    // Left from live mode: a dead delivery, some that wait for a retry, and a hook that is disabled and
    // probed.
    let dead =
        json!({"uri": receiver.uri("/down"), "format": "json", "retries": 1, "hook": "channel_answer"});
    let dead = api.hook(dead).await;
    api.publish(&[call_event("CHANNEL_ANSWER", "dead", 0)]).await;
    results(api, &dead, "failure", 1).await;
    let tried = json!({"uri": receiver.uri("/down"), "format": "json", "retry": {"max_attempts": 100}});
    let down = api.hook(tried.clone()).await;
    api.publish(&events_of("retried", 0..2)).await;
    eventually("the hook is disabled", LONG, || async {
        (document(api, &down).await["enabled"] == false).then_some(())
    })
    .await;
    let after = change(api, json!({"mode": "shadow"})).await;
    assert_eq!((&after["mode"], &after["configured"]), (&json!("shadow"), &json!("live")), "{after}");
    queue_when(api, &dead, "nothing is under way", |q| q["in_flight"] == 0).await;
    queue_when(api, &down, "nothing is under way", |q| q["in_flight"] == 0).await;
    receiver.mood_at("/down", Mood::Ok);
    receiver.forget();

    // Every kind of delivery.
    let plain =
        api.hook(json!({"uri": receiver.uri("/"), "format": "json", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await;
    let get = api.hook(json!({"uri": receiver.uri("/get"), "http_verb": "get"})).await;
    let once = json!({"_id": "63927219201", "uri": receiver.uri("/once"), "http_verb": "post", "retries": 2,
        "pvt_account_id": api.account});
    let once = json!({"Event-Category": "notification", "Event-Name": "webhook", "Msg-ID": "w", "Hook": once,
        "Data": {"account_id": api.account, "call_id": "c"}});
    let mut events = events_of("new", 0..20);
    events.push(once);
    api.publish(&events).await;
    let rows = results(api, &plain, "shadow", 20).await;
    let row = &rows[0];
    assert_eq!(row["reason"], "shadow: not sent", "{row}");
    assert!(row["req_body"].as_str().unwrap().contains("\"call_id\":\"new\""), "{row}");
    assert!(row["req_headers"]["webhook-signature"].is_string() && row["client_error"].is_null(), "{row}");
    results(api, &get, "shadow", 20).await;
    // A replay, a redelivery of dead and suspect deliveries, and a hook that a person enables.
    let replay = json!({"data": {"from_offset": 0}});
    let replayed = api.own("POST", &format!("/webhooks/{plain}/replay"), Some(replay)).await;
    assert_eq!(replayed.status, 201, "{replayed:?}");
    let redelivered =
        api.own("POST", &format!("/webhooks/{dead}/replay"), Some(json!({"data": {"from_offset": 0}}))).await;
    assert_eq!(redelivered.status, 201, "{redelivered:?}");
    results(api, &plain, "shadow", 40).await;
    results(api, &dead, "shadow", 1).await;
    let before = document(api, &down).await;
    assert_eq!(before["enabled"], false, "a hook is not enabled by what was not sent: {before}");
    let enabled =
        api.own("PATCH", &format!("/webhooks/{down}"), Some(json!({"data": {"enabled": true}}))).await;
    assert_eq!(enabled.status, 200, "{enabled:?}");
    for hook in [&plain, &get, &dead, &down] {
        settled(api, hook).await;
    }
    assert_eq!(receiver.count(), 0, "{:?}", receiver.requests());
    eventually("what was not sent is still dead", LONG, async || {
        let given_up = api.own("GET", &format!("/webhooks/{dead}/dead"), None).await;
        (given_up.data().as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    assert_eq!(document(api, &down).await["enabled"], true, "nothing that is not sent disables a hook");
    assert!(metric(api, "switchhook_mode{mode=\"shadow\"} 1").await, "{}", api.text("/metrics").await);
    let ready: Value = serde_json::from_str(&api.text("/health/ready").await).unwrap();
    assert_eq!(ready["notices"][0]["what"], "mode", "{ready}");

    // A test is a person's own request, and is sent.
    let tested = api.own("POST", &format!("/webhooks/{plain}/test"), None).await;
    assert_eq!((tested.status, &tested.data()["result"]), (200, &json!("success")), "{tested:?}");
    assert_eq!(receiver.requests()[0].header("x-test"), Some("true"));
    app.stop().await;
}

#[tokio::test]
async fn live_mode_starts_from_now_and_keeps_the_order_of_a_call_at_the_border() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[SHADOW]).await;
    let api = app.api.clone();
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let publishing = async {
        for n in 0..60 {
            api.publish(&events_of("one", n..n + 1)).await;
        }
    };
    let switching = async {
        results(&api, &hook, "shadow", 10).await;
        change(&api, json!({"mode": "live"})).await
    };
    let ((), status) = tokio::join!(publishing, switching);
    let queue = settled(&api, &hook).await;
    let border = status["borders"][1]["from_offset"].as_u64().unwrap();
    let end = queue["log_end"].as_u64().unwrap();
    let (sent, shadow) = (got(&receiver), results(&api, &hook, "shadow", 1).await.len() as u64);
    let first = 60 - sent.len() as u64;
    assert_eq!(sent, (first..60).collect::<Vec<_>>(), "what is sent is the end of the call, in order");
    assert_eq!((first, shadow), (60 - (end - border), first), "each event belongs to one of the two systems");
    // Deliveries settled in shadow are made again only on request.
    receiver.forget();
    let dry = json!({"data": {"from_offset": 0, "until_offset": border, "dry_run": true}});
    let dry = api.own("POST", &format!("/webhooks/{hook}/replay"), Some(dry)).await;
    assert_eq!((dry.status, &dry.data()["matched"]), (200, &json!(first)), "{dry:?}");
    app.restart(None).await;
    assert_eq!(mode(&app.api).await["mode"], "live", "the mode that the API has set stays over a restart");
    settled(&app.api, &hook).await;
    assert_eq!(receiver.count(), 0);
    app.restart(Some(&["kazoo.mode=live"])).await;
    app.restart(Some(&[SHADOW])).await;
    assert_eq!(
        mode(&app.api).await["mode"],
        "shadow",
        "another value in the configuration is a new decision"
    );
    app.stop().await;
}

#[tokio::test]
async fn a_handover_assigns_each_event_to_one_system_in_both_directions() {
    let receiver = Receiver::start().await;
    // On a busy machine there are several failures before the receiver works again.
    let mut app = TestApp::with(&[SHADOW, "metrics.public=true", "disable.failure_count=1000"]).await;
    let api = app.api.clone();
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    api.publish(&events_of("a", 0..2)).await;
    results(&api, &hook, "shadow", 2).await;
    let held = change(&api, json!({"mode": "handover"})).await;
    let first = held["held_from_offset"].as_u64().unwrap();
    let offsets = api.publish(&events_of("b", 2..6)).await;
    assert_eq!(mode(&api).await["held_events"], json!(offsets.last().unwrap() + 1 - first));
    assert!(metric(&api, &format!("switchhook_held_events {}", offsets.last().unwrap() + 1 - first)).await);
    let refused = ask_for(&api, json!({"mode": "live", "from_offset": first - 1})).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    // KAZOO was stopped after the second of them.
    change(&api, json!({"mode": "live", "from_offset": offsets[2]})).await;
    settled(&api, &hook).await;
    assert_eq!(got(&receiver), [4, 5]);
    results(&api, &hook, "shadow", 4).await;

    // Back: undelivered events are still delivered, and new ones wait.
    receiver.mood(Mood::status(500));
    api.publish(&events_of("c", 6..7)).await;
    receiver.wait_for(3, LONG).await;
    change(&api, json!({"mode": "handover"})).await;
    let offsets = api.publish(&events_of("d", 7..10)).await;
    receiver.mood(Mood::Ok);
    queue_when(&api, &hook, "the retry is delivered in the handover", |q| {
        q["waiting"] == 0 && q["in_flight"] == 0
    })
    .await;
    let refused = ask_for(&api, json!({"mode": "shadow", "from_offset": offsets[1]})).await;
    assert!(refused.status == 400 && refused.body.to_string().contains("would be lost"), "{refused:?}");
    let status = change(&api, json!({"mode": "handover", "from_offset": offsets[1]})).await;
    assert_eq!(status["held_from_offset"], Value::Null, "{status}");
    settled(&api, &hook).await;
    eventually("nothing waits any more", LONG, || async { (mode(&api).await["waiting"] == 0).then_some(()) })
        .await;
    change(&api, json!({"mode": "shadow"})).await;
    api.publish(&events_of("e", 10..12)).await;
    results(&api, &hook, "shadow", 8).await;
    // The first tries of event 6 failed.
    let mut sent = got(&receiver);
    sent.dedup();
    assert_eq!(sent, [4, 5, 6, 7], "8 and 9 are KAZOO's again");
    for data in [json!({}), json!({"mode": "quiet"}), json!({"mode": "live", "from": "now"})] {
        assert_eq!(ask_for(&api, data.clone()).await.status, 400, "{data}");
    }
    let refused = ask_for(&api, json!({"mode": "live", "from_offset": 1})).await;
    assert!(refused.body.to_string().contains("handover"), "{refused:?}");
    let tenant = api.tenant("tenant").await;
    for verb in ["GET", "POST"] {
        let answer = tenant.call(verb, "/admin/mode", Some(json!({"data": {"mode": "live"}}))).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(mode(&api).await["mode"], "shadow");
    app.stop().await;
}

#[tokio::test]
async fn a_mode_and_its_border_survive_kill_9() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = vec![SHADOW.to_owned()];
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    api.publish(&events_of("a", 0..3)).await;
    results(&api, &hook, "shadow", 3).await;
    change(&api, json!({"mode": "handover"})).await;
    let offsets = api.publish(&events_of("b", 3..7)).await;
    process.kill();
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let held = mode(&api).await;
    assert_eq!((&held["mode"], &held["held_events"].as_u64()), (&json!("handover"), &Some(4)), "{held}");
    assert_eq!(receiver.count(), 0);
    change(&api, json!({"mode": "live", "from_offset": offsets[1]})).await;
    process.kill();
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    assert_eq!(mode(&api).await["mode"], "live", "the value in the configuration is the one of before");
    settled(&api, &hook).await;
    let mut sent = got(&receiver);
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent, [4, 5, 6], "none of those before the border, and all behind it");
    drop(process);
}

#[tokio::test]
async fn a_reload_changes_the_mode_and_the_sink() {
    let (receiver, sink) = (Receiver::start().await, Receiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("switchhook.toml");
    let mut file = ConfigFile::new(path, &dir.path().join("data"), &[]);
    let process = Process::serve_by(&file).await;
    let api = process.api().await;
    let hook = json!({
        "uri": format!("http://u:pw@{}/a?key=k3y", receiver.address()), "format": "json",
        "headers": {"X-Api-Key": "k3y"}, "custom_data": {"x": "y"},
    });
    let hook = api.hook(hook).await;
    api.publish(&events_of("one", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    let hang_up = async |until: &str| {
        let before = process.said(until);
        process.signal("HUP");
        eventually_true(until, LONG, || process.said(until) > before).await;
    };
    file.set(&[SHADOW]);
    hang_up("configuration reloaded").await;
    api.publish(&events_of("one", 1..2)).await;
    results(&api, &hook, "shadow", 1).await;
    let uri = format!("kazoo.shadow_sink=http://me:pass@{}/in", sink.address());
    file.set(&[uri.as_str()]);
    hang_up("configuration reloaded").await;
    api.publish(&events_of("one", 2..4)).await;
    let diverted = sink.wait_for(2, LONG).await;
    let (request, asked) = (&diverted[0], receiver.count());
    assert_eq!((request.path.as_str(), number(request), asked), ("/in", 2, 1));
    assert_eq!(request.header("x-shadow"), Some("true"));
    let original = request.header("x-shadow-uri").unwrap();
    assert!(original.ends_with("/a?key=***") && !original.contains("pw"), "{original}");
    let secrets: Vec<_> = request.headers.iter().filter(|(_, value)| value.contains("k3y")).collect();
    assert!(secrets.is_empty(), "{secrets:?}");
    let rows = results(&api, &hook, "shadow", 3).await;
    assert_eq!(
        (&rows[0]["reason"], &rows[0]["resp_status_code"]),
        (&json!("shadow: sent to the sink"), &json!("200"))
    );
    // A failing sink does not affect the hook.
    sink.mood(Mood::status(500));
    api.publish(&events_of("one", 4..5)).await;
    results(&api, &hook, "shadow", 4).await;
    assert_eq!(sink.count(), 3, "and nothing is tried again");
    file.set(&["kazoo.mode=live"]);
    hang_up("configuration reloaded").await;
    api.publish(&events_of("one", 5..6)).await;
    receiver.wait_for(2, LONG).await;
    assert_eq!((got(&receiver), sink.count()), (vec![0, 5], 3));
    assert!(!process.stderr().contains("pass@"), "the sink's credentials are in no log line");
    drop(process);
}

#[tokio::test]
async fn a_delivery_that_can_never_be_sent_is_reported_in_shadow_mode_too() {
    let mut app = TestApp::with(&[SHADOW]).await;
    let hook = app.api.hook(json!({"uri": "http://receiver.invalid/", "format": "json"})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let rows = results(&app.api, &hook, "shadow", 1).await;
    assert_eq!(rows[0]["client_error"], "failed_connect: nxdomain", "{}", rows[0]);
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], &queue["recent_failures"]), (&json!(0), &json!(0)), "{queue}");
    app.stop().await;
}
