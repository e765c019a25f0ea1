//! `switchhook import kazoo`: accounts and hooks are imported once, whole and without secrets; odd documents are named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{Api, MASTER_KEY, credentials, settings};
use crate::support::kazoo::{ACCOUNT_SECRET, Data, Fault, KAZOO_KEY, Kazoo, READER, Version};
use crate::support::process::{Ended, Process, run};

/// Creates a tree with a reseller, customers and hooks. Returns what it made.
struct Made {
    reseller: String,
    customer: String,
    closed: String,
    hook: String,
    disabled: String,
}

fn fill(data: &mut Data) -> Made {
    let reseller = data.account(&data.master.clone(), "Reseller");
    data.promote(&reseller, true);
    let customer = data.account(&reseller, "Bakker & Zn");
    let closed = data.account(&customer, "Closed");
    data.enable(&closed, false);
    let hook = data.hook(
        &customer,
        json!({"name": "CRM", "include_subaccounts": true, "custom_data": {"tenant": "42"}}),
    );
    let disabled = data.hook(&closed, json!({"name": "dead"}));
    data.disable_hook(&disabled);
    Made { reseller, customer, closed, hook, disabled }
}

/// Runs an import to its end.
async fn import(dir: &Path, args: &[&str]) -> Ended {
    let mut all = vec!["import".to_owned(), "kazoo".to_owned()];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    all.extend(settings(dir, &[]).into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
    run(&all).await
}

fn report(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout.join("\n")).unwrap_or_else(|_| panic!("{ended:?}"))
}

async fn imported(dir: &Path, args: &[&str]) -> Value {
    report(&import(dir, &[args, &["--json"]].concat()).await)
}

fn kinds(report: &Value) -> Vec<&str> {
    report["odd"].as_array().unwrap().iter().map(|odd| odd["what"].as_str().unwrap()).collect()
}

fn changes(report: &Value) -> Vec<String> {
    let text = |line: &Value| format!("{} {} {}", line["action"], line["kind"], line["id"]).replace('"', "");
    report["changes"].as_array().unwrap().iter().map(text).collect()
}

fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn data_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

