//! The configuration: every key can be set in every way, and takes effect in the built program.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use switchhook::config::{Config, Overlay, load};
use switchhook::model::Clock;
use toml::Value;

use crate::support::app::{Api, MASTER_KEY, TestApp};
use crate::support::config_file::ConfigFile;
use crate::support::process::Process;
use crate::support::wait::eventually;

const DOCUMENTED: &str = include_str!("../../../config/switchhook.toml");

/// Every key of config/switchhook.toml with its value, including keys that are commented out.
fn documented() -> Vec<(String, Value)> {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in DOCUMENTED.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        let Some((name, _)) = line.split_once(" = ") else { continue };
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            continue;
        }
        if let Ok(mut table) = line.parse::<toml::Table>() {
            keys.push((format!("{section}{name}"), table.remove(name).unwrap()));
        }
    }
    keys
}

/// Valid elements for the keys whose values are arrays.
fn item_of(key: &str) -> &'static str {
    if key == "delivery.nameservers" { "127.0.0.1:5353" } else { "10.1.0.0/16" }
}

/// Other values of a key; the first one that is in the key's range is used.
fn others(key: &str, value: &Value) -> Vec<Value> {
    match value {
        Value::Boolean(is) => vec![Value::Boolean(!is)],
        Value::Integer(number) => vec![Value::Integer(number + 1), Value::Integer(number - 1)],
        Value::Array(_) if key == "amqp.zones" => {
            vec!["zones = [{name = \"ams\", uris = [\"amqp://127.0.0.1\"]}]".parse::<toml::Table>().unwrap()["zones"].clone()]
        }
        Value::Array(_) => vec![Value::Array(vec![Value::String(item_of(key).to_owned())])],
        Value::String(text) => {
            let other = match key {
                "amqp.uri" => "amqp://guest:guest@127.0.0.1:5672/%2f",
                "amqp.queue_type" => "quorum",
                "accounts.master_id" => "0a7be1c24d9f4e35b86c1f20d3947a5e",
                "auth.kazoo_crossbar" => "http://127.0.0.1:8000",
                "auth.master_api_key" => MASTER_KEY,
                "kazoo.mode" => "shadow",
                "kazoo.sync.couch" | "kazoo.sync.crossbar" => "http://127.0.0.1:5984",
                "kazoo.sync.hooks" => "once",
                "kazoo.sync.version" => "4.3",
                "http.listen" | "websocket.listen" => "127.0.0.2:9999",
                "websocket.token_expiry" => "close",
                "api.profile" => "current",
                "telemetry.format" => "json",
                "telemetry.filter" => "debug",
                "telemetry.otlp_endpoint" => "http://127.0.0.1:4318",
                _ if text.is_empty() => "another",
                _ => return vec![Value::String(format!("{text}-2"))],
            };
            vec![Value::String(other.to_owned())]
        }
        other => panic!("{key}: {other}"),
    }
}

/// Another key that must be set together with this one.
fn beside(key: &str) -> Option<&'static str> {
    (key == "kazoo.sync.crossbar").then_some("kazoo.sync.api_key_file=key")
}

/// The value as it is written for `--set` and in the environment.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn in_file(path: &Path, key: &str, value: &Value) -> Overlay {
    let line = format!("{key} = {value}\n");
    std::fs::write(path, line).unwrap();
    Overlay { file: Some(path.to_owned()), set: set_beside(key), ..Overlay::default() }
}

fn set_beside(key: &str) -> Vec<String> {
    beside(key).into_iter().map(str::to_owned).collect()
}

#[test]
fn every_documented_key_can_be_set_in_the_file_the_environment_and_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let keys = documented();
    let (mut names, mut known): (Vec<_>, _) =
        (keys.iter().map(|(key, _)| key.clone()).collect(), Config::keys());
    names.sort();
    known.sort();
    assert_eq!(names, known, "config/switchhook.toml documents every key, and no other");
    for (key, value) in keys {
        let (other, by_file) = others(&key, &value)
            .into_iter()
            .find_map(|other| {
                let loaded = load(&in_file(&dir.path().join("file.toml"), &key, &other)).ok()?;
                Some((other, loaded))
            })
            .unwrap_or_else(|| panic!("{key} cannot be set by a file"));
        let text = as_text(&other);
        let name = format!("SWITCHHOOK__{}", key.to_uppercase().replace('.', "__"));
        let by_env =
            load(&Overlay { env: vec![(name, text.clone())], set: set_beside(&key), ..Overlay::default() })
                .unwrap_or_else(|error| panic!("by the environment: {error}"));
        let by_set = load(&Overlay {
            set: [set_beside(&key), vec![format!("{key}={text}")]].concat(),
            ..Overlay::default()
        })
        .unwrap_or_else(|error| panic!("by --set: {error}"));
        for loaded in [&by_file, &by_env, &by_set] {
            let before = load(&Overlay { set: set_beside(&key), ..Overlay::default() }).unwrap();
            let difference = before.difference(loaded);
            let changed: Vec<_> = difference.reloadable.iter().chain(&difference.at_next_start).collect();
            assert_eq!(changed, [&key], "nothing else changes");
            assert_eq!(loaded.difference(&by_file), switchhook::config::Difference::default(), "{key}");
            let (shown, name) = (format!("{loaded:?}"), key.rsplit('.').next().unwrap());
            let arrived = match &other {
                Value::Integer(_) | Value::Boolean(_) => shown.contains(&format!("{name}: {text}")),
                // Secrets are not shown. Variants of an enum are shown with their names in the program.
                _ if shown.contains("***") => true,
                _ if key == "kazoo.sync.version" => shown.contains("version: Classic"),
                Value::Array(_) => shown.contains(item_of(&key)),
                _ => shown.to_lowercase().contains(&text.to_lowercase()),
            };
            assert!(arrived, "{key} = {text}: {shown}");
        }
    }
}

