//! `[kazoo.sync]`: accounts and hooks follow a KAZOO even if its messages are lost; nothing is deleted without
//! confirmation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::import::is_in_files;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::kazoo::{ACCOUNT_SECRET, Data, Fault, KAZOO_KEY, Kazoo, READER, Version};
use crate::support::look;
use crate::support::process::{Process, run};
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

const LONG: Duration = Duration::from_secs(60);

/// Settings that follow a KAZOO's CouchDB.
fn follow(kazoo: &Kazoo, more: &[&str]) -> Vec<String> {
    let mut settings = vec![
        format!("kazoo.sync.couch={}", kazoo.uri()),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
        "kazoo.sync.settle_ms=20".to_owned(),
        "kazoo.sync.timeout_ms=2000".to_owned(),
    ];
    settings.extend(more.iter().map(|setting| (*setting).to_owned()));
    settings
}

async fn start(settings: &[String]) -> TestApp {
    TestApp::with(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn status(api: &Api) -> Value {
    api.call("GET", "/admin/status", None).await.data()["kazoo_sync"].clone()
}

/// The part of an account or a hook that a KAZOO decides.
type Shape = BTreeMap<String, Value>;

/// Everything that the program has from KAZOO.
async fn here(api: &Api) -> Shape {
    let answer = api.call("GET", "/admin/import?paginate=false&is_chunked=true", None).await;
    let rows = answer.data().as_array().unwrap_or_else(|| panic!("{answer:?}"));
    let shape = |row: &Value| {
        let doc = &row["document"];
        let of = |field: &str| doc.get(field).cloned().unwrap_or_default();
        let shown = if row["kind"] == "account" {
            json!([of("name"), of("realm"), of("pvt_tree"), of("pvt_enabled"), of("pvt_reseller")])
        } else {
            json!([of("name"), of("uri"), of("enabled"), of("pvt_disabled_message"), of("pvt_account_id")])
        };
        (row["id"].as_str().unwrap().to_owned(), shown)
    };
    let mut all: Shape = rows.iter().map(shape).collect();
    all.remove(&api.account);
    all
}

/// Everything that the KAZOO has.
fn there(data: &Data) -> Shape {
    let mut all = Shape::new();
    for id in data.accounts() {
        let doc = data.doc("accounts", &id).unwrap();
        let shown =
            json!([doc["name"], doc["realm"], doc["pvt_tree"], doc["pvt_enabled"], doc["pvt_reseller"]]);
        all.insert(id, shown);
    }
    for id in data.hooks() {
        let doc = data.doc("webhooks", &id).unwrap();
        let reason = doc.get("pvt_disabled_message").cloned().unwrap_or_default();
        let shown = json!([doc["name"], doc["uri"], doc["enabled"], reason, doc["pvt_account_id"]]);
        all.insert(id, shown);
    }
    all
}

async fn equal(kazoo: &Kazoo, api: &Api) {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        let (here, there) = (here(api).await, kazoo.with(|data| there(data)));
        if here == there {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "here {here:#?}\nthere {there:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_changes_in_kazoo_changes_here_and_only_there() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (reseller, customer, hook) = kazoo.with(|data| {
        let reseller = data.account(&data.master.clone(), "Reseller");
        let customer = data.account(&reseller, "Customer");
        let hook = data.hook(&customer, json!({"name": "CRM"}));
        (reseller, customer, hook)
    });
    let app = start(&follow(&kazoo, &[])).await;
    equal(&kazoo, &app.api).await;
    kazoo.with(|data| {
        data.edit_account(&customer, |doc| drop(doc.insert("name".into(), "Renamed".into())));
        data.disable_hook(&hook);
        let new = data.account(&reseller, "New");
        data.hook(&new, json!({"name": "new"}));
    });
    equal(&kazoo, &app.api).await;

    let api = &app.api;
    let (at_account, at_hook) =
        (format!("/v2/accounts/{customer}"), format!("/v2/accounts/{customer}/webhooks/{hook}"));
    let name = json!({"data": {"name": "mine"}});
    for (verb, path) in
        [("PATCH", &at_account), ("DELETE", &at_account), ("PATCH", &at_hook), ("DELETE", &at_hook)]
    {
        let body = (verb == "PATCH").then(|| name.clone());
        let answer = api.call(verb, path, body).await;
        assert_eq!(answer.status, 409, "{verb} {path} {answer:?}");
        assert!(answer.data()["message"].as_str().unwrap().contains("KAZOO"), "{answer:?}");
    }
    let own = api.call("PATCH", &at_hook, Some(json!({"data": {"timeout_ms": 3000}}))).await;
    assert_eq!(own.status, 200, "a field that KAZOO does not have: {own:?}");
    let local = app.api.account_below(&reseller, "made here").await;
    let renamed = api.call("PATCH", &format!("/v2/accounts/{local}"), Some(name)).await;
    assert_eq!(renamed.status, 200, "what was made here is ours: {renamed:?}");
    api.call("DELETE", &format!("/v2/accounts/{local}"), None).await;

    kazoo.with(|data| data.delete_account(&customer));
    equal(&kazoo, &app.api).await;
    let shown = status(api).await;
    assert_eq!((&shown["state"], &shown["last_error"]), (&json!("current"), &Value::Null), "{shown}");
    assert!(app.api.text("/metrics").await.contains("switchhook_kazoo_sync_current 1"));
}

#[tokio::test]
async fn a_kazoo_that_fails_hangs_or_lies_is_reported_and_deletes_nothing() {
    let mut kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| {
        for number in 0..30 {
            let account = data.account(&data.master.clone(), &format!("customer {number}"));
            data.hook(&account, json!({}));
        }
    });
    let settings = ["kazoo.sync.interval_ms=300", "kazoo.sync.timeout_ms=150"];
    let app = start(&follow(&kazoo, &settings)).await;
    equal(&kazoo, &app.api).await;
    let all = here(&app.api).await;
    // Empty lists: more is missing than may be deleted at once.
    kazoo.fault("webhooks/_all_docs", Fault::Empty, usize::MAX);
    eventually("the notice is there", LONG, async || {
        let ready = app.anonymous().call("GET", "/health/ready", None).await;
        ready.body["notices"].to_string().contains("kazoo_sync").then_some(())
    })
    .await;
    assert_eq!(here(&app.api).await, all);
    kazoo.mend();
    // An endless response is cut off; a missing one times out.
    kazoo.fault("system_config", Fault::Endless, 1);
    kazoo.fault("accounts", Fault::Hang, usize::MAX);
    eventually("the sync says that it fails", LONG, async || {
        (status(&app.api).await["state"] == "failing").then_some(())
    })
    .await;
    kazoo.vanish().await;
    assert_eq!(here(&app.api).await, all);
    kazoo.mend();
    kazoo.come_back();
    // Another KAZOO at the same address.
    let other = json!({"_id": "accounts", "default": {"master_account_id": "5".repeat(32)}});
    kazoo.fault("system_config/accounts", Fault::Lie(200, other), usize::MAX);
    // A KAZOO that repeats the same page without end.
    let row = json!({"id": "1".repeat(32), "doc": {"_id": "1".repeat(32), "pvt_type": "account", "name": "x".repeat(1 << 12)}});
    kazoo.fault("accounts/_all_docs", Fault::Lie(200, json!({"rows": vec![row; 8]})), 4);
    eventually("the other master account is named", LONG, async || {
        let error = status(&app.api).await["last_error"].to_string();
        error.contains(&format!("the master account of the KAZOO is {}", "5".repeat(32))).then_some(())
    })
    .await;
    assert_eq!(here(&app.api).await, all);
    kazoo.mend();
    kazoo.with(|data| {
        let first = data.accounts().remove(0);
        data.delete_account(&first);
    });
    equal(&kazoo, &app.api).await;
}

