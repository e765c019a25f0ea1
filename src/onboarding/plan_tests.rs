//! Plans over invented KAZOOs and installations.

use serde_json::json;

use super::*;
use crate::model::{AccountId, DocumentId, HookId};
use crate::onboarding::here::Snapshot;
use crate::onboarding::reading::{KazooAccount, KazooHook, KazooLimits, OwnLimits};
use crate::onboarding::testing;

const MASTER: u128 = 1;

fn account(id: u128, tree: &[u128]) -> KazooAccount {
    KazooAccount {
        realm: Some(format!("r{id}.example")),
        created: Some(63_000_000_000 + u64::try_from(id).unwrap()),
        limits: OwnLimits::Absent,
        ..testing::account(id, tree)
    }
}

fn hook(id: u128, account: u128) -> KazooHook {
    let doc = json!({"name": "n", "hook": "channel_create", "uri": format!("https://x.example/{id}")});
    let doc = doc.as_object().cloned().unwrap();
    KazooHook { id: HookId(id), account: AccountId(account), rev: None, doc, disabled_message: None }
}

fn reading(accounts: Vec<KazooAccount>, hooks: Vec<KazooHook>) -> Reading {
    Reading {
        master: Some(AccountId(MASTER)),
        accounts: accounts.into_iter().map(|account| (account.id, account)).collect(),
        hooks: hooks.into_iter().map(|hook| (hook.id, hook)).collect(),
        is_complete: true,
        ..Reading::default()
    }
}

fn rules() -> Rules {
    Rules { most_hooks: 2, most_bytes: 1000, ..Rules::default() }
}

fn nothing() -> Snapshot {
    let doc = json!({"_id": AccountId(MASTER), "_rev": "1-a", "name": "master", "pvt_tree": []});
    let mut nothing = Snapshot::of(AccountId(MASTER));
    nothing.put(Kind::Account, &AccountId(MASTER).to_string(), doc.as_object().unwrap());
    nothing
}

/// The installation after the plan was carried out.
fn applied(mut here: Snapshot, plan: &Plan) -> Snapshot {
    for change in plan.accounts.iter().chain(&plan.hooks) {
        let mut doc = here.get(change.kind, &change.id).unwrap().unwrap_or_default();
        change.unset.iter().for_each(|field| drop(doc.shift_remove(field)));
        doc.extend(change.set.clone());
        doc.insert("_rev".into(), format!("{}-x", doc.len()).into());
        here.put(change.kind, &change.id, &doc);
    }
    for (kind, id) in &plan.gone {
        here.remove(*kind, &id.to_string());
    }
    here
}

fn kinds(plan: &Plan) -> Vec<OddKind> {
    plan.odd.iter().map(|odd| odd.what).collect()
}

fn parent(here: &Snapshot, id: u128) -> Value {
    let doc = here.get(Kind::Account, &AccountId(id).to_string()).unwrap().unwrap();
    doc["pvt_tree"].as_array().unwrap().last().cloned().unwrap_or_default()
}

#[test]
fn a_second_import_changes_nothing() {
    let kazoo =
        reading(vec![account(1, &[]), account(2, &[1]), account(3, &[1, 2])], vec![hook(10, 3), hook(11, 1)]);
    let first = plan(&kazoo, &nothing(), &rules()).unwrap();
    assert_eq!((first.accounts.len(), first.hooks.len(), first.odd.len()), (3, 2, 0));
    let second = plan(&kazoo, &applied(nothing(), &first), &rules()).unwrap();
    assert!(second.is_empty(), "{second:?}");
    assert_eq!(second.counts[&Kind::Account].same, 3);
}

#[test]
fn accounts_are_added_from_the_root_downwards_and_removed_upwards() {
    let kazoo =
        reading(vec![account(9, &[1]), account(3, &[1, 9]), account(2, &[1, 9, 3])], vec![hook(10, 2)]);
    let first = plan(&kazoo, &nothing(), &rules()).unwrap();
    let order: Vec<_> = first.accounts.iter().map(|change| change.id.clone()).collect();
    assert_eq!(order, [AccountId(9), AccountId(3), AccountId(2)].map(|id| id.to_string()));
    let gone = plan(&reading(vec![account(1, &[])], vec![]), &applied(nothing(), &first), &rules()).unwrap();
    // The account's deletion deletes the hook too.
    assert_eq!(gone.gone, [2, 3, 9].map(|id| (Kind::Account, DocumentId(id))));
}

#[test]
fn an_incomplete_reading_removes_nothing() {
    let here = applied(
        nothing(),
        &plan(&reading(vec![account(2, &[1])], vec![hook(10, 2)]), &nothing(), &rules()).unwrap(),
    );
    let mut short = reading(vec![], vec![]);
    short.is_complete = false;
    assert!(plan(&short, &here, &rules()).unwrap().is_empty());
}

#[test]
fn a_realm_stays_with_its_holder_here_or_goes_to_the_oldest_account() {
    let (mut young, mut old) = (account(3, &[1]), account(2, &[1]));
    young.realm = Some("Same.example".into());
    old.realm = Some("same.example".into());
    let both = reading(vec![young.clone(), old], vec![]);
    let first = plan(&both, &nothing(), &rules()).unwrap();
    assert_eq!(kinds(&first), [OddKind::RealmTwice]);
    assert_eq!(first.odd[0].id, AccountId(3).to_string());
    let only_young = applied(nothing(), &plan(&reading(vec![young], vec![]), &nothing(), &rules()).unwrap());
    let then = plan(&both, &only_young, &rules()).unwrap();
    assert_eq!(then.odd[0].id, AccountId(2).to_string());
}