/// The part of a KAZOO that checks tokens.
struct Kazoo {
    private: EncodingKey,
    public_pem: String,
}

impl Kazoo {
    fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap();
        Self { private, public_pem: pem("PUBLIC KEY", public.as_ref()) }
    }

    fn token(&self, account: &str) -> String {
        let exp = Clock::system().now_us() / 1_000_000 + 600;
        let claims = json!({"iss": "kazoo", "account_id": account, "method": "cb_user_auth", "exp": exp});
        encode(&Header::new(Algorithm::RS256), &claims, &self.private).unwrap()
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// An account that only KAZOO's token names is created and served; a token signed with another key creates nothing.
async fn takes_tokens_of(kazoo: &Kazoo, process: &Process) {
    const ACCOUNT: &str = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";
    let master = process.api().await;
    let path = format!("/v2/accounts/{ACCOUNT}");
    let get = async |api: Api| api.call("GET", &path, None).await.status;
    let forged = Kazoo::new().token(ACCOUNT);
    assert_eq!(get(master.clone().with_token(&forged)).await, 401);
    assert_eq!(get(master.clone()).await, 404, "nothing was made");
    assert_eq!(get(master.clone().with_token(&kazoo.token(ACCOUNT))).await, 200);
    assert_eq!(get(master.with_token(&forged)).await, 401);
}

#[tokio::test]
async fn a_kazoos_tokens_are_accepted_and_their_accounts_created_however_the_program_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let (kazoo, file) = (Kazoo::new(), dir.path().join("kazoo.pem"));
    std::fs::write(&file, &kazoo.public_pem).unwrap();
    let keys = file.display().to_string();
    let set = vec![format!("auth.kazoo_public_keys={keys}"), "accounts.auto_create=true".to_owned()];

    let by_set = Process::serve(&dir.path().join("set"), &set).await;
    takes_tokens_of(&kazoo, &by_set).await;
    drop(by_set);
    let environment = [
        ("SWITCHHOOK__AUTH__KAZOO_PUBLIC_KEYS", keys),
        ("SWITCHHOOK__ACCOUNTS__AUTO_CREATE", "true".to_owned()),
    ];
    let by_env = Process::serve_in(&environment, &dir.path().join("env"), &[]).await;
    takes_tokens_of(&kazoo, &by_env).await;
    drop(by_env);
    let file = ConfigFile::new(dir.path().join("switchhook.toml"), &dir.path().join("file"), &set);
    let by_file = Process::serve_by(&file).await;
    takes_tokens_of(&kazoo, &by_file).await;
}

#[tokio::test]
async fn a_clock_that_goes_back_blocks_no_rate_limit() {
    let now_us = Arc::new(AtomicU64::new(1_790_000_000_000_000));
    let shown = Arc::clone(&now_us);
    let clock = Clock::new(move || shown.load(Ordering::Relaxed));
    let settings = ["auth.wrong_credentials_burst=2", "auth.wrong_credentials_per_minute=60"];
    let mut app = TestApp::with_clock(&settings, clock).await;
    let log_in = async |key: &str| {
        let body = json!({"data": {"api_key": key}});
        app.anonymous().call("PUT", "/v2/api_auth", Some(body)).await.status
    };
    let wrong = "f".repeat(64);
    for _ in 0..4 {
        log_in(&wrong).await;
    }
    assert_eq!(log_in(&wrong).await, 429);
    now_us.fetch_sub(3_600_000_000, Ordering::Relaxed);
    let admitted = eventually("the bucket fills again", Duration::from_secs(30), async || {
        (log_in(&wrong).await == 404).then_some(())
    });
    admitted.await;
    assert_eq!(log_in(MASTER_KEY).await, 201);
    app.stop().await;
}
