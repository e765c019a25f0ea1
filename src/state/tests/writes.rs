//! Writes: conflicts, atomicity, the channel of changes, and the journal's size.

use serde_json::{Value, json};

use super::*;
use crate::state::{WriteError, new_api_key};

#[tokio::test]
async fn written_documents_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let (master, settings) = (running.state.settings().master, running.state.settings().clone());
    let written = running.state.write(vec![hook(master, 5, "a")]).await.unwrap();
    assert!(written[0]["_rev"].as_str().unwrap().starts_with("1-"));
    running.close().await;

    let running = Running::open(dir.path()).await;
    assert_eq!(running.rebuilt, None);
    assert_eq!(running.state.settings(), &settings);
    assert_eq!(
        running.state.get(Kind::Hook, &DocumentId(5).to_string()).unwrap().as_ref(),
        Some(&written[0])
    );
    assert_eq!(running.state.hook(HookId(5)).unwrap().name, "a");
    running.close().await;
}

#[tokio::test]
async fn a_write_that_expects_another_revision_is_a_conflict_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    let first = running.state.write(vec![hook(master, 5, "a")]).await.unwrap();
    let rev = first[0]["_rev"].as_str().unwrap().to_owned();
    let mut second = hook(master, 5, "b");
    second.expect = Expect::Rev(rev.clone());
    running.state.write(vec![second.clone()]).await.unwrap();
    let both = vec![hook(master, 6, "other"), second];
    assert!(running.state.write(both).await.unwrap_err().is_conflict());
    assert_eq!(running.state.hook(HookId(5)).unwrap().name, "b");
    assert!(running.state.hook(HookId(6)).is_none());
    let mut taken = hook(master, 5, "c");
    taken.expect = Expect::Absent;
    assert!(running.state.write(vec![taken]).await.unwrap_err().is_conflict());
    running.close().await;
}

#[tokio::test]
async fn concurrent_updates_all_count() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    running.state.write(vec![hook(master, 5, "0")]).await.unwrap();
    let id = DocumentId(5).to_string();
    let count_up = |doc: &mut Map<String, Value>| {
        let next = doc.get("n").and_then(Value::as_u64).unwrap_or(0) + 1;
        doc.insert("n".into(), next.into());
    };
    let updates = (0..50).map(|_| running.state.update(Kind::Hook, &id, count_up));
    futures_util::future::join_all(updates).await.into_iter().for_each(|done| drop(done.unwrap()));
    assert_eq!(running.state.get(Kind::Hook, &id).unwrap().unwrap()["n"], 50);
    let missing = running.state.update(Kind::Hook, "none", |_| ()).await;
    assert!(matches!(missing, Err(WriteError::Missing { .. })));
    running.close().await;
}

#[tokio::test]
async fn a_soft_deleted_hook_stays_as_a_document_and_leaves_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    running.state.write(vec![hook(master, 5, "a"), hook(master, 6, "b")]).await.unwrap();
    let id = DocumentId(5).to_string();
    let delete = |doc: &mut Map<String, Value>| drop(doc.insert("pvt_deleted".into(), true.into()));
    running.state.update(Kind::Hook, &id, delete).await.unwrap();
    assert!(running.state.get(Kind::Hook, &id).unwrap().is_some());
    assert!(running.state.hook(HookId(5)).is_none());
    assert_eq!(running.state.hooks_of(master).unwrap().len(), 1);
    let mut seen = Vec::new();
    while let Ok(change) = running.changes.try_recv() {
        seen.push(match change {
            Change::HookPut(hook) => format!("put {}", hook.name),
            Change::HookGone(id, _) => format!("gone {}", id.0),
            Change::AccountPut { .. } => "account".into(),
            Change::AccountGone(_) => "account gone".into(),
        });
    }
    assert_eq!(seen, ["account", "put a", "put b", "gone 5"]);
    running.close().await;
}

#[tokio::test]
async fn the_first_key_is_in_its_own_file_and_a_configured_key_replaces_it() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    let path = dir.path().join("master.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&path).unwrap().trim().to_owned();
    assert_eq!(key.len(), 64);
    assert_eq!(account_of(&running.state, &key), Some(master));
    assert_eq!(account_of(&running.state, "wrong"), None);
    let (other, write) = new_api_key("k1", master, None);
    running.state.write(vec![write]).await.unwrap();
    running.close().await;

    let mut options = StateOptions::new(dir.path());
    options.master_api_key = Some("configured".into());
    let running = Running::open_with(options).await;
    assert_eq!(account_of(&running.state, "configured"), Some(master));
    assert_eq!(account_of(&running.state, &key), None);
    assert_eq!(account_of(&running.state, &other), Some(master));
    running.close().await;
}

