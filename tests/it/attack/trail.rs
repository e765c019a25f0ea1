//! A tenant cannot evict the entries of other tenants from the audit trail.

use serde_json::{Value, json};

use crate::support::app::Api;
use crate::support::process::{Process, run};

fn settings() -> Vec<String> {
    [
        "audit.max_bytes=1048576",
        "limits.change_burst_bytes=1000000000",
        "limits.change_bytes_per_second=1000000000",
    ]
    .map(str::to_owned)
    .into()
}

fn hook(name: &str) -> Value {
    let filling = "x".repeat(3000);
    let hook = json!({"name": name, "hook": "channel_create", "uri": "http://127.0.0.1:9/", "custom_data": {"filling": filling}});
    json!({"data": hook})
}

/// All entries of an account in the requested order, read page by page.
async fn entries(master: &Api, account: &str, order: &str) -> Vec<Value> {
    let (mut entries, mut start) = (Vec::new(), String::new());
    loop {
        let path = format!("/admin/audit?account_id={account}&page_size=5{order}{start}");
        let answer = master.call("GET", &path, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        entries.extend(answer.data().as_array().unwrap().clone());
        match answer.body["next_start_key"].as_str() {
            Some(next) => start = format!("&start_key={next}"),
            None => return entries,
        }
    }
}

/// Makes `count` changes of hooks in new child accounts of the tenant, each of which is deleted afterwards.
async fn flood(tenant: &Api, count: usize) {
    for child in 0..count.div_ceil(40) {
        let made = tenant.own("PUT", "", Some(json!({"data": {"name": format!("c{child}")}}))).await;
        let child = format!("/v2/accounts/{}", made.data()["id"].as_str().unwrap());
        let hook = tenant.call("PUT", &format!("{child}/webhooks"), Some(hook("h"))).await;
        let path = format!("{child}/webhooks/{}", hook.data()["id"].as_str().unwrap());
        for number in 0..40 {
            let change = json!({"data": {"name": format!("n{number}")}});
            let answer = tenant.call("PATCH", &path, Some(change)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(tenant.call("DELETE", &child, None).await.status, 200);
    }
}

#[tokio::test]
async fn a_tenant_that_floods_the_audit_trail_evicts_only_its_own_entries() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &settings()).await;
    let master = process.api().await;
    let (victim, noisy) = (master.tenant("victim").await, master.tenant("noisy").await);
    for number in 0..8 {
        assert_eq!(victim.own("PUT", "/webhooks", Some(hook(&format!("v{number}")))).await.status, 201);
    }
    let before = entries(&master, &victim.account, "").await;
    assert_eq!(before.len(), 10, "account, key and hooks");
    let first_of_noisy = entries(&master, &noisy.account, "&ascending=true").await[0].clone();

    // About three times the size of the trail, half of it before a restart.
    flood(&noisy, 120).await;
    process.kill();
    let process = Process::serve(dir.path(), &settings()).await;
    let master = process.api().await;
    let noisy = master.clone().with_token(noisy.token()).below(noisy.account.clone());
    flood(&noisy, 120).await;

    assert_eq!(entries(&master, &victim.account, "").await, before, "nothing of the victim's is gone");
    let mut rising = entries(&master, &victim.account, "&ascending=true").await;
    rising.reverse();
    assert_eq!(rising, before, "in either order");
    let all = entries_of_all(&master).await;
    assert!(all.iter().all(|entry| entry.get("was").is_none()), "no bookkeeping is shown");
    assert!(all.iter().any(|entry| entry["tenant_id"].is_null()), "what the operator did is there");
    let of_noisy = all.iter().filter(|entry| entry["tenant_id"] == json!(noisy.account)).count();
    assert!((40..140).contains(&of_noisy), "{of_noisy} of some 260 changes of the noisy tenant are left");
    assert!(all.contains(&first_of_noisy), "the operator's entries about it are no part of its share");
    let times: Vec<u64> = all.iter().map(|entry| entry["timestamp"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first over both parts");
    let bytes: u64 = ["audit", "audit-kept"].map(|log| on_disk(&dir.path().join(log))).iter().sum();
    assert!(bytes < 2 << 20, "{bytes} bytes");

    let copy = dir.path().with_extension("copy");
    let made = run(&["backup", copy.to_str().unwrap(), "--data-dir", dir.path().to_str().unwrap()]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(on_disk(&copy.join("audit-kept")) > 0, "a backup has both parts");
    std::fs::remove_dir_all(&copy).unwrap();
}

async fn entries_of_all(master: &Api) -> Vec<Value> {
    let answer = master.call("GET", "/admin/audit?page_size=10000", None).await;
    let mut all = answer.data().as_array().unwrap().clone();
    let mut next = answer.body["next_start_key"].as_str().map(str::to_owned);
    while let Some(start) = next {
        let path = format!("/admin/audit?page_size=10000&start_key={start}");
        let answer = master.call("GET", &path, None).await;
        all.extend(answer.data().as_array().unwrap().clone());
        next = answer.body["next_start_key"].as_str().map(str::to_owned);
    }
    all
}

/// The size of a log's segments and indexes.
fn on_disk(dir: &std::path::Path) -> u64 {
    std::fs::read_dir(dir).unwrap().flatten().map(|file| file.metadata().unwrap().len()).sum()
}