/// A random generator whose numbers depend only on the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n.max(1)
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { Some(all[self.below(all.len())].clone()) }
    }
}

/// Random edits of a KAZOO, one after the other.
struct Edits {
    dice: Dice,
    number: usize,
    /// The account whose branch is being moved.
    moving: Option<String>,
}

impl Edits {
    fn new(seed: u64) -> Self {
        Self { dice: Dice(seed), number: 0, moving: None }
    }

    /// Makes one random edit.
    fn edit(&mut self, data: &mut Data) {
        self.number += 1;
        let (number, master) = (self.number, data.master.clone());
        let (accounts, hooks) = (data.accounts(), data.hooks());
        let account = self.dice.pick(&accounts).unwrap_or_else(|| master.clone());
        let hook = self.dice.pick(&hooks);
        match (self.dice.below(13), hook) {
            (0..=2, _) => drop(data.account(&account, &format!("account {number}"))),
            (3 | 4, _) => drop(data.hook(&account, json!({"name": format!("hook {number}")}))),
            (5, Some(hook)) => data.disable_hook(&hook),
            (6, Some(hook)) => data.enable_hook(&hook),
            (7, Some(hook)) => data.delete_hook(&hook),
            (8, _) if account != master => data.enable(&account, number.is_multiple_of(2)),
            (9, _) if account != master => {
                data.edit_account(&account, |doc| {
                    drop(doc.insert("name".into(), format!("renamed {number}").into()));
                });
            }
            (10, _) if account != master && self.moving.is_none() => {
                let to = self.dice.pick(&accounts).unwrap();
                if to != account && !data.tree(&to).contains(&account) {
                    data.begin_move(&account, &to);
                    self.moving = Some(account);
                }
            }
            (11, _) => self.finish(data),
            (12, _) if account != master && data.below(&account).is_empty() && self.moving.is_none() => {
                data.delete_account(&account);
            }
            _ => {}
        }
    }

