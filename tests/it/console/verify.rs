//! What the console gives to the developer of a receiver works unchanged: the code that verifies, and the command that
//! sends a delivery by hand.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{LONG, attempts_when, settled};
use crate::support::receiver::{Receiver, Request};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

async fn code(api: &Api, hook: &str) -> Value {
    let answer = api.own("GET", &format!("/webhooks/{hook}/verify"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

/// Runs a program that calls `verify` for each request; returns its verdicts.
fn verdicts(program: &str, arguments: &[&str], code: &str, caller: &str, requests: &[Request]) -> Vec<bool> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(if program == "node" { "verify.mjs" } else { "verify.py" });
    std::fs::write(&file, format!("{code}\n{caller}\n")).unwrap();
    let rows = requests.iter().map(|request| {
        let headers: Value = request.headers.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        json!([headers, request.text()])
    });
    let input = dir.path().join("requests.json");
    std::fs::write(&input, rows.collect::<Value>().to_string()).unwrap();
    let run = Command::new(program)
        .args(arguments)
        .arg(&file)
        .arg(&input)
        .env("WEBHOOK_SECRET", SECRET)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{program}: {run:?}"))
}

/// The genuine request, and the request with another body, with another id, without a signature, and an hour old.
fn genuine_and_forged(request: &Request) -> Vec<Request> {
    let with = |change: &dyn Fn(&mut Request)| {
        let mut changed = request.clone();
        change(&mut changed);
        changed
    };
    let set = |name: &'static str, value: String| {
        move |request: &mut Request| {
            for (_, given) in request.headers.iter_mut().filter(|(n, _)| n == name) {
                given.clone_from(&value);
            }
        }
    };
    vec![
        request.clone(),
        with(&|request| request.body.push(b' ')),
        with(&set("webhook-id", "dlv_other".to_owned())),
        with(&set("webhook-signature", String::new())),
        with(&set("webhook-timestamp", "1700000000".to_owned())),
    ]
}

#[tokio::test]
async fn the_python_and_javascript_code_accepts_only_genuine_requests() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let document = json!({"uri": receiver.uri("/"), "format": "json", "secret": SECRET});
    let hook = app.api.hook(document).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "çall-1 '\"", 1)]).await;
    let request = receiver.wait_for(1, LONG).await.remove(0);
    let told = code(&app.api, &hook).await;
    assert_eq!((&told["signed"], &told["valid_secrets"]), (&json!(true), &json!(1)));
    assert!(!told.to_string().contains(&SECRET[6..]), "the secret is not told");
    let requests = genuine_and_forged(&request);
    let expected = [true, false, false, false, false];
    let python = "import json, sys\nrows = json.load(open(sys.argv[1]))\nprint(json.dumps([verify(h, b.encode()) for h, b in rows]))";
    let said = verdicts("python3", &[], told["code"]["python"].as_str().unwrap(), python, &requests);
    assert_eq!(said, expected, "Python");
    let javascript = "import { readFileSync } from 'node:fs';\nconst rows = JSON.parse(readFileSync(process.argv[2], 'utf8'));\nconsole.log(JSON.stringify(rows.map(([h, b]) => verify(h, Buffer.from(b)))));";
    let said = verdicts("node", &[], told["code"]["javascript"].as_str().unwrap(), javascript, &requests);
    assert_eq!(said, expected, "JavaScript");
    let unsigned = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    assert_eq!(code(&app.api, &unsigned).await["signed"], false);
    app.stop().await;
}