async fn account(api: &Api, id: &str) -> Value {
    let answer = api.call("GET", &format!("/v2/accounts/{id}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

async fn hook(api: &Api, account: &str, id: &str) -> Value {
    api.call("GET", &format!("/v2/accounts/{account}/webhooks/{id}"), None).await.data().clone()
}

/// Whether a text is in any file below a directory.
pub(super) fn is_in_files(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_files(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn accounts_and_hooks_are_imported_completely_without_secrets_and_a_second_import_changes_nothing() {
    let kazoo = Kazoo::start_closed(Version::V50).await;
    let made = kazoo.with(fill);
    let (dir, data) = data_dir();
    let reader = file(&dir, "reader", READER);
    let (uri, reader) = (kazoo.uri(), reader.to_str().unwrap().to_owned());
    let from = ["--couch", &uri, "--couch-credentials-file", &reader];

    let dry = imported(&data, &[&from[..], &["--dry-run"]].concat()).await;
    assert_eq!(dry["counts"]["account"]["new"], 4, "{dry}");
    assert!(!data.exists(), "a dry run makes nothing");
    assert!(dry["warning"].as_str().unwrap().contains("kazoo.mode = \"shadow\""), "{dry}");
    let beside = [&from[..], &["--dry-run", "--set", "kazoo.mode=shadow"]].concat();
    assert!(imported(&data, &beside).await["warning"].is_null());
    let first = import(&data, &from).await;
    assert_eq!(first.code, Some(0), "{first:?}");
    let shown = format!("{}{}", first.stdout.join("\n"), first.stderr);
    assert!(shown.contains("Bakker & Zn") && shown.contains("6 documents written"), "{shown}");
    for secret in [ACCOUNT_SECRET, KAZOO_KEY, "s3cret-reader"] {
        assert!(!shown.contains(secret) && !is_in_files(&data, secret), "{secret}");
    }

    let again = imported(&data, &from).await;
    assert_eq!((&again["made"], changes(&again).len()), (&json!(0), 0), "{again}");
    assert!(again["warning"].is_null(), "no hook is new");

    let process = Process::serve(&data, &[]).await;
    let api = process.api().await;
    assert_eq!(api.account, kazoo.with(|data| data.master.clone()));
    let customer = account(&api, &made.customer).await;
    assert_eq!(
        (&customer["name"], &customer["realm"], &customer["enabled"], &customer["reseller_id"]),
        (&json!("Bakker & Zn"), &json!("bakkerzn.example.com"), &json!(true), &json!(made.reseller)),
    );
    let closed = account(&api, &made.closed).await;
    assert_eq!((&closed["enabled"], &closed["reseller_id"]), (&json!(false), &json!(made.reseller)));
    assert_eq!(account(&api, &made.reseller).await["is_reseller"], true);
    let on = hook(&api, &made.customer, &made.hook).await;
    assert_eq!(
        (&on["name"], &on["include_subaccounts"], &on["custom_data"]["tenant"], &on["enabled"]),
        (&json!("CRM"), &json!(true), &json!("42"), &json!(true)),
    );
    let off = hook(&api, &made.closed, &made.disabled).await;
    assert_eq!(
        (&off["enabled"], &off["disable_reason"]),
        (&json!(false), &json!("too many failed attempts"))
    );
    // KAZOO has announced all of this, so nothing is announced again.
    let events = api.call("GET", &format!("/v2/accounts/{}/events", api.account), None).await;
    assert_eq!(events.data().as_array().map(Vec::len), Some(0), "{events:?}");
}

#[tokio::test]
async fn imports_from_database_api_and_file_are_equal_and_a_later_import_applies_what_changed() {
    for version in [Version::V50, Version::V43] {
        let kazoo = Kazoo::start(version).await;
        let made = kazoo.with(fill);
        kazoo.with(|data| {
            data.system_limits(json!({"attempt_failure_count": 9, "attempt_failure_expiry_ms": 90_000}));
            data.limits(&made.reseller, json!({"attempt_failure_count": 20}));
            data.limits(&made.closed, json!({"attempt_failure_expiry_ms": 1000}));
        });
        let (dir, data) = data_dir();
        let key = file(&dir, "key", KAZOO_KEY);
        let saved = dir.path().join("kazoo.jsonl");
        let (uri, key, saved) = (kazoo.uri(), key.to_str().unwrap(), saved.to_str().unwrap());
        let couch = ["--couch", uri.as_str()];
        let api = ["--crossbar", uri.as_str(), "--api-key-file", key];
        let first = imported(&data, &couch).await;
        assert_eq!((first["made"].as_u64(), kinds(&first).len()), (Some(6), 0), "{first}");
        let by_api = imported(&data, &api).await;
        assert_eq!(changes(&by_api), Vec::<String>::new(), "{by_api}");
        assert_eq!(import(&data, &[&api[..], &["--save", saved]].concat()).await.code, Some(0));
        assert!(!std::fs::read_to_string(saved).unwrap().contains(ACCOUNT_SECRET));
        assert_eq!(changes(&imported(&data, &["--file", saved]).await), Vec::<String>::new());

        // An import over the API into a new data directory has the same content as one from the database.
        let (_other, elsewhere) = data_dir();
        imported(&elsewhere, &api).await;
        assert_eq!(changes(&imported(&elsewhere, &couch).await), Vec::<String>::new());

        kazoo.with(|data| {
            data.edit_account(&made.customer, |doc| drop(doc.insert("name".into(), "Bakker".into())));
            data.enable_hook(&made.disabled);
            data.delete_hook(&made.hook);
            data.begin_move(&made.customer, &data.master.clone());
            data.finish_move(&made.customer);
        });
        let mut expected = [
            format!("changed account {}", made.customer),
            format!("changed account {}", made.closed),
            format!("changed hook {}", made.disabled),
            format!("gone hook {}", made.hook),
        ];
        expected.sort();
        let mut then = changes(&imported(&data, &[&api[..], &["--dry-run"]].concat()).await);
        then.sort();
        assert_eq!(then, expected);
        let then = imported(&data, &couch).await;
        assert_eq!((&then["made"], &then["deleted"]), (&json!(3), &json!(1)), "{then}");
        kazoo.with(|data| data.delete_account(&made.closed));
        let last = imported(&data, &api).await;
        assert_eq!((&last["made"], &last["deleted"]), (&json!(0), &json!(1)), "{last}");
    }
}

#[tokio::test]
async fn an_import_into_a_running_program_uses_its_api() {
    let kazoo = Kazoo::start(Version::V50).await;
    let made = kazoo.with(fill);
    let master = kazoo.with(|data| data.master.clone());
    let (dir, data) = data_dir();
    let process = Process::serve(&data, &[format!("accounts.master_id={master}")]).await;
    let (key, uri) = (file(&dir, "key", MASTER_KEY), kazoo.uri());
    let into = format!("http://{}", process.address());
    let args = ["--couch", &uri, "--into", &into, "--key-file", key.to_str().unwrap()];
    assert_eq!(imported(&data, &[&args[..], &["--dry-run"]].concat()).await["counts"]["hook"]["new"], 2);
    assert_eq!(imported(&data, &args).await["made"], 6);
    let api = process.api().await;
    assert_eq!(hook(&api, &made.customer, &made.hook).await["name"], "CRM");
    kazoo.with(|data| data.delete_hook(&made.hook));
    let second = imported(&data, &args).await;
    assert_eq!((&second["made"], &second["deleted"]), (&json!(0), &json!(1)), "{second}");
    // More than one request holds.
    let text = "x".repeat(60_000);
    kazoo.with(|data| {
        for _ in 0..140 {
            data.hook(&made.customer, json!({"custom_data": {"text": text}}));
        }
    });
    assert_eq!(imported(&data, &args).await["made"], 140);
    assert_eq!(imported(&data, &args).await["made"], 0);

    // Two imports at once: each change is made once, and what one of them finds changed meanwhile is refused by name.
    kazoo.with(|data| {
        (0..60).for_each(|number| drop(data.account(&made.customer, &format!("customer {number}"))));
    });
    let (one, two) = tokio::join!(import(&data, &args), import(&data, &args));
    for ended in [one, two] {
        assert!(matches!(ended.code, Some(0 | 1)) && !ended.stderr.contains("panic"), "{ended:?}");
    }
    assert_eq!(changes(&imported(&data, &args).await), Vec::<String>::new());

    // Without its address the import finds the directory in use, and says what to do.
    let blocked = import(&data, &["--couch", &uri]).await;
    assert_eq!(blocked.code, Some(1));
    assert!(blocked.stderr.contains("in use") && blocked.stderr.contains("--into"), "{}", blocked.stderr);
    // Another account's key is refused.
    let (_, path) = api.tenant_and_key("tenant").await;
    let tenant = api.call("POST", &format!("{path}/rotate"), None).await;
    let tenant = file(&dir, "tenant", tenant.data()["api_key"].as_str().unwrap());
    let refused =
        import(&data, &["--couch", &uri, "--into", &into, "--key-file", tenant.to_str().unwrap()]).await;
    assert_eq!(refused.code, Some(1));
}

#[tokio::test]
async fn a_kazoo_with_another_master_account_is_refused_with_the_remedy() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (_dir, data) = data_dir();
    drop(Process::serve(&data, &[]).await);
    let refused = import(&data, &["--couch", &kazoo.uri()]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("accounts.master_id"), "{}", refused.stderr);
    // A later start does not change it either.
    let asked = format!("accounts.master_id={}", kazoo.with(|data| data.master.clone()));
    let ended = Process::spawn_serve(&data, &[asked]).ended(Duration::from_secs(30)).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("cannot change"), "{ended:?}");
}

#[tokio::test]
async fn a_busy_a_breaking_and_a_stingy_server_are_read_to_the_end() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| {
        let made = fill(data);
        for number in 0..20 {
            data.account(&made.reseller, &format!("customer {number}"));
        }
    });
    // The master account exists already.
    let expected = 23;
    kazoo.fault("accounts/_all_docs", Fault::Status(429), 1);
    kazoo.fault("accounts/_all_docs", Fault::Broken, 1);
    kazoo.fault("accounts/_all_docs", Fault::Short(7), 2);
    kazoo.fault("accounts/_all_docs", Fault::Status(500), 1);
    kazoo.fault("accounts/_all_docs", Fault::Slow(Duration::from_millis(50)), 1);
    kazoo.fault("webhooks/_all_docs", Fault::Broken, 2);
    let (_dir, data) = data_dir();
    let uri = kazoo.uri();
    let first = imported(&data, &["--couch", &uri]).await;
    assert_eq!(first["counts"]["account"]["new"], expected, "{first}");
    // A server that keeps refusing is an error, and nothing changes.
    kazoo.fault("webhooks/_all_docs", Fault::Status(403), 1);
    let refused = import(&data, &["--couch", &uri]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("403"), "{refused:?}");
    // An empty list deletes nothing, because each document is then requested by its id, and exists.
    kazoo.fault("webhooks/_all_docs", Fault::Empty, 1);
    let lied_to = imported(&data, &["--couch", &uri]).await;
    assert_eq!(
        (&lied_to["counts"]["hook"]["gone"], &lied_to["deleted"]),
        (&json!(2), &json!(0)),
        "{lied_to}"
    );
    assert_eq!(kinds(&lied_to), ["kept", "kept"]);
    // If more is missing than may be deleted at once, nothing is requested or deleted.
    kazoo.fault("accounts/_all_docs", Fault::Empty, 1);
    let none = imported(&data, &["--couch", &uri]).await;
    assert_eq!((&none["deleted"], kinds(&none).contains(&"kept")), (&json!(0), true), "{none}");
    kazoo.fault("accounts/_all_docs", Fault::Short(1), 1);
    kazoo.fault("accounts/_all_docs", Fault::Empty, 1);
    let short = imported(&data, &["--couch", &uri]).await;
    assert_eq!((&short["deleted"], kinds(&short).contains(&"kept")), (&json!(0), true), "{short}");
    assert!(imported(&data, &["--couch", &uri]).await["changes"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn odd_documents_are_named_and_all_others_are_imported() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (made, ids) = kazoo.with(|data| {
        let made = fill(data);
        let master = data.master.clone();
        let ids: Vec<String> = (0..8).map(|number| data.account(&master, &format!("odd {number}"))).collect();
        let nobody = data.new_id();
        // 0: orphan; 1: stub; 2: copy is missing; 3, 4: one realm; 5: no name; 6: second root; 7: half moved below it
        data.edit_account(&ids[0], |doc| drop(doc.insert("pvt_tree".into(), json!([master, nobody]))));
        data.put("accounts", &ids[1], json!({"pvt_enabled": true}));
        data.remove("accounts", &ids[2], true);
        data.edit_account(&ids[3], |doc| drop(doc.insert("realm".into(), "same.example.com".into())));
        data.edit_account(&ids[4], |doc| drop(doc.insert("realm".into(), "SAME.example.com".into())));
        data.edit_account(&ids[5], |doc| drop(doc.remove("name")));
        data.edit_account(&ids[6], |doc| drop(doc.insert("pvt_tree".into(), json!([]))));
        data.edit_account(&ids[7], |doc| {
            drop(doc.insert("pvt_tree".into(), json!([master, nobody, made.reseller])));
        });
        data.hook(&nobody, json!({}));
        data.hook(&made.customer, json!({"hook": "moon_phase"}));
        data.hook(&made.customer, json!({"uri": "http://10.1.2.3/inside", "name": "inside"}));
        data.hook(&made.customer, json!({"custom_data": {"big": "x".repeat(100_000)}}));
        data.put("accounts", "not-an-id", json!({"pvt_type": "account", "pvt_tree": []}));
        (made, ids)
    });
    let (_dir, data) = data_dir();
    let report = imported(&data, &["--couch", &kazoo.uri()]).await;
    let mut found = kinds(&report);
    found.sort_unstable();
    let expected = [
        "half_moved",
        "hook_of_gone",
        "id_refused",
        "no_name",
        "orphan",
        "realm_twice",
        "second_root",
        "stub",
        "too_large",
        "unknown_family",
        "uri_refused",
    ];
    assert_eq!(found, expected, "{report}");
    let process = Process::serve(&data, &[]).await;
    let api = process.api().await;
    for (id, is_here) in ids.iter().zip([false, true, false, true, true, true, false, true]) {
        let status = api.call("GET", &format!("/v2/accounts/{id}"), None).await.status;
        assert_eq!(status, if is_here { 200 } else { 404 }, "{id}");
    }
    assert_eq!(
        account(&api, &ids[1]).await["name"],
        "odd 1",
        "the account's own database has the complete document"
    );
    let realms = [&ids[3], &ids[4]].map(async |id| account(&api, id).await.get("realm").is_some());
    let [first, second] = realms;
    assert!(first.await && !second.await, "the older account keeps the realm");
    let above = api.call("GET", &format!("/v2/accounts/{}/tree", ids[7]), None).await;
    assert_eq!(above.data().as_array().unwrap().len(), 2, "{above:?}");
    let hooks = api.call("GET", &format!("/v2/accounts/{}/webhooks", made.customer), None).await;
    assert_eq!(hooks.data().as_array().unwrap().len(), 2, "the CRM and the one inside: {hooks:?}");
}

/// Makes the list of accounts larger than an answer may be, however small a page is, and this account's document too.
fn grow(kazoo: &Kazoo, id: &str, times: usize) {
    // The master account is the first of the list. Then pages of 500, 250, … 1 are asked for.
    kazoo.faults("accounts/_all_docs", vec![(Fault::Short(1), 1), (Fault::Endless, 9)]);
    kazoo.fault(&format!("accounts/{id}"), Fault::Endless, times);
}

#[tokio::test]
async fn documents_too_large_to_read_and_parts_without_permission_are_named_and_nothing_is_lost_by_them() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (first, limited) = kazoo.with(|data| {
        let master = data.master.clone();
        (0..4).for_each(|number| drop(data.account(&master, &format!("customer {number}"))));
        let all = data.accounts();
        assert!(all[0] > master);
        data.limits(&all[2], json!({"attempt_failure_count": 7}));
        (all[0].clone(), all[2].clone())
    });
    let (_dir, data) = data_dir();
    let uri = kazoo.uri();
    // Together with its neighbour the document is too large, alone it is not.
    grow(&kazoo, &first, 0);
    assert_eq!(imported(&data, &["--couch", &uri]).await["made"], 5);
    // An account that has grown too large is not taken for a deleted one, and limits that may not be read any more stay.
    grow(&kazoo, &first, 2);
    kazoo.fault(&format!("{}/configs_webhooks", &limited[4..]), Fault::Status(403), usize::MAX);
    let second = imported(&data, &["--couch", &uri]).await;
    assert_eq!((&second["made"], &second["deleted"]), (&json!(0), &json!(0)), "{second}");
    let mut odd = kinds(&second);
    odd.sort_unstable();
    assert_eq!(odd, ["kept", "not_read", "too_large"], "{second}");
    assert!(second["odd"].to_string().contains("1 accounts"), "{second}");
}

#[tokio::test]
async fn users_log_in_with_the_passwords_that_they_have_and_only_when_asked_for() {
    let kazoo = Kazoo::start(Version::V50).await;
    let (made, user) = kazoo.with(|data| {
        let made = fill(data);
        let user = data.user(&made.customer, "anna", "correct horse", "admin");
        (made, user)
    });
    let (_dir, data) = data_dir();
    let uri = kazoo.uri();
    assert!(imported(&data, &["--couch", &uri]).await["counts"]["user"].is_null());
    assert_eq!(imported(&data, &["--couch", &uri, "--users"]).await["made"], 1);
    assert_eq!(imported(&data, &["--couch", &uri, "--users"]).await["made"], 0, "the same revision");
    let hash = credentials("anna", "correct horse");
    assert!(!is_in_files(&data, &hash), "the hash is as good as the password");
    let process = Process::serve(&data, &[]).await;
    let api = process.api().await;
    let body = json!({"data": {"credentials": hash, "account_name": "Bakker & Zn"}});
    let answer = api.call("PUT", "/v2/user_auth", Some(body)).await;
    assert_eq!((answer.status, &answer.data()["owner_id"]), (201, &json!(user)), "{answer:?}");
    assert_eq!(answer.data()["account_id"], made.customer);
}

#[tokio::test]
async fn on_a_terminal_an_import_shows_how_far_it_is() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(fill);
    kazoo.fault("webhooks/_all_docs", Fault::Slow(Duration::from_millis(400)), 1);
    let (_dir, data) = data_dir();
    let set = settings(&data, &[]).into_iter().map(|setting| format!("--set '{setting}'"));
    let set = set.collect::<Vec<_>>().join(" ");
    let switchhook = env!("CARGO_BIN_EXE_switchhook");
    let command = format!("{switchhook} import kazoo --dry-run --couch {} {set}", kazoo.uri());
    let words = ["script", "--quiet", "--return", "--flush", "--command", &command, "/dev/null"];
    let ended = Process::spawn_words(&words, &[]).ended(Duration::from_secs(60)).await;
    let shown = ended.stdout.join("\n");
    assert!(ended.code == Some(0) && shown.contains("reading accounts"), "{ended:?}");
    assert!(shown.contains("Nothing was changed"), "{shown}");
}

#[tokio::test]
async fn credentials_are_taken_from_files_and_the_environment_and_never_from_an_address() {
    let kazoo = Kazoo::start_closed(Version::V50).await;
    let (dir, data) = data_dir();
    let open = import(&data, &["--couch", &kazoo.uri(), "--dry-run"]).await;
    assert!(open.code == Some(1) && open.stderr.contains("401"), "{open:?}");
    let inside = kazoo.uri().replace("http://", &format!("http://{READER}@"));
    let refused = import(&data, &["--couch", &inside, "--dry-run"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("file or the environment"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("s3cret-reader"), "{refused:?}");
    let wrong = file(&dir, "wrong", &"0".repeat(64));
    let (uri, wrong) = (kazoo.uri(), wrong.to_str().unwrap().to_owned());
    let refused = import(&data, &["--crossbar", &uri, "--api-key-file", &wrong, "--dry-run"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("401"), "{refused:?}");
    for (source, name, value) in [
        ("--couch", "SWITCHHOOK_COUCH_CREDENTIALS", READER),
        ("--crossbar", "SWITCHHOOK_KAZOO_API_KEY", KAZOO_KEY),
    ] {
        let set = settings(&data, &[]).into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        let words = [env!("CARGO_BIN_EXE_switchhook"), "import", "kazoo", "--dry-run", source, &uri];
        let words: Vec<String> = words.map(str::to_owned).into_iter().chain(set).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let environment = [(name, value.to_owned())];
        let read = Process::spawn_words(&words, &environment).ended(Duration::from_secs(60)).await;
        assert_eq!(read.code, Some(0), "{name}: {read:?}");
    }
}

#[tokio::test]
async fn an_imported_hook_gets_the_calls_from_then_on_and_limits_count_as_in_kazoo() {
    use crate::support::receiver::{Mood, Receiver};
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let kazoo = Kazoo::start(Version::V50).await;
    let (made, hook) = kazoo.with(|data| {
        let made = fill(data);
        data.system_limits(json!({"attempt_failure_count": 2}));
        let hook = data.hook(&made.customer, json!({"uri": receiver.uri("/in"), "name": "watched"}));
        (made, hook)
    });
    let (_dir, data) = data_dir();
    imported(&data, &["--couch", &kazoo.uri()]).await;
    let process = Process::serve(&data, &[]).await;
    let api = process.api().await.below(made.customer.clone());
    api.publish(&[crate::support::app::call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    let attempts = receiver.wait_for(2, Duration::from_secs(20)).await;
    assert_eq!(attempts[0].path, "/in");
    crate::support::wait::eventually(
        "the second failure disables the hook",
        Duration::from_secs(20),
        async || {
            let doc = self::hook(&api, &made.customer, &hook).await;
            (doc["enabled"] == false).then_some(())
        },
    )
    .await;
    // A hook that this program disabled does not count as changed in KAZOO.
    drop(process);
    assert_eq!(changes(&imported(&data, &["--couch", &kazoo.uri()]).await), Vec::<String>::new());
}
