//! Tokens of a running KAZOO: its crossbar provides its keys, and reports which tokens are valid and what a user may
//! do. The crossbar here answers over real HTTP with KAZOO's responses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::super::support::app::{Api, TestApp};
use super::super::support::receiver::{Mood, Receiver, Request};
use super::super::support::wait::eventually;
use super::super::support::websocket::{Client, End};

const SOON: Duration = Duration::from_secs(20);
const KID: &str = "9b1d3c5e7f90a2b4c6d8e0f1a3b5c7d9";
const RESELLER: &str = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";
const CUSTOMER: &str = "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71";
const STRANGER: &str = "c24fd1e2a7c94d5f8e0a6c3d9b2f4e72";
pub(super) const API_KEY: &str = "1f3e5d7c9b1f3e5d7c9b1f3e5d7c9b1f3e5d7c9b1f3e5d7c9b1f3e5d7c9b1f3e";
/// Far in the future, seconds since 1970.
pub(super) const LATER: u64 = 4_000_000_000;

/// A signing key, with its public half as crossbar shows it.
pub(super) struct Key {
    private: EncodingKey,
    public_pem: String,
}

impl Key {
    pub(super) fn new() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let private = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap();
        Self { private, public_pem: pem("RSA PUBLIC KEY", pair.public_key().as_ref()) }
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(KID.to_owned()), ..Header::new(Algorithm::RS256) };
        encode(&header, claims, &self.private).unwrap()
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

#[derive(Default)]
struct Known {
    public_pem: String,
    revoked: BTreeSet<String>,
    /// Privilege by user id.
    users: BTreeMap<String, &'static str>,
    is_away: bool,
}

/// The part of crossbar that checks tokens.
pub(super) struct Crossbar {
    pub(super) server: Receiver,
    known: Arc<Mutex<Known>>,
}

impl Crossbar {
    pub(super) async fn start(key: &Key) -> Self {
        let known = Known {
            public_pem: key.public_pem.clone(),
            users: BTreeMap::from(
                [("admin", "admin"), ("user", "user")].map(|(id, level)| (id.to_owned(), level)),
            ),
            ..Known::default()
        };
        let (server, known) = (Receiver::start().await, Arc::new(Mutex::new(known)));
        let asked = Arc::clone(&known);
        server.mood(Mood::by(move |request| answer(&asked.lock().unwrap(), request)));
        Self { server, known }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap());
    }

    fn asked(&self, path: &str) -> usize {
        self.server.requests().iter().filter(|request| request.path.starts_with(path)).count()
    }
}

