//! Notices of changes: they are part of the journal and stay there until they are logged.

use super::*;
use crate::state::Notice;

fn text(notice: &Notice, field: &str) -> String {
    notice[field].as_str().unwrap().to_owned()
}

/// The action, type and document of each notice.
fn summaries(notices: &[Notice]) -> Vec<String> {
    let fields = ["Event-Name", "Type", "ID", "Is-Soft-Deleted", "Rev"];
    let row = |notice: &Notice| fields.map(|field| notice[field].to_string().replace('"', "")).join(" ");
    notices.iter().map(|notice| row(notice).split('-').next().unwrap().to_owned()).collect()
}

async fn put(state: &State, kind: Kind, id: u128, doc: Value) {
    let doc = doc.as_object().cloned();
    let write = Write { kind, id: DocumentId(id).to_string(), doc, expect: Expect::Any };
    state.write(vec![write]).await.unwrap();
}

#[tokio::test]
async fn every_change_of_an_account_a_hook_or_a_user_has_a_notice_and_nothing_else_has() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let (state, master) = (&running.state, running.state.settings().master);
    let (notices, from) = state.notices(dir.path()).unwrap();
    assert_eq!(from, state.journal().end(), "changes before the first start have no notice");
    let own = json!({"pvt_account_id": master, "name": "n", "secret": "s3cret", "pvt_md5_auth": "s3cret"});
    let gone = json!({"pvt_account_id": master, "pvt_deleted": true});
    state.write(vec![hook(master, 5, "a"), hook(master, 6, "b")]).await.unwrap();
    put(state, Kind::User, 7, own.clone()).await;
    put(state, Kind::Account, 8, json!({"name": "below", "pvt_tree": [master]})).await;
    for kind in [Kind::Key, Kind::Replay, Kind::Setting, Kind::Revocation] {
        put(state, kind, 9, own.clone()).await;
    }
    let rename = |doc: &mut Map<String, Value>| drop(doc.insert("name".into(), "c".into()));
    state.update(Kind::Hook, &DocumentId(5).to_string(), rename).await.unwrap();
    state.update(Kind::Hook, &DocumentId(5).to_string(), rename).await.unwrap();
    put(state, Kind::Hook, 6, gone.clone()).await;
    put(state, Kind::Hook, 6, gone).await;
    let remove = Write { kind: Kind::User, id: DocumentId(7).to_string(), doc: None, expect: Expect::Any };
    state.write(vec![remove]).await.unwrap();

    let (notices_read, next) = notices.read(from).unwrap();
    let [five, six, seven, eight] = [5, 6, 7, 8].map(|id: u128| DocumentId(id).to_string());
    let expected = [
        format!("doc_created webhook {five} false 1"),
        format!("doc_created webhook {six} false 1"),
        format!("doc_created user {seven} false 1"),
        format!("doc_created account {eight} false 1"),
        format!("doc_edited webhook {five} false 2"),
        format!("doc_deleted webhook {six} true 2"),
        format!("doc_deleted user {seven} false 1"),
    ];
    assert_eq!(summaries(&notices_read), expected);
    assert_eq!(next, state.journal().end());
    let owners = notices_read.iter().map(|notice| text(notice, "Account-ID")).collect::<Vec<_>>();
    assert_eq!(owners[3], eight, "an account belongs to itself");
    assert!(owners.iter().enumerate().all(|(at, owner)| at == 3 || *owner == master.to_string()));
    assert!(!format!("{notices_read:?}").contains("s3cret"));
    let stored = state.get(Kind::Hook, &five).unwrap().unwrap();
    assert_eq!(
        (&notices_read[4]["Rev"], &notices_read[4]["Date-Modified"]),
        (&stored["_rev"], &stored["pvt_modified"])
    );
    running.close().await;

    // Notices that were not logged come again with the same ids after a restart; logged ones do not.
    let running = Running::open(dir.path()).await;
    let (notices, again) = running.state.notices(dir.path()).unwrap();
    assert_eq!((again, notices.read(again).unwrap().0), (from, notices_read));
    notices.set_announced(next).unwrap();
    let (_, after) = running.state.notices(dir.path()).unwrap();
    assert_eq!(after, next);
    running.close().await;
}

#[tokio::test]
async fn a_position_that_cannot_be_read_counts_as_0_and_one_beyond_the_journal_as_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::open(dir.path()).await;
    let end = running.state.journal().end();
    for (text, from) in [("", 0), ("x", 0), ("-1\n", 0), ("1\n", 1), ("999999\n", end)] {
        std::fs::write(dir.path().join("notices"), text).unwrap();
        assert_eq!(running.state.notices(dir.path()).unwrap().1, from, "{text}");
    }
    running.close().await;
}

#[tokio::test]
async fn notices_survive_compaction_until_they_are_logged() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StateOptions::new(dir.path());
    (options.segment_bytes, options.compact_min_bytes) = (16 * 1024, 64 * 1024);
    let running = Running::open_with(options).await;
    let (state, id): (_, HookId) = (&running.state, HookId(100));
    let (notices, from) = state.notices(dir.path()).unwrap();
    let change = async |n: usize| {
        state.write(vec![hook(state.settings().master, id.0, &format!("{n}"))]).await.unwrap();
    };
    for n in 0..300 {
        change(n).await;
    }
    assert_eq!(state.journal().first(), 0);
    assert_eq!(state.journal().end(), from + 300, "a snapshot that replaces nothing was written");
    let (mut notices_read, mut next) = (Vec::new(), from);
    while next < state.journal().end() {
        let (some, then) = notices.read(next).unwrap();
        notices_read.extend(some);
        next = then;
    }
    let revs: Vec<String> =
        notices_read.iter().map(|n| text(n, "Rev").split('-').next().unwrap().to_owned()).collect();
    assert_eq!(revs, (1..=300).map(|n| n.to_string()).collect::<Vec<_>>());
    notices.set_announced(next).unwrap();
    for n in 0..100 {
        change(n).await;
    }
    assert!(state.journal().first() > 0);
    running.close().await;
}
