//! Authentication: users and their passwords, reading and revoking tokens, rotating and revoking keys.

use super::*;
use crate::auth::Rate;

/// MD5 of `alice:correct horse`.
const MD5: &str = "23faea553e61d105a779b78a1f289030";
/// SHA-1 of `alice:correct horse`.
const SHA1: &str = "b1780086516c97daa30ec357bb97d488f7942493";

async fn log_in(test: &TestApi, data: Value) -> Answered {
    test.raw("PUT", "/v2/user_auth", &json!({"data": data}).to_string(), &[]).await
}

/// An account with the realm `a.example.com` and a user Alice. Returns the paths of both.
async fn alice(test: &TestApi, priv_level: &str) -> (String, String) {
    let (id, _) = test.account("Company A").await;
    let account = format!("/v2/accounts/{id}");
    assert_eq!(test.call("PATCH", &account, json!({"realm": "a.example.com"})).await.status, 200);
    let data = json!({"username": "Alice", "first_name": "A", "last_name": "B", "password": "correct horse", "priv_level": priv_level});
    let created = test.call("PUT", &format!("{account}/users"), data).await;
    assert_eq!(created.status, 201, "{created:?}");
    let user = created.header("location").unwrap().to_owned();
    (account, user)
}

async fn token(test: &TestApi) -> String {
    let answer = log_in(test, json!({"credentials": MD5, "account_realm": "a.example.com"})).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["auth_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_logs_in_with_either_form_of_kazoo_s_credentials() {
    let test = TestApi::start().await;
    let (account, user) = alice(&test, "admin").await;
    for data in [
        json!({"credentials": MD5, "account_realm": "A.example.com"}),
        json!({"credentials": MD5.to_uppercase(), "method": "md5", "account_name": "company-a"}),
        json!({"credentials": SHA1, "method": "sha", "account_name": "COMPANYA"}),
    ] {
        let answer = log_in(&test, data.clone()).await;
        assert_eq!(answer.status, 201, "{data}: {answer:?}");
        assert_eq!(answer.body["data"]["account_name"], "Company A");
        assert!(user.ends_with(answer.body["data"]["owner_id"].as_str().unwrap()));
        let token = answer.body["auth_token"].as_str().unwrap();
        assert_eq!(test.call_as(token, "PATCH", &account, json!({"x": 1})).await.status, 200);
    }
    for data in [
        json!({"credentials": "0".repeat(32), "account_realm": "a.example.com"}),
        json!({"credentials": MD5, "account_realm": "b.example.com"}),
        json!({"credentials": MD5, "account_name": "master"}),
    ] {
        let answer = log_in(&test, data.clone()).await;
        assert_eq!((answer.status, &answer.body["message"]), (401, &json!("invalid_credentials")), "{data}");
    }
    let refused = log_in(&test, json!({"credentials": "x", "method": "plain"})).await;
    let fields: Vec<_> = refused.body["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        (refused.status, fields),
        (400, ["credentials", "method", "account_name"].map(str::to_owned).to_vec())
    );
}

#[tokio::test]
async fn a_password_is_neither_shown_nor_stored() {
    let test = TestApi::start().await;
    let (account, user) = alice(&test, "user").await;
    let (shown, listed) = (test.get(&user).await, test.get(&format!("{account}/users")).await);
    let id = shown.body["data"]["id"].as_str().unwrap();
    let kept = Value::Object(test.api.state.get(crate::state::Kind::User, id).unwrap().unwrap());
    for text in [shown.body.to_string(), listed.body.to_string(), kept.to_string()] {
        assert!(text.contains("Alice"), "{text}");
        for secret in ["correct horse", MD5, SHA1] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(!shown.body.to_string().contains(kept["pvt_md5_auth"].as_str().unwrap()));
}

#[tokio::test]
async fn a_user_who_is_no_admin_reads_hooks_and_changes_nothing() {
    let test = TestApi::start().await;
    let (account, user) = alice(&test, "user").await;
    let id = account.rsplit('/').next().unwrap().to_owned();
    let hook = test.hook(&id, "h").await;
    let below = test.call("PUT", &account, json!({"name": "below"})).await;
    let below = below.body["data"]["id"].as_str().unwrap().to_owned();
    let token = token(&test).await;
    let ask = async |method: &str, path: &str| {
        test.call_as(&token, method, path, if method == "GET" { Value::Null } else { json!({}) }).await.status
    };
    assert_eq!(ask("GET", &format!("{account}/webhooks")).await, 200);
    assert_eq!(ask("GET", &format!("{account}/webhooks/{hook}/queue")).await, 200);
    assert_eq!(ask("GET", "/v2/token_auth").await, 200);
    for (method, path) in [
        ("PUT", format!("{account}/webhooks")),
        ("DELETE", format!("{account}/webhooks/{hook}")),
        ("GET", format!("{account}/api_keys")),
        ("GET", format!("{account}/users")),
        ("DELETE", user),
        ("GET", format!("/v2/accounts/{below}/webhooks")),
        ("PUT", "/v2/accounts".to_owned()),
        ("GET", "/admin/status".to_owned()),
    ] {
        assert_eq!(ask(method, &path).await, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn a_users_tokens_end_when_the_password_changes_or_the_user_is_disabled_or_deleted() {
    let test = TestApi::start().await;
    let (_, user) = alice(&test, "admin").await;
    let works =
        async |token: &str| test.call_as(token, "GET", "/v2/account", Value::Null).await.status == 200;
    let before = token(&test).await;
    assert_eq!(test.call("PATCH", &user, json!({"first_name": "A"})).await.status, 200);
    assert!(works(&before).await);
    assert_eq!(test.call("PATCH", &user, json!({"password": "correct horse"})).await.status, 200);
    assert!(!works(&before).await, "setting the same password again ends tokens too");
    let again = token(&test).await;
    assert_eq!(test.call("PATCH", &user, json!({"enabled": "false"})).await.status, 200);
    assert!(!works(&again).await);
    let refused = log_in(&test, json!({"credentials": MD5, "account_realm": "a.example.com"})).await;
    assert_eq!(refused.status, 401);
    assert_eq!(test.call("PATCH", &user, json!({"enabled": true})).await.status, 200);
    assert!(works(&again).await);
    assert_eq!(test.call("DELETE", &user, Value::Null).await.status, 200);
    assert!(!works(&again).await);
    assert_eq!(test.get(&user).await.status, 404);
}

#[tokio::test]
async fn errors_of_a_user_are_named() {
    let test = TestApi::start().await;
    let (account, user) = alice(&test, "admin").await;
    let users = format!("{account}/users");
    let refused =
        test.call("PUT", &users, json!({"password": "short", "priv_level": "god", "enabled": 1})).await;
    let fields: Vec<_> = refused.body["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!((refused.status, fields.len()), (400, 6), "{refused:?}");
    let twice =
        json!({"username": "ALICE", "first_name": "A", "last_name": "B", "password": "correct horse"});
    assert!(test.call("PUT", &users, twice).await.body["data"]["username"]["unique"].is_object());
    // The name is part of the credentials, so a new one needs the password again.
    let renamed = test.call("PATCH", &user, json!({"username": "bob"})).await;
    assert!(renamed.body["data"]["password"]["required"].is_object(), "{renamed:?}");
    let replaced =
        test.call("POST", &user, json!({"username": "alice", "first_name": "A", "last_name": "B"})).await;
    assert_eq!((replaced.status, &replaced.body["data"]["priv_level"]), (200, &json!("user")));
    token(&test).await;
    let (other, _) = test.account("other").await;
    let id = user.rsplit('/').next().unwrap();
    assert_eq!(test.get(&format!("/v2/accounts/{other}/users/{id}")).await.status, 404, "another account's");
}

#[tokio::test]
async fn the_audit_trail_names_the_user_who_changed_something() {
    let test = TestApi::start().await;
    let (account, user) = alice(&test, "admin").await;
    let token = token(&test).await;
    assert_eq!(test.call_as(&token, "PATCH", &account, json!({"x": 1})).await.status, 200);
    assert_eq!(test.call_as(&token, "DELETE", "/v2/token_auth", Value::Null).await.status, 200);
    let trail = test.get("/admin/audit").await;
    for (row, kind) in [(0, "revocation"), (1, "account")] {
        let entry = &trail.body["data"][row];
        assert_eq!(entry["kind"], kind, "{trail:?}");
        assert!(user.ends_with(entry["by"]["owner_id"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_token_is_read_and_revoked() {
    let test = TestApi::start().await;
    let (id, token) = test.account("a").await;
    let other = test.key_of(&id).await;
    let seen = test.call_as(&token, "GET", "/v2/token_auth", Value::Null).await;
    assert_eq!((seen.status, &seen.body["data"]["account_id"]), (200, &json!(id)));
    assert_eq!(test.call_as(&token, "DELETE", "/v2/token_auth", Value::Null).await.status, 200);
    for path in ["/v2/token_auth", "/v2/account"] {
        let refused = test.call_as(&token, "GET", path, Value::Null).await;
        assert_eq!((refused.status, &refused.body["message"]), (401, &json!("invalid_credentials")));
    }
    assert_eq!(test.call_as(&other, "GET", "/v2/account", Value::Null).await.status, 200);
    assert_eq!(test.raw("GET", "/v2/token_auth", "", &[]).await.status, 401);
}

#[tokio::test]
async fn the_number_of_revoked_tokens_is_bounded_and_expired_ones_are_removed() {
    let rules = auth::AuthOptions { most_revoked: 2, ..auth::AuthOptions::default() };
    let test = TestApi::guarded(ApiOptions::default(), rules).await;
    let (id, _) = test.account("a").await;
    let doc = json!({"exp": NOW_S - 1}).as_object().cloned();
    let over =
        state::Write { kind: state::Kind::Revocation, id: "over".into(), doc, expect: state::Expect::Any };
    test.api.state.write(vec![over]).await.unwrap();
    for status in [200, 200, 429] {
        let token = test.key_of(&id).await;
        assert_eq!(test.call_as(&token, "DELETE", "/v2/token_auth", Value::Null).await.status, status);
    }
    assert_eq!(test.api.state.all(state::Kind::Revocation).unwrap().len(), 2);
}

#[tokio::test]
async fn rotating_and_revoking_a_key_ends_its_tokens() {
    let test = TestApi::start().await;
    let (id, _) = test.account("a").await;
    let keys = format!("/v2/accounts/{id}/api_keys");
    let made = test.call("PUT", &keys, json!({"name": "mine"})).await;
    let (path, text) = (made.header("location").unwrap(), made.body["data"]["api_key"].as_str().unwrap());
    let token = test.login(text).await;
    let works =
        async |token: &str| test.call_as(token, "GET", "/v2/account", Value::Null).await.status == 200;
    assert!(works(&token).await);
    let rotated = test.call("POST", &format!("{path}/rotate"), json!({})).await;
    assert_eq!((rotated.status, &rotated.body["data"]["name"]), (200, &json!("mine")), "{rotated:?}");
    assert!(!works(&token).await);
    let old = test.raw("PUT", "/v2/api_auth", &json!({"data": {"api_key": text}}).to_string(), &[]).await;
    assert_eq!(old.status, 404);
    let token = test.login(rotated.body["data"]["api_key"].as_str().unwrap()).await;
    assert!(
        !test.get(path).await.body.to_string().contains(rotated.body["data"]["api_key"].as_str().unwrap())
    );
    assert_eq!(test.call("DELETE", path, Value::Null).await.status, 200);
    assert!(!works(&token).await);
    assert_eq!(test.get(path).await.status, 404);
    let (other, _) = test.account("other").await;
    let foreign = test.get(&keys).await.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(test.get(&format!("/v2/accounts/{other}/api_keys/{foreign}")).await.status, 404);
}

#[tokio::test]
async fn requests_take_tokens_from_a_bucket_until_it_is_empty() {
    let requests = Some(Rate { burst: 100, per_minute: 600 });
    let rules = auth::AuthOptions { requests, log_in_cost: 35, ..auth::AuthOptions::default() };
    // The test's own log-in takes 35 tokens of the bucket for strangers. Time stands still.
    let test = TestApi::guarded(ApiOptions::default(), rules).await;
    let first = test.get("/v2/account").await;
    assert_eq!(first.body["tokens"], json!({"consumed": 1, "remaining": 99}));
    test.login(KEY).await;
    let refused = test.raw("PUT", "/v2/api_auth", &json!({"data": {"api_key": KEY}}).to_string(), &[]).await;
    let details = json!({"message": "too many requests"});
    assert_eq!(refused.refusal(), (429, "too_many_requests", &details));
    assert_eq!(refused.body["tokens"], json!({"consumed": 0, "remaining": 30}));
    for left in (0..99).rev() {
        assert_eq!(test.get("/v2/account").await.body["tokens"]["remaining"], left);
    }
    assert_eq!(test.get("/v2/account").await.status, 429);
    assert_eq!(test.raw("GET", "/v2/webhooks", "", &[]).await.status, 200, "nobody's bucket is another one");
}

#[tokio::test]
async fn repeated_wrong_credentials_are_refused_without_being_checked() {
    let wrong_credentials = Some(Rate { burst: 3, per_minute: 6 });
    let rules = auth::AuthOptions { wrong_credentials, ..auth::AuthOptions::default() };
    let test = TestApi::guarded(ApiOptions::default(), rules).await;
    alice(&test, "admin").await;
    let with_key = async |key: &str| {
        test.raw("PUT", "/v2/api_auth", &json!({"data": {"api_key": key}}).to_string(), &[]).await.status
    };
    assert_eq!(with_key(&"f".repeat(64)).await, 404);
    for _ in 0..3 {
        let wrong = json!({"credentials": "0".repeat(32), "account_realm": "a.example.com"});
        assert_eq!(log_in(&test, wrong).await.status, 401);
    }
    let right = json!({"credentials": MD5, "account_realm": "a.example.com"});
    assert_eq!(log_in(&test, right).await.status, 429, "the limit of this account and address");
    let elsewhere = json!({"credentials": "0".repeat(32), "account_realm": "b.example.com"});
    assert_eq!(log_in(&test, elsewhere).await.status, 401, "other log-ins are checked");
    assert_eq!(with_key(&"f".repeat(64)).await, 404);
    assert_eq!(with_key(&"e".repeat(64)).await, 429);
    assert_eq!(with_key(KEY).await, 201, "wrong keys never exclude a right one");
    assert_eq!(test.get("/v2/account").await.status, 200, "tokens are accepted");
}

#[tokio::test]
async fn ten_thousand_revocations_of_one_tenant_block_nobody_else_s() {
    let test = TestApi::start().await;
    let ((noisy, noisy_token), (_, victim_token)) =
        (test.account("noisy").await, test.account("victim").await);
    for chunk in 0..100 {
        let revoked = |number: usize| crate::state::Write {
            kind: crate::state::Kind::Revocation,
            id: format!("{chunk}-{number}"),
            doc: json!({"exp": NOW_S + 60, "pvt_account_id": noisy}).as_object().cloned(),
            expect: crate::state::Expect::Any,
        };
        test.api.state.write((0..100).map(revoked).collect()).await.unwrap();
    }
    let revoke =
        async |token: &str| test.call_as(token, "DELETE", "/v2/token_auth", Value::Null).await.status;
    assert_eq!(revoke(&noisy_token).await, 429, "the most revocations of one account");
    assert_eq!(revoke(&victim_token).await, 200);
    assert_eq!(test.call_as(&victim_token, "GET", "/v2/account", Value::Null).await.status, 401);
}