#[test]
fn hooks_that_cannot_be_imported_are_named() {
    let mut large = hook(12, 2);
    large.doc.insert("custom_data".into(), json!({"x": "y".repeat(2000)}));
    let hooks = vec![hook(10, 7), large, hook(13, 2), hook(14, 2), hook(15, 2)];
    let made = plan(&reading(vec![account(2, &[1])], hooks), &nothing(), &rules()).unwrap();
    assert_eq!(kinds(&made), [OddKind::HookOfGone, OddKind::OverLimit, OddKind::TooLarge]);
    assert_eq!(made.hooks.len(), 3);
    assert_eq!(made.counts[&Kind::Hook].left_out, 2);
}

#[test]
fn a_half_moved_branch_waits_until_its_trees_agree() {
    let before = reading(
        vec![account(2, &[1]), account(3, &[1]), account(4, &[1, 2]), account(5, &[1, 2, 4])],
        vec![],
    );
    let here = applied(nothing(), &plan(&before, &nothing(), &rules()).unwrap());
    let mut moving = before.clone();
    moving.accounts.insert(AccountId(4), account(4, &[1, 3]));
    moving.accounts.insert(AccountId(6), account(6, &[1, 3, 4]));
    let waiting = plan(&moving, &here, &Rules { half_moved_wait: true, ..rules() }).unwrap();
    let then = applied(here.clone(), &waiting);
    assert_eq!(
        (waiting.waiting, parent(&then, 4), parent(&then, 6)),
        (1, json!(AccountId(2)), json!(AccountId(4)))
    );
    // An import by hand does not wait: it follows the parents. So does a sync after a move that never ends.
    let placed = applied(here, &plan(&moving, &then, &rules()).unwrap());
    assert_eq!((parent(&placed, 4), parent(&placed, 5)), (json!(AccountId(3)), json!(AccountId(4))));
    moving.accounts.insert(AccountId(5), account(5, &[1, 3, 4]));
    let moved = plan(&moving, &then, &Rules { half_moved_wait: true, ..rules() }).unwrap();
    assert_eq!((moved.waiting, parent(&applied(then, &moved), 4)), (0, json!(AccountId(3))));
}

#[test]
fn hooks_that_were_imported_once_are_left_alone() {
    let once = Rules { hooks_once: true, ..rules() };
    let mut kazoo = reading(vec![account(2, &[1])], vec![hook(10, 2)]);
    let mut here = applied(nothing(), &plan(&kazoo, &nothing(), &once).unwrap());
    kazoo.hooks.get_mut(&HookId(10)).unwrap().doc.insert("name".into(), "other".into());
    assert!(plan(&kazoo, &here, &once).unwrap().is_empty());
    // A hook that was deleted here does not return.
    let mut deleted = here.get(Kind::Hook, &HookId(10).to_string()).unwrap().unwrap();
    deleted.insert("pvt_deleted".into(), true.into());
    here.put(Kind::Hook, &HookId(10).to_string(), &deleted);
    assert!(plan(&kazoo, &here, &once).unwrap().is_empty());
    kazoo.hooks.clear();
    assert!(plan(&kazoo, &here, &once).unwrap().is_empty());
}

#[test]
fn the_master_account_stays_the_root_and_has_the_limits_of_the_system() {
    let mut kazoo = reading(vec![account(1, &[])], vec![]);
    kazoo.system = KazooLimits { count: Some(12), window_ms: None };
    let made = plan(&kazoo, &nothing(), &rules()).unwrap();
    let set = &made.accounts[0].set;
    assert!(!set.contains_key("pvt_tree") && !set.contains_key("pvt_enabled"), "{set:?}");
    assert_eq!(set["webhooks"], json!({"attempt_failure_count": 12}));
}

#[test]
fn a_plan_for_a_part_of_the_tree_changes_only_that_part() {
    let before = reading(vec![account(2, &[1]), account(3, &[1, 2]), account(4, &[1])], vec![]);
    let here = applied(nothing(), &plan(&before, &nothing(), &rules()).unwrap());
    let mut after = before.clone();
    for id in [2, 3, 4] {
        after.accounts.get_mut(&AccountId(id)).unwrap().enabled = false;
    }
    after.accounts.remove(&AccountId(4));
    after.add_hook(hook(30, 3));
    after.add_hook(hook(40, 4));
    let made = |scope| plan(&after, &here, &Rules { scope, ..rules() }).unwrap();
    let below = made(Scope::Below(BTreeSet::from([AccountId(2)])));
    assert_eq!((below.accounts.len(), below.gone.len()), (2, 0));
    let only = made(Scope::Only(BTreeSet::from([AccountId(3)])));
    let changed: Vec<_> = only.accounts.iter().chain(&only.hooks).map(|change| change.id.clone()).collect();
    assert_eq!(changed, [AccountId(3).to_string(), AccountId(30).to_string()]);
    assert_eq!(only.gone, []);
}