#[tokio::test]
async fn the_copied_curl_command_repeats_the_delivery_with_a_valid_signature() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let document = json!({
        "uri": receiver.uri("/a[1-2]{x}?q='$(id)'"), "format": "json", "secret": SECRET, "http_verb": "put",
        "headers": {"X-Quote": "it's `id` $(id) \"x\" \\"}, "success": "2xx",
    });
    let hook = tenant.hook(document).await;
    tenant.publish(&[call_event("CHANNEL_CREATE", "'; touch /nowhere/x; ' \\ $HOME", 1)]).await;
    let first = receiver.wait_for(1, LONG).await.remove(0);
    settled(&tenant, &hook).await;
    let row = attempts_when(&tenant, &hook, 1).await.remove(0);
    let path = format!("/webhooks/{hook}/attempts/{}/curl", row["delivery_id"].as_str().unwrap());
    let answer = tenant.own("GET", &path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let command = answer.data()["command"].as_str().unwrap().to_owned();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("sh").arg("-c").arg(format!("{command} --silent --noproxy '*'")).output().unwrap()
    });
    let run = run.await.unwrap();
    assert!(run.status.success(), "{run:?}");
    let second = receiver.wait_for(2, LONG).await.remove(1);
    assert_eq!((&second.body, &second.path), (&first.body, &first.path), "byte for byte");
    let of = |request: &Request, name: &str| {
        request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    };
    for name in ["webhook-id", "x-quote", "content-type", "x-event-id", "user-agent"] {
        assert_eq!(of(&second, name), of(&first, name), "{name}");
    }
    let told = code(&tenant, &hook).await;
    let python = "import json, sys\nrows = json.load(open(sys.argv[1]))\nprint(json.dumps([verify(h, b.encode()) for h, b in rows]))";
    let said = verdicts("python3", &[], told["code"]["python"].as_str().unwrap(), python, &[second]);
    assert_eq!(said, [true]);

    // The page of an attempt has what a receiver needs to check the signature: the id, the time, the body, the signature.
    let shown = tenant.own("GET", path.trim_end_matches("/curl"), None).await;
    let shown = &shown.data()["attempts"][0];
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "x-event-id"] {
        assert_eq!(shown["req_headers"][name].as_str(), of(&first, name).as_deref(), "{name}");
    }
    assert_eq!(shown["req_body"].as_str(), Some(first.text()));

    // The command contains the hook's secrets, so plain users and other tenants do not get it.
    let user = app.user_of(&tenant, "user").await;
    assert_eq!(user.own("GET", &path, None).await.status, 403);
    let seen = user.own("GET", path.trim_end_matches("/curl"), None).await;
    let seen = &seen.data()["attempts"][0]["req_headers"];
    assert_eq!((&seen["webhook-signature"], &seen["x-quote"]), (&json!("***"), &json!("***")), "{seen}");
    assert_eq!(seen["x-event-id"].as_str(), of(&first, "x-event-id").as_deref(), "not secret");
    let other = app.api.tenant("other").await;
    assert_eq!(other.own("GET", &path, None).await.status, 404);
    app.stop().await;
}

#[tokio::test]
async fn the_curl_command_of_an_old_attempt_sends_the_request_of_that_time() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let document = json!({
        "uri": receiver.uri("/then?key=s3cret"), "format": "json", "secret": SECRET, "http_verb": "put", "success": "2xx",
        "custom_data": {"of": "then"}, "headers": {"X-Api-Key": "k3y"},
    });
    let hook = app.api.hook(document).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    let first = receiver.wait_for(1, LONG).await.remove(0);
    let row = attempts_when(&app.api, &hook, 1).await.remove(0);
    let path = format!("/webhooks/{hook}/attempts/{}/curl", row["delivery_id"].as_str().unwrap());
    let changed = json!({"http_verb": "post", "format": "form-data", "custom_data": {"of": "now"}});
    crate::support::look::patch(&app.api, &hook, changed).await;
    let told = app.api.own("GET", &format!("{path}?attempt=1"), None).await.data().clone();
    assert_eq!((&told["hook_revision"], &told["is_complete"]), (&row["hook_revision"], &json!(true)));
    let command = told["command"].as_str().unwrap().to_owned();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("sh").arg("-c").arg(format!("{command} --silent --noproxy '*'")).output().unwrap()
    });
    assert!(run.await.unwrap().status.success());
    let second = receiver.wait_for(2, LONG).await.remove(1);
    assert_eq!((&second.body, &second.path, &second.method), (&first.body, &first.path, &first.method));
    let key = |request: &Request| request.headers.iter().find(|(name, _)| name == "x-api-key").cloned();
    assert_eq!(key(&second), key(&first), "the secret header is still the same");
    // The old address is gone with the secret in it, and no present secret is sent to it.
    crate::support::look::patch(&app.api, &hook, json!({"uri": receiver.uri("/now?key=other")})).await;
    let told = app.api.own("GET", &path, None).await.data().clone();
    assert_eq!(told["is_complete"], false);
    let command = told["command"].as_str().unwrap();
    assert!(!command.contains("s3cret") && !command.contains("other"), "{command}");
    assert_eq!(app.api.own("GET", &format!("{path}?attempt=x"), None).await.status, 400);
    app.stop().await;
}