#[tokio::test]
async fn compaction_keeps_a_journal_of_many_changes_small_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StateOptions::new(dir.path());
    (options.segment_bytes, options.compact_min_bytes) = (16 * 1024, 64 * 1024);
    let running = Running::open_with(options.clone()).await;
    let master = running.state.settings().master;
    running.state.write((0..20).map(|id| hook(master, id, "kept")).collect()).await.unwrap();
    let mut largest = 0;
    for n in 0..600 {
        running.state.write(vec![hook(master, 100, &format!("{n}"))]).await.unwrap();
        largest = largest.max(running.state.journal().stats().bytes);
    }
    assert!(largest < 160 * 1024, "the journal grew to {largest} bytes");
    assert!(running.state.journal().first() > 0);
    running.close().await;

    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let running = Running::open_with(options).await;
    assert_eq!(running.state.all_hooks().len(), 21);
    assert_eq!(running.state.hook(HookId(100)).unwrap().name, "599");
    assert_eq!(running.state.all(Kind::Setting).unwrap().len(), 1);
    running.close().await;
}

#[tokio::test]
async fn a_change_that_is_too_large_is_refused_without_affecting_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StateOptions::new(dir.path());
    options.max_record_bytes = 64 * 1024;
    let running = Running::open_with(options).await;
    let master = running.state.settings().master;
    let mut large = hook(master, 5, "large");
    large.doc.as_mut().unwrap().insert("x".into(), json!("x".repeat(70_000)));
    assert!(matches!(running.state.write(vec![large]).await, Err(WriteError::TooLarge(_))));
    running.state.write(vec![hook(master, 6, "small")]).await.unwrap();
    running.close().await;
}

#[tokio::test]
async fn the_program_disables_a_hook_once_and_enables_only_what_it_disabled() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    running.state.write(vec![hook(master, 5, "a")]).await.unwrap();
    let off = running.state.disable_hook(HookId(5), "too many failed attempts").await.unwrap();
    let again = running.state.disable_hook(HookId(5), "another reason").await.unwrap();
    assert_eq!(off, again);
    let compiled = running.state.hook(HookId(5)).unwrap();
    assert_eq!(compiled.disable_reason.as_deref(), Some("too many failed attempts"));
    let on = running.state.enable_hook(HookId(5)).await.unwrap();
    assert_eq!((on["enabled"].clone(), on.contains_key("pvt_disabled_message")), (true.into(), false));
    let by_person = |doc: &mut Map<String, Value>| drop(doc.insert("enabled".into(), false.into()));
    running.state.update(Kind::Hook, &DocumentId(5).to_string(), by_person).await.unwrap();
    running.state.enable_hook(HookId(5)).await.unwrap();
    assert!(!running.state.hook(HookId(5)).unwrap().enabled);
    running.close().await;
}

#[tokio::test]
async fn orphans_of_a_deleted_account_are_removed_at_the_start_and_orphans_of_a_missing_account_stay() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let master = running.state.settings().master;
    let (deleted, missing) = (AccountId(70), AccountId(71));
    let owned = |kind: Kind, id: u128, account: AccountId| Write {
        kind,
        id: DocumentId(id).to_string(),
        doc: Some(object(&json!({"username": "u", "pvt_account_id": account}))),
        expect: Expect::Any,
    };
    let account = Write {
        kind: Kind::Account,
        id: deleted.to_string(),
        doc: Some(object(&json!({"name": "a", "pvt_tree": [master], "pvt_deleted": true}))),
        expect: Expect::Any,
    };
    // The program itself may write such documents; earlier versions did.
    let planted = vec![
        account,
        hook(deleted, 5, "orphan"),
        owned(Kind::User, 6, deleted),
        owned(Kind::Key, 7, deleted),
        hook(missing, 8, "lost"),
        hook(master, 9, "fine"),
    ];
    running.state.write(planted).await.unwrap();
    assert!(running.state.hook(HookId(5)).is_some());
    running.close().await;

    let running = Running::open(dir.path()).await;
    assert!(running.state.hook(HookId(5)).is_none(), "its account was deleted");
    for (kind, id) in [(Kind::Hook, 5), (Kind::User, 6), (Kind::Key, 7)] {
        assert_eq!(running.state.get(kind, &DocumentId(id).to_string()).unwrap(), None);
    }
    assert!(running.state.hook(HookId(8)).is_some(), "nobody deleted its account");
    assert!(running.state.hook(HookId(9)).is_some());
    // When the account is created again under its id, the hook belongs to it again.
    let doc = object(&json!({"name": "again", "pvt_enabled": true}));
    running.state.add_account_again(missing, master, doc).await.unwrap();
    assert_eq!(running.state.hooks_of(missing).unwrap().len(), 1);
    running.close().await;
}
