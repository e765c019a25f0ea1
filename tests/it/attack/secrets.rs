//! Secrets: other users of the machine cannot read the program's files, plain users of an account cannot read the
//! secrets of its admins, refusals contain nothing that was sent, and strangers learn nothing about single accounts.

use std::fs::{Permissions, create_dir, metadata, read_dir, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp, call_event, credentials};
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// All files at and below `path` for which the group or others have a permission.
fn wider(path: &Path) -> Vec<String> {
    // The program works meanwhile and removes what it no longer needs.
    let Ok(meta) = metadata(path) else { return Vec::new() };
    let mode = meta.permissions().mode() & 0o777;
    let mut found = Vec::new();
    if mode & 0o077 != 0 {
        found.push(format!("{} {mode:o}", path.display()));
    }
    if meta.is_dir() {
        found.extend(read_dir(path).unwrap().flat_map(|entry| wider(&entry.unwrap().path())));
    }
    found
}

#[tokio::test]
async fn no_file_of_the_program_is_readable_by_other_users() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // Tests inherit the usual umask of 022. A directory of an older version has mode 0755, and its files 0644.
    create_dir(&data).unwrap();
    set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let old = data.join("master.key.old");
    write(&old, "secret").unwrap();
    set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
    let mut process = Process::serve(&data, &[]).await;
    let api = process.api().await;
    api.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
    assert_eq!(wider(&data), Vec::<String>::new());
    assert!(process.stderr().contains("now they cannot"), "{}", process.stderr());
    process.kill();
}

/// The command that starts a program with a umask.
fn under(umask: &str, program: &[&str]) -> Vec<String> {
    let script = format!("umask {umask} && exec \"$@\"");
    ["sh", "-c", &script, "sh"].iter().chain(program).map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn no_written_file_is_readable_by_others_whatever_the_umask() {
    for umask in ["022", "000"] {
        let dir = tempfile::tempdir().unwrap();
        let [data, copy, restored] = ["data", "copy", "restored"].map(|name| dir.path().join(name));
        let mut process =
            Process::serve_under(&under(umask, &[]), &data, &["log.segment_bytes=65536".to_owned()]).await;
        let api = process.api().await;
        api.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
        for n in 0..20 {
            api.publish(&[call_event("CHANNEL_CREATE", &"c".repeat(4000), n)]).await;
        }
        assert_eq!(wider(&data), Vec::<String>::new(), "{umask}");
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let backup = ["backup".to_owned(), text(&copy), "--data-dir".to_owned(), text(&data)];
        assert_eq!(Process::spawn_under(&under(umask, &[]), &backup).ended(LONG).await.code, Some(0));
        assert_eq!(wider(&copy), Vec::<String>::new(), "{umask}");
        process.kill();
        let restore = ["restore".to_owned(), text(&copy), text(&restored)];
        assert_eq!(Process::spawn_under(&under(umask, &[]), &restore).ended(LONG).await.code, Some(0));
        assert_eq!(wider(&restored), Vec::<String>::new(), "{umask}");
        let mut again = Process::serve_under(&under(umask, &[]), &restored, &[]).await;
        assert_eq!(wider(&restored), Vec::<String>::new(), "{umask}");
        again.kill();
    }
}

/// Another user, as whom `setpriv` starts the program when root runs the tests.
const OTHER: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=1000", "--clear-groups"];

/// A directory of root with this mode and group, which another user can enter; `None` unless root runs the tests.
fn of_root(mode: u32) -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let data = dir.path().join("data");
    create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(0), Some(1000)).ok()?;
    set_permissions(&data, Permissions::from_mode(mode)).unwrap();
    Some(dir)
}

