//! The order of checks, and each refusal's body (`docs/kazoo/webhooks.md#order-of-checks`).

use super::*;
use crate::auth::Holder;

#[tokio::test]
async fn malformed_json_is_refused_before_anything_else() {
    let test = TestApi::start().await;
    let answer = test.raw("PUT", "/v2/accounts/xyz/webhooks", "{\"data\":", &[]).await;
    assert_eq!((answer.status, &answer.body["message"]), (400, &json!("validation error")));
    let refusal = &answer.body["data"]["json"]["invalid"];
    assert_eq!(refusal["target"], "body");
    assert!(refusal["message"].as_str().unwrap().contains(" around "));
    assert_eq!(answer.body["error"], "400");
    assert_eq!(answer.body["status"], "error");
}

#[tokio::test]
async fn a_body_without_data_is_refused_and_not_shown() {
    let test = TestApi::start().await;
    let answer = test.raw("PUT", "/v2/accounts/xyz/webhooks", "{\"a\":1}", &[]).await;
    let expected =
        json!({"data": {"required": {"message": "Field is required but missing", "value": {"a": "***"}}}});
    assert_eq!(answer.refusal(), (400, "validation error", &expected));
}

#[tokio::test]
async fn a_bad_token_counts_before_the_method_and_a_missing_one_after_the_account() {
    let test = TestApi::start().await;
    let hooks = format!("/v2/accounts/{}/webhooks", test.master);
    let bad = test.call_as("bad", "DELETE", &hooks, Value::Null).await;
    assert_eq!(bad.refusal(), (401, "invalid_credentials", &json!({"message": "invalid credentials"})));

    let wrong_method = test.raw("DELETE", &hooks, "", &[]).await;
    assert_eq!(wrong_method.refusal(), (405, "invalid_method", &json!({"message": "method not allowed"})));
    assert_eq!(wrong_method.header("allow"), Some("OPTIONS, GET, PUT, PATCH"));

    let malformed = test.raw("GET", "/v2/accounts/abc/webhooks", "", &[]).await;
    assert_eq!(malformed.refusal(), (404, "bad identifier", &json!({"message": "invalid account_id 'abc'"})));
    let nobody = "00000000000000000000000000000bad";
    let unknown = test.raw("GET", &format!("/v2/accounts/{nobody}/webhooks"), "", &[]).await;
    assert_eq!(
        unknown.refusal(),
        (404, "bad_identifier", &json!({"message": "bad identifier", "cause": nobody}))
    );
    let missing = test.raw("GET", &hooks, "", &[]).await;
    assert_eq!(missing.refusal(), (401, "invalid_credentials", &json!({"message": "invalid credentials"})));
}

#[tokio::test]
async fn a_token_is_valid_only_for_its_account_and_all_below_it() {
    let test = TestApi::start().await;
    let (a, token_a) = test.account("a").await;
    let (b, _) = test.account("b").await;
    let below = test.call_as(&token_a, "PUT", "/v2/accounts", json!({"name": "below"})).await;
    let below = below.body["data"]["id"].as_str().unwrap().to_owned();
    for (account, status) in [(&a, 200), (&below, 200), (&b, 403), (&test.master, 403)] {
        let path = format!("/v2/accounts/{account}/webhooks");
        let answer = test.call_as(&token_a, "GET", &path, Value::Null).await;
        assert_eq!(answer.status, status, "{account}");
        if status == 403 {
            assert_eq!(answer.refusal(), (403, "forbidden", &json!({"message": "forbidden"})));
        }
    }
}

#[tokio::test]
async fn an_expired_token_is_distinguished_from_a_forged_one() {
    let test = TestApi::start().await;
    let api = &test.api;
    let hour_ago = Clock::new(|| (NOW_S - 3600) * 1_000_000);
    let old = Auth::new(api.state.clone(), hour_ago, Tasks::new(), auth::AuthOptions::default());
    let old = old.issue(&Holder::Key(api.state.api_key(KEY).unwrap().unwrap())).unwrap();
    let path = format!("/v2/accounts/{}", test.master);
    let expired = test.call_as(&old, "GET", &path, Value::Null).await;
    assert_eq!(expired.refusal(), (401, "invalid credentials", &json!({})));
    let (head, rest) = test.token.split_once('.').unwrap();
    let forged = test.call_as(&format!("{head}.{rest}x"), "GET", &path, Value::Null).await;
    assert_eq!(forged.refusal().1, "invalid_credentials");
}

#[tokio::test]
async fn content_types_are_checked_after_the_caller() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let headers = [("content-type", "text/yaml")];
    assert_eq!(test.raw("PUT", &path, "a: b", &headers).await.status, 401);
    let known = [("content-type", "text/yaml"), ("x-auth-token", test.token.as_str())];
    let refused = test.raw("PUT", &path, "a: b", &known).await;
    assert_eq!((refused.status, &refused.body), (415, &json!("")));
    let accept = [("accept", "image/png"), ("x-auth-token", test.token.as_str())];
    assert_eq!(test.raw("GET", &path, "", &accept).await.status, 406);
}

#[tokio::test]
async fn unknown_paths_and_old_versions_are_distinguished() {
    let test = TestApi::start().await;
    assert_eq!(test.get("/v2/nothing").await.refusal(), (404, "not_found", &json!({"message": "not found"})));
    let path = format!("/v2/accounts/{}/webhooks/a/b", test.master);
    assert_eq!(test.get(&path).await.status, 404);
    assert_eq!(test.get("/").await.status, 404);
    let gone = test.get("/v1/accounts").await;
    assert_eq!((gone.status, gone.refusal().1), (410, "gone"));
}

#[tokio::test]
async fn the_token_is_taken_from_each_of_its_places() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}", test.master);
    let token = &test.token;
    assert_eq!(test.raw("GET", &format!("{path}?auth_token={token}"), "", &[]).await.status, 200);
    let bearer = format!("Bearer {token}");
    assert_eq!(test.raw("GET", &path, "", &[("authorization", &bearer)]).await.status, 200);
    let body = json!({"data": hook("h"), "auth_token": token}).to_string();
    assert_eq!(test.raw("PUT", &format!("{path}/webhooks"), &body, &[]).await.status, 201);
}

#[tokio::test]
async fn a_post_may_stand_for_another_method() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/webhooks", test.master);
    let created = test.call("POST", &format!("{path}?verb=put"), hook("h")).await;
    assert_eq!(created.status, 201);
    let refused = test.call("POST", &format!("{path}?verb=delete"), hook("h")).await;
    assert_eq!(refused.status, 405);
}
