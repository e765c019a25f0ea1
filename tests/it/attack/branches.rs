//! What a tenant could multiply with accounts below its own: documents, deleted documents, levels, and their cost.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use switchhook::disk::OsDisk;
use switchhook::model::{AccountId, Clock, DocumentId};
use switchhook::state::{Expect, Kind, OpenedState, State, StateOptions, Write};
use switchhook::tasks::{Stop, Tasks};

use crate::support::app::{Answer, Api, MASTER_KEY, TestApp};
use crate::support::process::Process;

fn hook_with(bytes: usize) -> Value {
    let data = json!({"filling": "x".repeat(bytes)});
    json!({"data": {"name": "h", "hook": "channel_create", "uri": "http://127.0.0.1:9/", "custom_data": data}})
}

async fn child_of(tenant: &Api, parent: &str, name: &str) -> Answer {
    tenant.call("PUT", &format!("/v2/accounts/{parent}"), Some(json!({"data": {"name": name}}))).await
}

fn id_of(answer: &Answer) -> String {
    answer.data()["id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_tenant_cannot_nest_accounts_deeper_than_configured_even_by_moving_them() {
    let mut app = TestApp::with(&["limits.max_account_depth=5"]).await;
    let tenant = app.api.tenant("tenant").await;
    let mut line = vec![tenant.account.clone()];
    let refused = loop {
        let made = child_of(&tenant, line.last().unwrap(), "deeper").await;
        if made.status != 201 {
            break made;
        }
        line.push(id_of(&made));
    };
    assert_eq!((line.len(), refused.status), (5, 400), "{refused:?}");
    let reason = refused.data()["tree"]["maxItems"]["message"].as_str().unwrap().to_owned();
    assert!(reason.contains("limits.max_account_depth"), "{reason}");
    // Create two levels below an account, then move that account further down.
    let top = id_of(&child_of(&tenant, &tenant.account, "top").await);
    assert_eq!(child_of(&tenant, &top, "below").await.status, 201);
    let to = |account: &str| Some(json!({"data": {"to": account}}));
    let path = format!("/v2/accounts/{top}/move");
    let moved = tenant.call("POST", &path, to(&line[3])).await;
    assert_eq!(moved.status, 400, "{moved:?}");
    assert!(moved.data()["tree"]["maxItems"].is_object(), "{moved:?}");
    assert_eq!(tenant.call("POST", &path, to(&line[2])).await.status, 200, "as deep as it may be");
    assert_eq!(child_of(&app.api, line.last().unwrap(), "the operator's").await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn the_documents_of_a_tenants_accounts_are_bounded_together_without_limiting_a_neighbour() {
    let more = ["limits.max_tenant_bytes=1048576", "limits.change_burst_bytes=100000000"].map(str::to_owned);
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &more).await;
    let master = process.api().await;
    let (noisy, victim) = (master.tenant("noisy").await, master.tenant("victim").await);
    let (mut made, mut children, mut refused) = (0, Vec::new(), None);
    for number in 0..10 {
        let child = child_of(&noisy, &noisy.account, &format!("c{number}")).await;
        if child.status != 201 {
            refused = Some(child);
            break;
        }
        children.push(id_of(&child));
        for _ in 0..3 {
            let path = format!("/v2/accounts/{}/webhooks", children.last().unwrap());
            let hook = noisy.call("PUT", &path, Some(hook_with(60_000))).await;
            made += usize::from(hook.status == 201);
            refused = (hook.status != 201).then_some(hook).or(refused);
        }
    }
    assert!((14..18).contains(&made), "{made} documents of 60 KB in 1 MiB");
    let refused = refused.unwrap();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.data().to_string().contains("limits.max_tenant_bytes"), "{refused:?}");
    assert_eq!(victim.own("PUT", "/webhooks", Some(hook_with(60_000))).await.status, 201);

    process.kill();
    let process = Process::serve(dir.path(), &more).await;
    let noisy = process.api().await.with_token(noisy.token()).below(noisy.account.clone());
    assert_eq!(
        noisy.own("PUT", "/webhooks", Some(hook_with(60_000))).await.status,
        400,
        "counted again at a start"
    );
    // Existing documents can still be changed, and deleting one makes room.
    let first = format!("/v2/accounts/{}/webhooks", children[0]);
    let hooks = noisy.call("GET", &first, None).await;
    let hook = format!("{first}/{}", hooks.data()[0]["id"].as_str().unwrap());
    let off = Some(json!({"data": {"enabled": false}}));
    assert_eq!(noisy.call("PATCH", &hook, off).await.status, 200);
    assert_eq!(noisy.call("DELETE", &format!("{hook}?should_soft_delete=false"), None).await.status, 200);
    assert_eq!(noisy.own("PUT", "/webhooks", Some(hook_with(50_000))).await.status, 201);
    // A deleted account leaves nothing behind either.
    assert_eq!(noisy.call("DELETE", &format!("/v2/accounts/{}", children[1]), None).await.status, 200);
    assert_eq!(noisy.own("PUT", "/webhooks", Some(hook_with(60_000))).await.status, 201);
}

#[tokio::test]
async fn hooks_and_accounts_created_and_deleted_without_end_use_bounded_room() {
    let settings = [
        "limits.max_tenant_bytes=1048576",
        "limits.max_deleted_per_account=3",
        "limits.change_burst_bytes=100000000",
    ];
    let mut app = TestApp::with(&settings).await;
    let tenant = app.api.tenant("tenant").await;
    for number in 0..40 {
        let made = tenant.own("PUT", "/webhooks", Some(hook_with(60_000))).await;
        assert_eq!(made.status, 201, "hook {number}: {made:?}");
        assert_eq!(tenant.own("DELETE", &format!("/webhooks/{}", id_of(&made)), None).await.status, 200);
        let child = child_of(&tenant, &tenant.account, &format!("c{number}")).await;
        assert_eq!(child.status, 201, "account {number}: {child:?}");
        let child = format!("/v2/accounts/{}", id_of(&child));
        let hook = tenant.call("PUT", &format!("{child}/webhooks"), Some(hook_with(60_000))).await;
        assert_eq!(hook.status, 201, "{hook:?}");
        let hook = format!("{child}/webhooks/{}", id_of(&hook));
        assert_eq!(tenant.call("DELETE", &hook, None).await.status, 200);
        assert_eq!(tenant.call("DELETE", &child, None).await.status, 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn moving_a_branch_counts_against_the_tenants_rate_of_changes() {
    let more = [
        "limits.change_burst_bytes=65536",
        "limits.change_bytes_per_second=1024",
        "limits.max_document_bytes=65536",
    ];
    let mut app = TestApp::with(&more).await;
    let tenant = app.api.tenant("tenant").await;
    let branch = app.api.account_below(&tenant.account, "branch").await;
    let other = app.api.account_below(&tenant.account, "other").await;
    for number in 0..60 {
        app.api.account_below(&branch, &format!("leaf {number}")).await;
    }
    let to = |account: &str| Some(json!({"data": {"to": account}}));
    let path = format!("/v2/accounts/{branch}/move");
    assert_eq!(tenant.call("POST", &path, to(&other)).await.status, 200);
    let again = tenant.call("POST", &path, to(&tenant.account)).await;
    assert_eq!(again.status, 429, "{again:?}");
    assert!(again.data().to_string().contains("limits.change_bytes_per_second"), "{again:?}");
    let below = app.api.call("GET", &format!("/v2/accounts/{other}/descendants?paginate=false"), None).await;
    assert_eq!(below.data().as_array().unwrap().len(), 61, "nothing of it was moved");
    assert_eq!(app.api.call("POST", &path, to(&tenant.account)).await.status, 200, "the operator may");
    app.stop().await;
}

/// Creates documents of a deleted account, as earlier versions left them.
async fn plant_orphans(dir: &std::path::Path) -> AccountId {
    let (tasks, stop) = (Tasks::new(), Stop::new());
    let options = StateOptions { master_api_key: Some(MASTER_KEY.to_owned()), ..StateOptions::new(dir) };
    let opened = State::open(Arc::new(OsDisk), options, Clock::system(), &tasks).await.unwrap();
    let OpenedState { state, task, changes, .. } = opened;
    let running = tasks.spawn("state", task.run(stop.clone()));
    let (deleted, master) = (AccountId(0x7007), state.settings().master);
    let write = |kind: Kind, id: u128, doc: Value| Write {
        kind,
        id: DocumentId(id).to_string(),
        doc: doc.as_object().cloned(),
        expect: Expect::Any,
    };
    let owned = |more: Value| {
        let mut doc = Map::from_iter([("pvt_account_id".to_owned(), json!(deleted))]);
        doc.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(doc)
    };
    let hook = json!({"name": "orphan", "uri": "http://127.0.0.1:9/", "hook": "all", "http_verb": "post"});
    let planted = vec![
        write(Kind::Account, deleted.0, json!({"name": "a", "pvt_tree": [master], "pvt_deleted": true})),
        write(Kind::Hook, 0x7008, owned(hook)),
        write(Kind::User, 0x7009, owned(json!({"username": "u"}))),
        write(Kind::Key, 0x700a, owned(json!({"name": "k"}))),
    ];
    state.write(planted).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    drop((state, changes));
    tasks.all_ended().await;
    deleted
}

#[tokio::test]
async fn orphans_of_a_deleted_account_are_removed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let deleted = plant_orphans(dir.path()).await;
    let mut process = Process::serve(dir.path(), &[]).await;
    assert_eq!(
        process.said("removed 3 of 3 hooks, users and keys of deleted accounts"),
        1,
        "{}",
        process.stderr()
    );
    let master = process.api().await;
    let hooks = master.call("GET", "/admin/hooks", None).await;
    assert_eq!(hooks.data().as_array().unwrap().len(), 0, "{hooks:?}");
    assert_eq!(master.call("GET", &format!("/v2/accounts/{deleted}"), None).await.status, 404);
    process.kill();
    let process = Process::serve(dir.path(), &[]).await;
    assert_eq!(process.said("of deleted accounts"), 0, "only once");
}