#[tokio::test]
async fn a_volume_owned_by_a_group_can_be_used_and_new_files_on_it_are_private() {
    for mode in [0o2775, 0o770] {
        let Some(dir) = of_root(mode) else { return };
        let data = dir.path().join("data");
        // File systems have this directory at the root of a volume.
        create_dir(data.join("lost+found")).unwrap();
        set_permissions(data.join("lost+found"), Permissions::from_mode(0o700)).unwrap();
        let by: Vec<String> = OTHER.map(str::to_owned).into();
        let mut process = Process::serve_under(&by, &data, &[]).await;
        process.api().await.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
        assert_eq!(process.said("belongs to another user"), 1, "{}", process.stderr());
        process.kill();
        let wider = wider(&data);
        assert_eq!(wider.len(), 1, "the directory itself alone: {wider:?}");
        // Like `fsGroup` at each start of a pod: the group gets all permissions again.
        let opened = std::process::Command::new("chmod").args(["-R", "g+rwX"]).arg(&data).status().unwrap();
        assert!(opened.success());
        let mut again = Process::serve_under(&by, &data, &[]).await;
        again.kill();
        let mine = |found: &String| !found.contains("lost+found");
        assert_eq!(wider.iter().filter(|f| mine(f)).count(), 1, "{wider:?}");
    }
}

#[tokio::test]
async fn a_world_writable_directory_whose_mode_cannot_be_changed_is_refused_by_name() {
    let Some(dir) = of_root(0o777) else { return };
    let data = dir.path().join("data");
    let by: Vec<String> = OTHER.map(str::to_owned).into();
    let args = ["serve".to_owned(), "--set".to_owned(), format!("data_dir={}", data.display())];
    let ended = Process::spawn_under(&by, &args).ended(LONG).await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("may be read or written by other users"), "{}", ended.stderr);
    assert!(ended.stderr.contains(data.to_str().unwrap()), "{}", ended.stderr);
}

/// The text that every planted secret contains.
const PLANTED: &str = "s3cretplant";