    fn finish(&mut self, data: &mut Data) {
        if let Some(account) = self.moving.take() {
            data.finish_move(&account);
        }
    }
}

/// Makes something fail for a while in a KAZOO.
fn go_wrong(kazoo: &Kazoo, edits: &mut Edits) {
    match edits.dice.below(7) {
        0 => kazoo.fault("_all_docs", Fault::Broken, 2),
        1 => kazoo.fault("_changes", Fault::Status(500), 3),
        2 => kazoo.fault("accounts/_all_docs", Fault::Short(5), 4),
        3 => kazoo.fault("webhooks/_all_docs", Fault::Empty, 1),
        4 => kazoo.fault("", Fault::Slow(Duration::from_millis(30)), 5),
        5 => kazoo.fault("accounts/_all_docs", Fault::Lie(200, json!({"rows": [{"id": 7}]})), 1),
        _ => {
            // An account is created while pages are read.
            let number = edits.dice.below(1_000_000_000);
            let change = move |data: &mut Data| {
                let master = data.master.clone();
                drop(data.account(&master, &format!("in between {number}")));
            };
            kazoo.fault("webhooks/_all_docs", Fault::Meanwhile(std::sync::Arc::new(change)), 1);
        }
    }
}

#[tokio::test]
async fn after_random_edits_and_faults_both_trees_are_equal() {
    for (version, seed) in [(Version::V50, 1), (Version::V43, 2)] {
        let kazoo = Kazoo::start(version).await;
        let mut edits = Edits::new(seed);
        kazoo.with(|data| (0..40).for_each(|_| edits.edit(data)));
        let number = if version == Version::V43 { "kazoo.sync.version=4.3" } else { "kazoo.sync.version=5" };
        let settings = [
            "kazoo.sync.interval_ms=400",
            "kazoo.sync.timeout_ms=500",
            "kazoo.sync.max_gone_percent=100",
            number,
        ];
        let mut app = start(&follow(&kazoo, &settings)).await;
        for _ in 0..8 {
            go_wrong(&kazoo, &mut edits);
            for _ in 0..10 {
                kazoo.with(|data| edits.edit(data));
                tokio::task::yield_now().await;
            }
        }
        kazoo.with(|data| edits.finish(data));
        kazoo.mend();
        equal(&kazoo, &app.api).await;
        app.stop().await;
    }
}

