//! Documents, pages and attempts are bounded in bytes for each account.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;
use crate::torture::small_disk::SmallDisk;

fn hook_with(bytes: usize) -> Value {
    let data = json!({"filling": "x".repeat(bytes)});
    json!({"data": {"name": "h", "hook": "channel_create", "uri": "http://127.0.0.1:9/", "custom_data": data}})
}

/// Bytes of all files below a directory.
fn on_disk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).map(|found| found.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    entries.iter().map(|e| if e.path().is_dir() { on_disk(&e.path()) } else { size(&e.path()) }).sum()
}

#[tokio::test]
async fn no_way_of_writing_makes_a_document_larger_than_configured() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let master = process.api().await;
    let tenant = master.tenant("tenant").await;
    let hook = tenant.own("PUT", "/webhooks", Some(hook_with(40_000))).await;
    assert_eq!(hook.status, 201, "{hook:?}");
    let hook = hook.data()["id"].as_str().unwrap().to_owned();
    let own = format!("/v2/accounts/{}", tenant.account);
    let filling = |bytes: usize| json!({"data": {"note": "x".repeat(bytes)}});
    let user = json!({"data": {"username": "u", "first_name": "A", "last_name": "B", "password": "correct-horse", "note": "x".repeat(70_000)}});
    for (verb, path, body) in [
        ("PUT", format!("{own}/webhooks"), hook_with(70_000)),
        ("POST", format!("{own}/webhooks/{hook}"), hook_with(70_000)),
        // Each part is below the limit; the whole document is above it.
        ("PATCH", format!("{own}/webhooks/{hook}"), filling(40_000)),
        ("PATCH", own.clone(), filling(70_000)),
        ("PUT", own.clone(), json!({"data": {"name": "child", "note": "x".repeat(70_000)}})),
        ("PUT", format!("{own}/users"), user),
    ] {
        let answer = tenant.call(verb, &path, Some(body)).await;
        assert_eq!(answer.status, 413, "{verb} {path}: {}", answer.body["data"]);
        let reason = answer.body["data"].to_string();
        assert!(reason.contains("limits.max_document_bytes") && reason.contains("65536"), "{reason}");
    }
}

#[tokio::test]
async fn a_document_larger_than_a_lowered_limit_loads_and_can_shrink_or_be_deleted() {
    let mut app = TestApp::with(&["limits.max_document_bytes=1000000"]).await;
    let hook = app.api.own("PUT", "/webhooks", Some(hook_with(900_000))).await;
    assert_eq!(hook.status, 201);
    let path = format!("/webhooks/{}", hook.data()["id"].as_str().unwrap());
    app.restart(Some(&[])).await;
    let patch = |data: Value| Some(json!({"data": data}));
    let read = app.api.own("GET", &path, None).await;
    assert!(read.data()["custom_data"]["filling"].as_str().unwrap().len() == 900_000);
    assert_eq!(app.api.own("PATCH", &path, patch(json!({"note": "more"}))).await.status, 413);
    assert_eq!(app.api.own("PATCH", &path, patch(json!({"enabled": false}))).await.status, 200);
    let smaller = json!({"custom_data": {"filling": "x".repeat(800_000)}});
    assert_eq!(app.api.own("PATCH", &path, patch(smaller)).await.status, 200);
    assert_eq!(app.api.own("DELETE", &path, None).await.status, 200);
    app.stop().await;
}

#[tokio::test]
async fn an_account_cannot_have_more_documents_than_configured() {
    let limits = [
        "limits.max_hooks_per_account=2",
        "limits.max_users_per_account=1",
        "limits.max_api_keys_per_account=2",
        "limits.max_children_per_account=2",
    ];
    let mut app = TestApp::with(&limits).await;
    let child = app.api.account_below(&app.api.account, "child").await;
    let child = app.api.below(child);
    let user = |name: &str| json!({"data": {"username": name, "first_name": "A", "last_name": "B", "password": "correct-horse"}});
    let users = [user("a"), user("b"), user("c")];
    let named = |name: &str| json!({"data": {"name": name}});
    let children = ["a", "b", "c"].map(named);
    for (path, key, most, bodies) in [
        ("/webhooks", "hooks", 2, [hook_with(1), hook_with(1), hook_with(1)]),
        ("/users", "users", 1, users),
        ("/api_keys", "api_keys", 2, [json!({"data": {}}), json!({"data": {}}), json!({"data": {}})]),
        ("", "children", 2, children),
    ] {
        let mut made = Vec::new();
        for body in bodies {
            made.push(child.own("PUT", path, Some(body)).await);
        }
        let refused = &made[most];
        assert!(made[..most].iter().all(|answer| answer.status == 201), "{made:?}");
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        let reason = refused.data()[key]["maxItems"]["message"].as_str().unwrap();
        assert!(reason.contains(&format!("limits.max_{key}_per_account")), "{reason}");
    }
    // Deleting one makes room for another one, also after a restart.
    let hooks = child.own("GET", "/webhooks", None).await;
    let first = hooks.data()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(child.own("DELETE", &format!("/webhooks/{first}"), None).await.status, 200);
    let account = child.account.clone();
    app.restart(None).await;
    let child = app.api.below(account);
    assert_eq!(child.own("PUT", "/webhooks", Some(hook_with(1))).await.status, 201);
    assert_eq!(child.own("PUT", "/webhooks", Some(hook_with(1))).await.status, 400);
    app.stop().await;
}

