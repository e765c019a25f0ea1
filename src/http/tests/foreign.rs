//! Tokens that a KAZOO has signed, with keys made for each test.

use std::path::PathBuf;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use super::*;
use crate::auth::ForeignKeys;
use crate::model::GREGORIAN_OFFSET_S;

const ACCOUNT: &str = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";

/// The part of a KAZOO that issues tokens.
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

    fn token(&self, kid: Option<&str>, exp: u64) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
        let claims = json!({
            "iss": "kazoo", "identity_sig": "x", "account_id": ACCOUNT, "owner_id": "u", "method": "cb_user_auth",
            "exp": exp,
        });
        encode(&header, &claims, &self.private).unwrap()
    }

    fn jwk(&self, kid: &str) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.private, Algorithm::RS256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        jwk
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// A file in its own directory.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

async fn knows(keys: &str, auto_create: bool) -> TestApi {
    let (_dir, path) = file(keys);
    let foreign = Some(ForeignKeys::load(&path).unwrap());
    TestApi::guarded(
        ApiOptions::default(),
        auth::AuthOptions { foreign, auto_create, ..auth::AuthOptions::default() },
    )
    .await
}

async fn get(test: &TestApi, token: &str) -> Answered {
    test.call_as(token, "GET", "/v2/account", Value::Null).await
}

#[tokio::test]
async fn a_token_of_a_kazoo_with_a_known_key_is_valid_for_its_account() {
    let (kazoo, other) = (Kazoo::new(), Kazoo::new());
    let test = knows(&kazoo.public_pem, false).await;
    let token = kazoo.token(Some("any"), NOW_S + 60);
    assert_eq!(get(&test, &token).await.status, 401, "the account is unknown");
    let made = test.call("PUT", "/v2/accounts", json!({"id": ACCOUNT, "name": "mirrored"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(get(&test, &token).await.body["data"]["id"], ACCOUNT);
    // KAZOO counts from year 0.
    assert_eq!(get(&test, &kazoo.token(None, GREGORIAN_OFFSET_S + NOW_S + 60)).await.status, 200);
    for over in [NOW_S, GREGORIAN_OFFSET_S + NOW_S] {
        let refused = get(&test, &kazoo.token(None, over)).await;
        assert_eq!((refused.status, &refused.body["message"]), (401, &json!("invalid credentials")));
    }
    let forged = get(&test, &other.token(None, NOW_S + 60)).await;
    assert_eq!((forged.status, &forged.body["message"]), (401, &json!("invalid_credentials")));
    // A token signed with the public key as an HMAC secret must not be accepted.
    let claims = json!({"account_id": ACCOUNT, "exp": NOW_S + 60});
    let key = EncodingKey::from_secret(kazoo.public_pem.as_bytes());
    let confused = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    assert_eq!(get(&test, &confused).await.status, 401);
    assert_eq!(test.call_as(&token, "DELETE", "/v2/token_auth", Value::Null).await.status, 200);
    assert_eq!(get(&test, &token).await.status, 401, "it can be revoked here");
}

#[tokio::test]
async fn without_a_key_no_foreign_token_is_valid() {
    let test = TestApi::start().await;
    test.call("PUT", "/v2/accounts", json!({"id": ACCOUNT, "name": "mirrored"})).await;
    assert_eq!(get(&test, &Kazoo::new().token(None, NOW_S + 60)).await.status, 401);
}

#[tokio::test]
async fn an_unknown_account_of_a_token_is_created_unless_it_was_deleted_before() {
    let kazoo = Kazoo::new();
    let test = knows(&kazoo.public_pem, true).await;
    let token = kazoo.token(None, NOW_S + 60);
    let seen = get(&test, &token).await;
    assert_eq!((seen.status, &seen.body["data"]["id"]), (200, &json!(ACCOUNT)), "{seen:?}");
    assert_eq!(test.api.state.account(ACCOUNT.parse().unwrap()).unwrap().tree.len(), 1);
    assert_eq!(test.call("DELETE", &format!("/v2/accounts/{ACCOUNT}"), Value::Null).await.status, 200);
    assert_eq!(get(&test, &token).await.status, 401);
    assert_eq!(
        get(&test, &Kazoo::new().token(None, NOW_S + 60)).await.status,
        401,
        "a forged one makes nothing"
    );
}

#[tokio::test]
async fn a_set_of_keys_is_searched_by_the_token_s_key_id() {
    let (first, second) = (Kazoo::new(), Kazoo::new());
    let keys = serde_json::to_string(&JwkSet { keys: vec![first.jwk("1"), second.jwk("2")] }).unwrap();
    let test = knows(&keys, true).await;
    assert_eq!(get(&test, &second.token(Some("2"), NOW_S + 60)).await.status, 200);
    assert_eq!(
        get(&test, &second.token(None, NOW_S + 60)).await.status,
        200,
        "without an id, any key may be it"
    );
    assert_eq!(get(&test, &second.token(Some("1"), NOW_S + 60)).await.status, 401);
}

#[test]
fn a_file_without_a_public_key_is_refused_by_its_path() {
    for text in ["", "{}", "{\"keys\":[]}", "-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----\n"] {
        let (_dir, path) = file(text);
        let refused = ForeignKeys::load(&path).unwrap_err().to_string();
        assert!(refused.contains(&path.display().to_string()), "{refused}");
    }
}