#[tokio::test]
async fn broker_messages_bring_changes_and_lost_repeated_and_endless_ones_do_no_harm() {
    let broker = Broker::shared().await;
    let kazoo = Kazoo::start(Version::V50).await;
    let customer = kazoo.with(|data| data.account(&data.master.clone(), "Customer"));
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, KAZOO_KEY).unwrap();
    let settings = [
        format!("amqp.uri={}", broker.uri()),
        format!("kazoo.sync.crossbar={}", kazoo.uri()),
        format!("kazoo.sync.api_key_file={}", key.display()),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
        "kazoo.sync.settle_ms=20".to_owned(),
        "kazoo.sync.max_gone_percent=100".to_owned(),
    ];
    let mut app = start(&settings).await;
    equal(&kazoo, &app.api).await;
    eventually("the broker is consumed from", LONG, async || {
        let status = app.api.call("GET", "/admin/status", None).await;
        (status.data()["broker"]["state"] == "connected").then_some(())
    })
    .await;
    let publisher = Publisher::connect(&broker.uri()).await;
    kazoo.published();
    kazoo.with(|data| {
        data.enable(&customer, false);
        let hook = data.hook(&customer, json!({"name": "by message"}));
        data.disable_hook(&hook);
        let customers = data.account(&customer, "by message");
        data.delete_account(&customers);
    });
    // The first message is lost; all others arrive twice and in another order.
    let messages: Vec<_> = kazoo.published().into_iter().skip(1).collect();
    for (routing_key, body) in messages.iter().rev().chain(&messages) {
        publisher.publish("configuration", routing_key, body.to_string().as_bytes()).await;
    }
    equal(&kazoo, &app.api).await;
    assert_eq!(status(&app.api).await["full_readings"], 1, "only what was named was read");

    // A third of all messages is lost, a third arrives twice. The account of the last edit gets all of its messages.
    let mut edits = Edits::new(3);
    for _ in 0..20 {
        kazoo.with(|data| edits.edit(data));
        for (routing_key, body) in kazoo.published() {
            for _ in 0..edits.dice.below(3) {
                publisher.publish("configuration", &routing_key, body.to_string().as_bytes()).await;
            }
        }
    }
    kazoo.with(|data| edits.finish(data));
    // A flood of messages about thousands of documents leads to a few full readings, not to thousands.
    let bodies: Vec<Vec<u8>> = (1..=6000).map(edited_by_nobody).collect();
    publisher.publish_all("configuration", "doc_edited.accounts.account.each", &bodies).await;
    equal(&kazoo, &app.api).await;
    let shown = status(&app.api).await;
    assert!(shown["full_readings"].as_u64().unwrap() < 60, "{shown}");
    a_node_that_delivers_webhooks_is_named(&app, &publisher).await;
    publisher.close().await;
    app.stop().await;
}

/// A message about a change of a document that does not exist.
fn edited_by_nobody(number: u128) -> Vec<u8> {
    let id = format!("{number:032x}");
    let body = json!({"Event-Category": "configuration", "Event-Name": "doc_edited", "ID": id, "Database": "accounts",
        "Type": "account", "Rev": "9-a", "Account-ID": id, "Msg-ID": id});
    body.to_string().into_bytes()
}