fn answer(known: &Known, request: &Request) -> Mood {
    let says = |status: u16, body: Value| Mood::answer(status, &[], &body.to_string());
    let no =
        |status: u16| says(status, json!({"data": {}, "status": "error", "message": "invalid_credentials"}));
    if known.is_away {
        return Mood::Close;
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let token = request.header("x-auth-token").unwrap_or_default();
    match (
        request.method.as_str(),
        request.path.trim_start_matches("/v2/").split('/').collect::<Vec<_>>().as_slice(),
    ) {
        ("PUT", ["api_auth"]) if body["data"]["api_key"] == API_KEY => {
            says(201, json!({"auth_token": "of the master", "data": {}, "status": "success"}))
        }
        ("GET", ["auth", "keys", KID]) if token == "of the master" => {
            says(200, json!({"data": {"public_key_pem": known.public_pem}, "status": "success"}))
        }
        ("POST", ["auth", "tokeninfo"]) => match body["data"]["token"].as_str() {
            Some(token) if !known.revoked.contains(token) => {
                says(200, json!({"data": {"account_id": RESELLER}}))
            }
            _ => no(401),
        },
        ("GET", ["accounts", _, "users", user]) => match known.users.get(*user) {
            Some(level) => says(200, json!({"data": {"id": user, "priv_level": level}})),
            None => no(404),
        },
        _ => no(403),
    }
}

/// The program with this crossbar, and a reseller with a customer.
async fn app(crossbar: &Crossbar, more: &[&str]) -> (TestApp, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("api.key");
    std::fs::write(&file, format!("{API_KEY}\n")).unwrap();
    let url = format!("auth.kazoo_crossbar={}", crossbar.server.uri(""));
    let key = format!("auth.kazoo_api_key_file={}", file.display());
    let settings: Vec<&str> = [url.as_str(), key.as_str()].into_iter().chain(more.iter().copied()).collect();
    let app = TestApp::with(&settings).await;
    for (parent, id) in
        [(app.api.account.as_str(), RESELLER), (RESELLER, CUSTOMER), (&app.api.account, STRANGER)]
    {
        let body = json!({"data": {"id": id, "name": id}});
        let made = app.api.call("PUT", &format!("/v2/accounts/{parent}"), Some(body)).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    (app, dir)
}

async fn status(app: &TestApp, token: &str, path: &str) -> u16 {
    app.anonymous().with_token(token).call("GET", path, None).await.status
}

/// Whether the token may change the hooks of an account.
async fn may_change(api: &Api, account: &str) -> bool {
    let hook = json!({"data": {"name": "n", "hook": "channel_create", "uri": "http://127.0.0.1:9/"}});
    api.call("PUT", &format!("/v2/accounts/{account}/webhooks"), Some(hook)).await.status == 201
}

#[tokio::test]
async fn a_token_is_valid_by_crossbars_key_until_kazoo_revokes_it_and_a_new_key_is_found() {
    let (key, forger) = (Key::new(), Key::new());
    let crossbar = Crossbar::start(&key).await;
    let (app, _dir) = app(&crossbar, &["auth.kazoo_recheck_s=0"]).await;
    let own = format!("/v2/accounts/{RESELLER}");
    let claims = json!({"iss": "kazoo", "account_id": RESELLER, "exp": LATER});
    let token = key.token(&claims);
    assert_eq!(status(&app, &token, &own).await, 200);

    // Tokens that KAZOO did not sign are never sent to it.
    let told = crossbar.asked("/v2/auth/tokeninfo");
    let forged = forger.token(&claims);
    for _ in 0..5 {
        assert_eq!(status(&app, &forged, &own).await, 401);
    }
    assert_eq!(crossbar.asked("/v2/auth/tokeninfo"), told);
    assert!(
        crossbar.asked("/v2/auth/keys") <= 2,
        "a signature that does not fit asks for the key now and then"
    );

    crossbar.change(|known| known.revoked.extend([token.clone()]));
    assert_eq!(status(&app, &token, &own).await, 401, "KAZOO has revoked it");

    // A rotation keeps the key's id.
    let rotated = Key::new();
    crossbar.change(|known| rotated.public_pem.clone_into(&mut known.public_pem));
    let token = rotated.token(&claims);
    eventually("the new key is found", SOON, || async {
        (status(&app, &token, &own).await == 200).then_some(())
    })
    .await;
    let urls: Vec<String> =
        crossbar.server.requests().iter().map(|r| format!("{}?{}", r.path, r.query)).collect();
    assert!(urls.iter().all(|url| !url.contains(&token)), "no token in a URL: {urls:?}");
}

#[tokio::test]
async fn a_tokens_rights_are_those_of_its_user_or_of_the_user_it_acts_as() {
    let key = Key::new();
    let crossbar = Crossbar::start(&key).await;
    let (app, _dir) = app(&crossbar, &[]).await;
    let api = |claims: Value| {
        let mut all = json!({"iss": "kazoo", "account_id": RESELLER, "exp": LATER});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        app.anonymous().with_token(&key.token(&all))
    };
    let sees = async |api: &Api, account: &str| {
        api.call("GET", &format!("/v2/accounts/{account}/webhooks"), None).await.status == 200
    };
    let admin = api(json!({"owner_id": "admin"}));
    assert!(may_change(&admin, RESELLER).await && may_change(&admin, CUSTOMER).await);
    let user = api(json!({"owner_id": "user"}));
    assert!(
        sees(&user, RESELLER).await && !may_change(&user, RESELLER).await && !sees(&user, CUSTOMER).await
    );
    let unknown = api(json!({"owner_id": "unknown"}));
    assert!(!may_change(&unknown, RESELLER).await, "a user whom crossbar does not show is no admin");
    let acting = api(json!({"owner_id": "admin", "as": {"account_id": CUSTOMER, "owner_id": "admin"}}));
    assert!(
        may_change(&acting, CUSTOMER).await && !sees(&acting, RESELLER).await,
        "it acts as the customer alone"
    );
    let lesser = api(json!({"owner_id": "admin", "as": {"account_id": CUSTOMER, "owner_id": "user"}}));
    assert!(sees(&lesser, CUSTOMER).await && !may_change(&lesser, CUSTOMER).await);
    let wider = api(json!({"owner_id": "admin", "as": {"account_id": STRANGER}}));
    assert!(!sees(&wider, STRANGER).await && !sees(&wider, RESELLER).await, "the claim never widens");
    // Crossbar's answers are cached for a while: it was asked once for each token.
    assert_eq!(crossbar.asked("/v2/auth/tokeninfo"), 6);
}

#[tokio::test]
async fn a_token_without_expiry_needs_the_option_and_nobody_new_is_admitted_while_crossbar_is_away() {
    let key = Key::new();
    let crossbar = Crossbar::start(&key).await;
    let (mut app, dir) = app(&crossbar, &[]).await;
    let own = format!("/v2/accounts/{RESELLER}");
    let token = key.token(&json!({"iss": "kazoo", "account_id": RESELLER}));
    assert_eq!(status(&app, &token, &own).await, 401);
    let url = format!("auth.kazoo_crossbar={}", crossbar.server.uri(""));
    let file = format!("auth.kazoo_api_key_file={}", dir.path().join("api.key").display());
    app.restart(Some(&[&url, &file, "auth.kazoo_recheck_s=0", "auth.kazoo_tokens_without_expiry=true"]))
        .await;
    assert_eq!(status(&app, &token, &own).await, 200);

    crossbar.change(|known| known.is_away = true);
    assert_eq!(status(&app, &token, &own).await, 200, "crossbar's last word counts for a while");
    let new = key.token(&json!({"iss": "kazoo", "account_id": RESELLER, "exp": LATER}));
    assert_eq!(status(&app, &new, &own).await, 503);
    crossbar.change(|known| known.is_away = false);
    assert_eq!(status(&app, &new, &own).await, 200);
}

#[tokio::test]
async fn an_open_session_ends_when_kazoo_revokes_its_token() {
    let key = Key::new();
    let crossbar = Crossbar::start(&key).await;
    let settings = ["auth.kazoo_recheck_s=0", "websocket.ping_interval_ms=100"];
    let (mut app, _dir) = app(&crossbar, &settings).await;
    let claims = json!({"iss": "kazoo", "account_id": RESELLER, "owner_id": "admin", "exp": LATER});
    let token = key.token(&claims);
    let other = key.token(&json!({"iss": "kazoo", "account_id": RESELLER, "exp": LATER}));
    let mut client = Client::connect(app.websocket(), &token).await;
    let mut stays = Client::connect(app.websocket(), &other).await;
    for client in [&mut client, &mut stays] {
        client.subscribe(RESELLER, "call.CHANNEL_CREATE.*", Value::Null).await;
    }
    // While crossbar does not answer, the token counts as valid.
    crossbar.change(|known| known.is_away = true);
    let asked = crossbar.asked("/v2/auth/tokeninfo");
    eventually("crossbar was asked in vain", SOON, async || {
        (crossbar.asked("/v2/auth/tokeninfo") > asked + 2).then_some(())
    })
    .await;
    crossbar.change(|known| {
        known.is_away = false;
        known.revoked.insert(token.clone());
    });
    assert_eq!(client.ended().await, End::Code(1008));
    stays.subscribe(RESELLER, "call.CHANNEL_ANSWER.*", Value::Null).await;
    app.stop().await;
}

#[tokio::test]
async fn concurrent_requests_before_the_key_is_known_are_all_answered() {
    let key = Key::new();
    let crossbar = Crossbar::start(&key).await;
    let (mut app, _dir) = app(&crossbar, &[]).await;
    let token =
        key.token(&json!({"iss": "kazoo", "account_id": RESELLER, "owner_id": "admin", "exp": LATER}));
    let client = app.anonymous().with_token(&token);
    let asked = (0..16).map(|_| {
        let client = client.clone();
        async move { client.call("GET", &format!("/v2/accounts/{RESELLER}/webhooks"), None).await.status }
    });
    assert_eq!(futures_util::future::join_all(asked).await, [200; 16]);
    assert_eq!(crossbar.asked("/v2/auth/keys"), 1);
    app.stop().await;
}