/// A client with the token of a plain user of an account.
async fn plain_user(app: &TestApp, admin: &Api) -> Api {
    let user = json!({
        "username": "plain", "password": "correct horse", "priv_level": "user", "first_name": "A", "last_name": "B",
    });
    let made = admin.own("PUT", "/users", Some(json!({"data": user}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let account = admin.own("GET", "", None).await;
    let data = json!({
        "credentials": credentials("plain", "correct horse"), "account_name": account.data()["name"],
    });
    let logged_in = app.anonymous().call("PUT", "/v2/user_auth", Some(json!({"data": data}))).await;
    admin.clone().with_token(logged_in.body["auth_token"].as_str().unwrap())
}

/// Creates a tenant with a hook that has secrets in every field, and a dead delivery of that hook.
struct Planted {
    app: TestApp,
    admin: Api,
    plain: Api,
    hook: String,
    uri: String,
}

async fn planted() -> Planted {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(
        500,
        &[("set-cookie", PLANTED), ("location", &format!("/?x={PLANTED}"))],
        "no",
    ));
    let app = TestApp::with(&["disable.failure_count=0", "telemetry.filter=debug"]).await;
    let admin = app.api.tenant("tenant").await;
    let port = receiver.address().port();
    let uri = format!("http://me:{PLANTED}@127.0.0.1:{port}/hook?key={PLANTED}&{PLANTED}#{PLANTED}");
    let hook = admin
        .hook(json!({
            "uri": uri, "secret": format!("whsec_{}", PLANTED.repeat(4)), "retries": 1,
            "headers": {"x-any": PLANTED, "x-api-key": PLANTED},
            "custom_request_headers": {"x-other": PLANTED},
            "custom_data": {"password": PLANTED},
        }))
        .await;
    admin.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let dead = format!("/webhooks/{hook}/dead");
    eventually("the delivery is dead", LONG, || async {
        let listed = admin.own("GET", &dead, None).await;
        listed.data().as_array().is_some_and(|rows| !rows.is_empty()).then_some(())
    })
    .await;
    let sent = &receiver.requests()[0];
    assert!(sent.header("authorization").is_some() && sent.header("x-any") == Some(PLANTED), "{sent:?}");
    let plain = plain_user(&app, &admin).await;
    Planted { app, admin, plain, hook, uri }
}

#[tokio::test]
async fn a_plain_user_reads_no_secret_on_any_route() {
    let Planted { mut app, admin, plain, hook, .. } = planted().await;
    let paths = [
        String::new(),
        "/webhooks".to_owned(),
        "/webhooks?paginate=false".to_owned(),
        "/webhooks?is_chunked=true".to_owned(),
        format!("/webhooks/{hook}"),
        "/webhooks/attempts".to_owned(),
        "/webhooks/attempts?is_chunked=true".to_owned(),
        format!("/webhooks/{hook}/attempts"),
        format!("/webhooks/{hook}/queue"),
        format!("/webhooks/{hook}/replay"),
        format!("/webhooks/{hook}/dead"),
        "/events".to_owned(),
        "/users".to_owned(),
        "/api_keys".to_owned(),
        "/websockets".to_owned(),
    ];
    for path in &paths {
        for accept in ["application/json", "text/csv"] {
            let path = format!("/v2/accounts/{}{path}", admin.account);
            let text = plain.raw("GET", &path, &[("accept", accept)]).await;
            assert!(!text.contains(PLANTED), "{path} as {accept}: {text}");
        }
    }
    for verb in ["POST", "PATCH", "DELETE"] {
        for path in [format!("/webhooks/{hook}"), format!("/webhooks/{hook}/test")] {
            let path = format!("/v2/accounts/{}{path}", admin.account);
            let refused = plain.call(verb, &path, Some(json!({"data": {}}))).await;
            assert!(!refused.body.to_string().contains(PLANTED), "{refused:?}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_plain_user_cannot_find_a_secret_with_a_filter_and_an_admin_can_read_it() {
    let Planted { mut app, admin, plain, hook, uri } = planted().await;
    let host = uri.split(['@', '/']).nth(3).unwrap();
    let masked = format!("http://***@{host}/hook?key=***&***#***");
    // A filter does not reveal one either.
    let asked = format!("/webhooks?filter_uri={}", uri.replace('#', "%23").replace('&', "%26"));
    assert_eq!(plain.own("GET", &asked, None).await.data(), &json!([]));
    let listed = plain.own("GET", "/webhooks", None).await;
    assert_eq!(listed.data()[0]["uri"], masked);
    let attempts = plain.own("GET", "/webhooks/attempts", None).await;
    assert_eq!(attempts.data()[0]["req_headers"]["x-hook-id"], hook.as_str());

    let shown = admin.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(shown.data()["uri"], uri.as_str());
    assert_eq!(shown.data()["headers"]["x-any"], PLANTED);
    let audit = app.api.call("GET", "/admin/audit", None).await;
    assert!(audit.data().as_array().unwrap().iter().any(|row| row["id"] == hook.as_str()), "{audit:?}");
    assert!(!audit.body.to_string().contains(PLANTED), "{audit:?}");
    app.stop().await;
}

#[tokio::test]
async fn no_secret_of_a_hook_is_in_the_log() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let dir = tempfile::tempdir().unwrap();
    let filter = "telemetry.filter=info,switchhook=trace".to_owned();
    let process = Process::serve(dir.path(), &[filter]).await;
    let api = process.api().await;
    let uri = format!("http://me:{PLANTED}@{}/hook?key={PLANTED}", receiver.address());
    let hook = api.hook(json!({"uri": uri, "headers": {"authorization": PLANTED}, "retries": 1})).await;
    api.hook(json!({"uri": format!("http://me:{PLANTED}@127.0.0.1:9/?key={PLANTED}"), "retries": 1})).await;
    let events: Vec<Value> = (0..8).map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n)).collect();
    api.publish(&events).await;
    eventually("the hook is disabled", LONG, || async {
        (api.queue(&hook).await["state"] == "auto_disabled").then_some(())
    })
    .await;
    api.own("POST", &format!("/webhooks/{hook}/test"), Some(json!({"data": {}}))).await;
    process.terminate();
    let ended = process.ended(LONG).await;
    assert!(ended.stderr.contains("disabled"), "the log says something: {}", ended.stderr);
    assert!(!ended.stderr.contains(PLANTED), "{}", ended.stderr);
}

#[tokio::test]
async fn no_refusal_contains_the_key_or_password_that_was_sent() {
    let mut app = TestApp::start().await;
    let key = PLANTED.repeat(6)[..64].to_owned();
    let odd =
        [json!({"x": PLANTED}), json!([PLANTED]), json!({"password": [PLANTED]}), json!(73_125_986_u64)];
    let whole = |value: &Value| value.to_string().contains(PLANTED) || value.to_string().contains("73125986");
    let mut answers: Vec<(String, Answer)> = Vec::new();
    let mut ask = async |verb: &str, path: &str, body: Value| {
        let answer = app.api.call(verb, path, Some(body.clone())).await;
        answers.push((format!("{verb} {path} {body}"), answer));
        let answer = app.anonymous().call(verb, path, Some(body.clone())).await;
        answers.push((format!("{verb} {path} {body} without a token"), answer));
    };
    let account = format!("/v2/accounts/{}", app.api.account);
    let (users, hooks) = (format!("{account}/users"), format!("{account}/webhooks"));
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    let of_hook = format!("{hooks}/{hook}");
    ask("PUT", "/v2/api_auth", json!({"data": {"api_key": key}})).await;
    for bad in &odd {
        ask("PUT", "/v2/api_auth", json!({"data": {"api_key": bad}})).await;
        ask("PUT", "/v2/user_auth", json!({"data": {"credentials": bad, "account_name": "a"}})).await;
        ask("PUT", "/v2/user_auth", json!({"data": {"credentials": bad, "method": "md5", "password": bad}}))
            .await;
        ask("POST", "/v2/auth/tokeninfo", json!({"data": {"token": bad}})).await;
        ask("PUT", &users, json!({"data": {"username": "u", "password": bad}})).await;
        for (verb, path) in [("PUT", &hooks), ("POST", &of_hook), ("PATCH", &of_hook)] {
            ask(verb, path, json!({"data": {"secret": bad, "headers": bad, "custom_request_headers": bad}}))
                .await;
            ask(verb, path, json!({"data": {"headers": {"x-any": bad}}})).await;
        }
        // Bodies that are not an envelope.
        for (verb, path) in [("PUT", "/v2/api_auth"), ("PUT", "/v2/user_auth"), ("PUT", users.as_str())] {
            ask(verb, path, bad.clone()).await;
            ask(verb, path, json!({"passwort": bad})).await;
            ask(verb, path, json!({"data": PLANTED})).await;
            ask(verb, path, json!({"data": [bad]})).await;
        }
    }
    for uri in [
        "http://me:PW@[/",
        "ftp://me:PW@a.example/",
        "http://me:PW@a b/?k=PW",
        "http://me:PW@127.0.0.1:99999/",
    ] {
        let uri = uri.replace("PW", PLANTED);
        ask("PUT", &hooks, json!({"data": {"name": "n", "hook": "all", "uri": uri}})).await;
    }
    assert!(answers.iter().any(|(_, answer)| answer.status == 404));
    for (asked, answer) in answers {
        if answer.status >= 400 {
            assert!(!whole(&answer.body), "{asked}: {}", answer.body);
        }
    }
    app.stop().await;
}

/// The responses of `/metrics` and `/health/ready` to requests with these headers.
async fn told(api: &Api, headers: &[(&str, &str)]) -> (String, String) {
    (api.raw("GET", "/metrics", headers).await, api.raw("GET", "/health/ready", headers).await)
}

#[tokio::test]
async fn metrics_and_readiness_show_strangers_no_account_hook_or_address() {
    // The broker does not exist, so readiness has a reason with its address.
    let everywhere = ["http.listen=0.0.0.0:0", "amqp.uri=amqp://127.0.0.1:9"];
    let of = |more: &[&str]| -> Vec<String> {
        everywhere.iter().chain(more).map(|setting| (*setting).to_owned()).collect()
    };
    let token = [("authorization", "Bearer t0ken")];
    for (settings, open, with_token) in [
        (of(&[]), false, false),
        (of(&["metrics.public=true"]), true, true),
        (of(&["metrics.token=t0ken"]), false, true),
        (of(&["http.listen=127.0.0.1:0"]), true, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::serve(dir.path(), &settings).await;
        let api = Api::log_in(([127, 0, 0, 1], process.address().port()).into()).await;
        let hook = api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
        for (headers, is_whole) in [([].as_slice(), open), (token.as_slice(), with_token)] {
            let (metrics, ready) = told(&api, headers).await;
            assert!(ready.contains("\"broker\""), "{ready}");
            assert_eq!(ready.contains("withheld"), !is_whole, "{settings:?}: {ready}");
            assert_eq!(metrics.contains(&hook), is_whole, "{settings:?}: {metrics}");
            assert_eq!(metrics.contains(&api.account), is_whole, "{settings:?}: {metrics}");
        }
    }
}