async fn a_node_that_delivers_webhooks_is_named(app: &TestApp, publisher: &Publisher) {
    // A node of the KAZOO whose webhooks application was forgotten, until it is stopped.
    for apps in [json!({"webhooks": {}}), json!({})] {
        let told = json!({"Event-Category": "nodes", "Event-Name": "advertise", "Expires": 600_000, "Msg-ID": "a",
                          "Node": "kazoo_apps@forgotten", "WhApps": apps});
        eventually("readiness names the node while it delivers", LONG, async || {
            publisher.publish("nodes", "", told.to_string().as_bytes()).await;
            let ready = app.anonymous().call("GET", "/health/ready", None).await;
            let notices = ready.body["notices"].to_string();
            let is_named = notices.contains("kazoo_webhooks") && notices.contains("kazoo_apps@forgotten");
            (is_named != apps.as_object().unwrap().is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_branch_that_is_being_moved_waits_and_one_whose_move_has_stopped_does_not() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (from, to, moved, below) = kazoo.with(|data| {
        let from = data.account(&data.master.clone(), "From");
        let to = data.account(&data.master.clone(), "To");
        let moved = data.account(&from, "Moved");
        let below = data.account(&moved, "Below");
        (from, to, moved, below)
    });
    let mut app = start(&follow(&kazoo, &[])).await;
    equal(&kazoo, &app.api).await;
    kazoo.with(|data| data.begin_move(&moved, &to));
    eventually("the half of the move is seen", LONG, async || {
        (status(&app.api).await["half_moved"] != 0).then_some(())
    })
    .await;
    let parent = |shape: &Shape, id: &str| shape[id][2].as_array().unwrap().last().cloned().unwrap();
    let (master, half) = (kazoo.with(|data| data.master.clone()), here(&app.api).await);
    assert!([json!(from), json!(to)].contains(&parent(&half, &moved)), "{master} {half:#?}");
    assert_eq!(parent(&half, &below), json!(moved));
    // The move has stopped, so the parent of each account decides.
    eventually("the move is taken as it stands", LONG, async || {
        let now = here(&app.api).await;
        (now[&below][2] == json!([master, to, moved])).then_some(())
    })
    .await;
    kazoo.with(|data| data.finish_move(&moved));
    equal(&kazoo, &app.api).await;
    app.stop().await;
}

#[tokio::test]
async fn hooks_imported_once_belong_to_switchhook_afterwards() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (customer, hook, other) = kazoo.with(|data| {
        let customer = data.account(&data.master.clone(), "Customer");
        let hook = data.hook(&customer, json!({"name": "CRM"}));
        let other = data.hook(&customer, json!({"name": "other"}));
        (customer, hook, other)
    });
    let mut app = start(&follow(&kazoo, &["kazoo.sync.hooks=once"])).await;
    equal(&kazoo, &app.api).await;
    let at = |hook: &str| format!("/v2/accounts/{customer}/webhooks/{hook}");
    let mine = app.api.call("PATCH", &at(&hook), Some(json!({"data": {"name": "mine"}}))).await;
    assert_eq!(mine.status, 200, "{mine:?}");
    assert_eq!(app.api.call("DELETE", &at(&other), None).await.status, 200);
    let third = kazoo.with(|data| {
        data.edit("webhooks", &hook, |doc| drop(doc.insert("name".into(), "theirs".into())));
        data.edit("webhooks", &other, |doc| drop(doc.insert("name".into(), "theirs".into())));
        data.edit_account(&customer, |doc| drop(doc.insert("name".into(), "Renamed".into())));
        data.hook(&customer, json!({"name": "third"}))
    });
    eventually("the new hook and the new name are here", LONG, async || {
        let now = here(&app.api).await;
        (now.contains_key(&third) && now[&customer][0] == "Renamed").then_some(())
    })
    .await;
    let now = here(&app.api).await;
    assert_eq!(now[&hook][0], "mine");
    assert!(!now.contains_key(&other), "what was deleted here stays so: {now:#?}");
    let refused = app.api.call("DELETE", &format!("/v2/accounts/{customer}"), None).await;
    assert_eq!(refused.status, 409, "accounts are still KAZOO's: {refused:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_hook_that_a_person_switches_off_and_on_in_kazoo_gets_the_events_from_then_on() {
    let (receiver, kazoo) = (Receiver::start().await, Kazoo::start(Version::V50).await);
    let (customer, hooks) = kazoo.with(|data| {
        let customer = data.account(&data.master.clone(), "Customer");
        let hooks = ["/now", "/held"].map(|path| data.hook(&customer, json!({"uri": receiver.uri(path)})));
        (customer, hooks)
    });
    let mut app = start(&follow(&kazoo, &[])).await;
    equal(&kazoo, &app.api).await;
    let held = format!("/v2/accounts/{customer}/webhooks/{}", hooks[1]);
    let set = app.api.call("PATCH", &held, Some(json!({"data": {"resume": "held"}}))).await;
    assert_eq!(set.status, 200, "{set:?}");
    let of_customer = app.api.below(customer.clone());
    for (number, enabled) in [(1, false), (2, true)] {
        kazoo.with(|data| {
            for hook in &hooks {
                data.edit("webhooks", hook, |doc| drop(doc.insert("enabled".into(), enabled.into())));
            }
        });
        equal(&kazoo, &app.api).await;
        of_customer.publish(&[call_event("CHANNEL_CREATE", &format!("call-{number}"), number)]).await;
    }
    let mut got: Vec<_> =
        receiver.wait_for(3, LONG).await.iter().map(|r| (r.path.clone(), look::number(r))).collect();
    got.sort();
    assert_eq!(got, [("/held".to_owned(), 1), ("/held".to_owned(), 2), ("/now".to_owned(), 2)]);
    app.stop().await;
}

#[tokio::test]
async fn a_full_reading_above_a_limit_is_reported_with_the_key_that_raises_it() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo
        .with(|data| (0..25).for_each(|n| drop(data.account(&data.master.clone(), &format!("account {n}")))));
    let settings = ["kazoo.sync.interval_ms=200", "kazoo.sync.max_accounts=28"];
    let mut app = start(&follow(&kazoo, &settings)).await;
    equal(&kazoo, &app.api).await;
    let notices =
        async || app.anonymous().call("GET", "/health/ready", None).await.body["notices"].to_string();
    // Delete most of them at once.
    let all = here(&app.api).await;
    kazoo.with(|data| data.accounts().iter().take(20).for_each(|account| data.delete_account(account)));
    eventually("the deletions are held up", LONG, async || {
        notices().await.contains("kazoo.sync.max_gone_percent").then_some(())
    })
    .await;
    assert_eq!(here(&app.api).await, all);
    assert!(notices().await.contains("20 accounts are missing"), "{}", notices().await);
    kazoo.with(|data| {
        let master = data.master.clone();
        (0..40).for_each(|number| drop(data.account(&master, &format!("new {number}"))));
    });
    eventually("the limit is named", LONG, async || {
        notices().await.contains("more than 28 accounts; raise kazoo.sync.max_accounts").then_some(())
    })
    .await;
    assert_eq!(here(&app.api).await.len(), all.len(), "what is here stays");
    let metrics = app.api.text("/metrics").await;
    assert!(metrics.contains("switchhook_kazoo_sync_current 0"), "{metrics}");
    app.stop().await;
}

#[tokio::test]
async fn a_lagging_copy_of_the_database_undoes_no_change() {
    let kazoo = Kazoo::start(Version::V50).await;
    let hook = kazoo.with(|data| {
        let customer = data.account(&data.master.clone(), "Customer");
        data.hook(&customer, json!({"name": "CRM"}))
    });
    let mut app = start(&follow(&kazoo, &["kazoo.sync.interval_ms=300"])).await;
    equal(&kazoo, &app.api).await;
    let before = kazoo.with(|data| json!(data.doc("webhooks", &hook).unwrap()));
    kazoo.with(|data| {
        data.edit("webhooks", &hook, |doc| drop(doc.insert("uri".into(), "https://new.example.net/".into())));
    });
    equal(&kazoo, &app.api).await;
    let readings = status(&app.api).await["full_readings"].as_u64().unwrap();
    let row = json!({"id": hook, "key": hook, "value": {"rev": before["_rev"]}, "doc": before});
    // The first page; an empty second page ends the list.
    kazoo.fault("webhooks/_all_docs", Fault::Lie(200, json!({"rows": [row]})), 1);
    eventually("it was read again", LONG, async || {
        (status(&app.api).await["full_readings"].as_u64().unwrap() > readings + 1).then_some(())
    })
    .await;
    equal(&kazoo, &app.api).await;
    let shown = status(&app.api).await;
    assert_eq!((&shown["changes"], &shown["deleted"]), (&json!(4), &json!(0)), "{shown}");
    app.stop().await;
}

#[tokio::test]
async fn a_kazoos_secrets_are_in_no_log_line_file_or_command_line() {
    let kazoo = Kazoo::start_closed(Version::V50).await;
    let customer = kazoo.with(|data| data.account(&data.master.clone(), "Customer"));
    let dir = tempfile::tempdir().unwrap();
    let (data, reader) = (dir.path().join("data"), dir.path().join("reader"));
    std::fs::write(&reader, READER).unwrap();
    let mut settings = follow(&kazoo, &["kazoo.sync.interval_ms=100", "telemetry.filter=trace"]);
    settings.push(format!("kazoo.sync.couch_credentials_file={}", reader.display()));
    let process = Process::serve(&data, &settings).await;
    let api = process.api().await;
    equal(&kazoo, &api).await;
    // Every kind of failure is logged.
    for fault in [Fault::Status(401), Fault::Broken, Fault::Lie(200, json!({"rows": 1})), Fault::Status(500)]
    {
        let failures = status(&api).await["failures"].as_u64().unwrap();
        kazoo.fault("_all_docs", fault, 12);
        eventually("it failed", LONG, async || {
            (status(&api).await["failures"].as_u64().unwrap() > failures).then_some(())
        })
        .await;
        kazoo.mend();
    }
    kazoo.with(|data| data.enable(&customer, false));
    equal(&kazoo, &api).await;
    let mut shown = process.stderr();
    for path in ["/admin/status", "/admin/config", "/admin/audit", "/admin/import"] {
        shown.push_str(&api.call("GET", path, None).await.body.to_string());
    }
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{}/{file}", process.pid())).unwrap();
        shown.push_str(&String::from_utf8_lossy(&text));
    }
    for secret in [ACCOUNT_SECRET, KAZOO_KEY, "s3cret-reader", "cmVhZGVyOnMzY3JldC1yZWFkZXI"] {
        assert!(!shown.contains(secret) && !is_in_files(&data, secret), "{secret}");
    }
    // Credentials in an address are refused, and the refusal does not contain them.
    let uri = kazoo.uri().replace("http://", "http://reader:s3cret-reader@");
    let refused = run(&["serve", "--set", &format!("kazoo.sync.couch={uri}")]).await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.stderr.contains("kazoo.sync.couch") && !refused.stderr.contains("s3cret"), "{refused:?}");
}