#[tokio::test]
async fn changes_of_one_account_use_little_disk_and_memory_and_do_not_delay_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &["audit.max_bytes=1048576".to_owned()]).await;
    let master = process.api().await;
    let victim = master.tenant("victim").await;
    let noisy = master.tenant("noisy").await;
    let made = noisy.own("PUT", "/webhooks", Some(hook_with(60_000))).await;
    let path = format!("/webhooks/{}", made.data()["id"].as_str().unwrap());
    let mut refused = 0;
    for number in 0..400 {
        let fill = "y".repeat(60_000 - number % 2);
        let answer =
            noisy.own("PATCH", &path, Some(json!({"data": {"custom_data": {"filling": fill}}}))).await;
        refused += usize::from(answer.status == 429);
        assert!(matches!(answer.status, 200 | 429), "{answer:?}");
    }
    assert!(refused > 250, "{refused} of 400");
    let hook = victim.own("PUT", "/webhooks", Some(hook_with(10))).await;
    assert_eq!(hook.status, 201, "another account's changes go on: {hook:?}");
    let of_victim = format!("/admin/audit?account_id={}", victim.account);
    let entries = master.call("GET", &of_victim, None).await;
    assert_eq!(entries.data().as_array().unwrap().len(), 3, "account, key and hook: {entries:?}");
    assert!(on_disk(dir.path()) < 64 << 20, "{} bytes on disk", on_disk(dir.path()));
    process.kill();
    let process = Process::serve(dir.path(), &[]).await;
    assert!(process.memory() < 250 << 20, "{} bytes in memory", process.memory());
}

#[tokio::test]
async fn an_operator_can_clean_up_on_a_disk_too_full_for_other_changes() {
    let disk = SmallDisk::new();
    let settings = ["log.reserve_bytes=67108864", "ledger.reserve_bytes=33554432"].map(str::to_owned);
    let process = Process::serve(&disk.data_dir(), &settings).await;
    let master = process.api().await;
    let noisy = master.tenant("noisy").await;
    let hook = noisy.own("PUT", "/webhooks", Some(hook_with(1))).await;
    let path = format!("/webhooks/{}", hook.data()["id"].as_str().unwrap());
    let left: u64 = 12 << 20;
    if !disk.fill(left) {
        return;
    }
    let grown = noisy.own("PATCH", &path, Some(json!({"data": {"name": "other"}}))).await;
    assert_eq!(grown.status, 507, "{grown:?}");
    assert_eq!(noisy.own("PUT", "/webhooks", Some(hook_with(1))).await.status, 507);
    let off = noisy.own("PATCH", &path, Some(json!({"data": {"enabled": false}}))).await;
    assert_eq!(off.status, 200, "{off:?}");
    let account = format!("/v2/accounts/{}", noisy.account);
    let deleted = master.call("DELETE", &account, None).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    disk.empty();
    let made = tokio::time::timeout(Duration::from_secs(60), master.account_below(&master.account, "next"));
    made.await.unwrap();
}

/// The rows of a list, and the number of its pages. Checks that no page is large.
async fn walked(api: &Api, path: &str) -> (usize, usize) {
    let (mut rows, mut pages, mut start) = (0, 0, String::new());
    loop {
        let page = api.own("GET", &format!("{path}{start}"), None).await;
        assert_eq!(page.status, 200);
        let bytes = page.body.to_string().len();
        assert!(bytes < 1_200_000, "{bytes} bytes in a page");
        (rows, pages) = (rows + page.data().as_array().unwrap().len(), pages + 1);
        match page.body["next_start_key"].as_str() {
            Some(next) => start = format!("&start_key={next}"),
            None => return (rows, pages),
        }
    }
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_the_next_page_continues() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["http.max_page_bytes=1048576"]).await;
    let data = json!({"filling": "x".repeat(60_000)});
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "custom_data": data})).await;
    app.api.publish(&events_of("one", 0..60)).await;
    settled(&app.api, &hook).await;
    // The last attempts are listed as soon as they are in the ledger.
    let pages = eventually("all attempts are listed", LONG, || async {
        let (rows, pages) = walked(&app.api, &format!("/webhooks/{hook}/attempts?page_size=10000")).await;
        (rows == 60).then_some(pages)
    })
    .await;
    assert!(pages >= 4, "{pages} pages");
    let whole = app.api.own("GET", &format!("/webhooks/{hook}/attempts?paginate=false"), None).await;
    assert_eq!(whole.status, 416, "a whole list that is too large for one answer");
    app.stop().await;
}

#[tokio::test]
async fn attempts_of_small_events_are_counted_with_the_bytes_that_their_hook_adds() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::After(Duration::from_millis(100), Box::new(Mood::Ok)));
    let dir = tempfile::tempdir().unwrap();
    let settings = ["limits.max_document_bytes=1000000", "delivery.body_memory_bytes=8388608"];
    let process = Process::serve(dir.path(), &settings.map(str::to_owned)).await;
    let api = process.api().await;
    let mut hooks = Vec::new();
    for _ in 0..4 {
        let data = json!({"filling": "x".repeat(500_000)});
        hooks
            .push(api.hook(json!({"uri": receiver.uri("/"), "custom_data": data, "ordering": "none"})).await);
    }
    // From now on the peak is measured from zero.
    std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5").unwrap();
    let before = process.memory();
    for call in 0..8 {
        api.publish(&events_of(&format!("call-{call}"), 0..4)).await;
    }
    for hook in &hooks {
        settled(&api, hook).await;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let highest = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let highest = highest.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10;
    assert!(highest.saturating_sub(before) < 80 << 20, "{before} bytes before, {highest} at most");
    assert!(receiver.most_in_flight() <= 8, "{} attempts at once", receiver.most_in_flight());
}
