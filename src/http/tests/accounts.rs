//! Accounts, keys and tokens.

use super::*;

#[tokio::test]
async fn a_key_of_the_wrong_length_is_invalid_and_an_unknown_one_is_not_found() {
    let test = TestApi::start().await;
    let auth =
        async |data: Value| test.raw("PUT", "/v2/api_auth", &json!({"data": data}).to_string(), &[]).await;
    assert_eq!(auth(json!({})).await.body["data"]["api_key"]["required"]["value"], "api_key");
    assert_eq!(auth(json!({"api_key": "short"})).await.body["data"]["api_key"]["minLength"]["target"], 64);
    let unknown = "f".repeat(64);
    let answer = auth(json!({"api_key": unknown})).await;
    assert_eq!(answer.refusal(), (404, "bad identifier", &json!(["***"])));
    let known = auth(json!({"api_key": KEY})).await;
    assert_eq!(known.body["data"]["account_id"], test.master);
    assert_eq!(known.body["data"]["is_master_account"], true);
}

#[tokio::test]
async fn an_account_is_created_below_the_one_in_the_path_with_the_id_that_was_asked_for() {
    let test = TestApi::start().await;
    let (parent, _) = test.account("parent").await;
    let id = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";
    let data = json!({"id": id, "name": "child", "realm": "child.example.com", "pvt_tree": [], "extra": 1});
    let created = test.call("PUT", &format!("/v2/accounts/{parent}"), data.clone()).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["data"]["id"], id);
    assert_eq!(created.body["data"]["extra"], 1);
    assert_eq!(created.header("location"), Some(format!("/v2/accounts/{id}").as_str()));
    let account = test.api.state.account(id.parse().unwrap()).unwrap();
    let tree: Vec<_> = account.tree.iter().map(ToString::to_string).collect();
    assert_eq!(tree, [test.master.clone(), parent.clone()]);

    let mut again = data;
    again["realm"] = "other.example.com".into();
    assert_eq!(test.call("PUT", &format!("/v2/accounts/{parent}"), again).await.status, 409);
    let realm = json!({"name": "x", "realm": "Child.example.com"});
    let refused = test.call("PUT", &format!("/v2/accounts/{parent}"), realm).await;
    assert!(refused.body["data"]["realm"]["unique"].is_object());

    let names = async |path: &str| {
        let list = test.get(&format!("/v2/accounts/{}/{path}", test.master)).await;
        list.body["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("children").await, ["parent"]);
    assert_eq!(names("descendants").await, ["parent", "child"]);
}

#[tokio::test]
async fn every_error_of_an_account_is_named() {
    let test = TestApi::start().await;
    let refused = test.call("PUT", "/v2/accounts", json!({"name": 1, "realm": [], "is_reseller": "x"})).await;
    let fields: Vec<_> = refused.body["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["name", "realm", "is_reseller"]);
    let refused = test.call("PUT", "/v2/accounts", json!({"name": "x", "id": "nope"})).await;
    assert!(refused.body["data"]["id"]["pattern"].is_object());
    let refused = test.call("PUT", "/v2/accounts", json!([1])).await;
    assert!(refused.body["data"]["data"]["type"].is_object());
}

#[tokio::test]
async fn an_api_key_is_shown_once() {
    let test = TestApi::start().await;
    let path = format!("/v2/accounts/{}/api_keys", test.master);
    let created = test.call("PUT", &path, json!({"name": "mine"})).await;
    let key = created.body["data"]["api_key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 64);
    let listed = test.get(&path).await;
    assert!(!listed.body.to_string().contains(&key));
    assert_eq!(listed.body["data"][0]["name"], "mine");
    assert!(listed.body["data"][0]["masked"].as_str().unwrap().ends_with(&key[60..]));
}

#[tokio::test]
async fn account_stands_for_the_callers_own() {
    let test = TestApi::start().await;
    let (id, token) = test.account("a").await;
    let own = test.call_as(&token, "GET", "/v2/account", Value::Null).await;
    assert_eq!(own.body["data"]["id"], id);
    assert_eq!(test.raw("GET", "/v2/account/webhooks", "", &[]).await.status, 401);
}

/// Two accounts, a reseller below the master account and a customer below that, with a token of each.
async fn branch(test: &TestApi) -> [(String, String); 2] {
    let reseller = test.account("reseller").await;
    let path = format!("/v2/accounts/{}", reseller.0);
    let created = test.call_as(&reseller.1, "PUT", &path, json!({"name": "customer"})).await;
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.body["data"]["id"].as_str().unwrap().to_owned();
    let token = test.key_of(&id).await;
    [reseller, (id, token)]
}

#[tokio::test]
async fn an_account_is_changed_field_by_field_or_as_a_whole() {
    let test = TestApi::start().await;
    let (id, token) = test.account("a").await;
    let path = format!("/v2/accounts/{id}");
    assert_eq!(test.call("PATCH", &path, json!({"realm": "a.example.com"})).await.status, 200);
    let data = json!({"timezone": "UTC", "webhooks": {"attempt_failure_count": 9}});
    let merged = test.call_as(&token, "PATCH", &path, data).await;
    assert_eq!((merged.status, &merged.body["data"]["name"]), (200, &json!("a")), "{merged:?}");
    assert_eq!(merged.body["data"]["webhooks"]["attempt_failure_count"], 9);
    let merged = test.call_as(&token, "PATCH", &path, json!({"timezone": null, "name": "b"})).await;
    assert!(merged.body["data"].get("timezone").is_none());
    assert_eq!(merged.body["data"]["realm"], "a.example.com");
    let replaced = test.call_as(&token, "POST", &path, json!({"name": "c"})).await;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_eq!(replaced.body["data"]["realm"], "a.example.com");
    assert!(replaced.body["data"].get("timezone").is_none());
    assert_eq!(replaced.body["data"]["enabled"], true);
    assert_eq!(test.api.state.account(id.parse().unwrap()).unwrap().name, "c");

    let wrong = json!({"name": "", "realm": 1, "webhooks": {"attempt_failure_count": "x"}});
    let refused = test.call_as(&token, "PATCH", &path, wrong).await;
    let fields: Vec<_> = refused.body["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!((refused.status, fields.len()), (400, 3), "{refused:?}");
    assert!(fields.contains(&"webhooks.attempt_failure_count".to_owned()));
}

#[tokio::test]
async fn only_an_ancestor_disables_promotes_moves_or_deletes_an_account() {
    let test = TestApi::start().await;
    let [(reseller, above), (customer, own)] = branch(&test).await;
    let path = format!("/v2/accounts/{customer}");
    for data in [json!({"enabled": false}), json!({"is_reseller": true})] {
        assert_eq!(test.call_as(&own, "PATCH", &path, data).await.status, 403);
    }
    let to = json!({"to": test.master});
    assert_eq!(test.call_as(&own, "POST", &format!("{path}/move"), to.clone()).await.status, 403);
    assert_eq!(test.call_as(&own, "DELETE", &path, Value::Null).await.status, 403);
    // Not out of the caller's own tree either.
    assert_eq!(test.call_as(&above, "POST", &format!("{path}/move"), to).await.status, 403);
    let disabled = test.call_as(&above, "PATCH", &path, json!({"enabled": "false"})).await;
    assert_eq!((disabled.status, &disabled.body["data"]["enabled"]), (200, &json!(false)));
    assert_eq!(test.call_as(&own, "GET", &path, Value::Null).await.status, 401, "its tokens do not work");
    assert_eq!(test.call_as(&above, "GET", &path, Value::Null).await.status, 200);
    for account in [&reseller, &test.master] {
        let path = format!("/v2/accounts/{account}");
        let answer = test.call("PATCH", &path, json!({"enabled": false})).await;
        assert_eq!(answer.status, if account == &test.master { 403 } else { 200 });
    }
    assert_eq!(test.call("DELETE", &format!("/v2/accounts/{}", test.master), Value::Null).await.status, 403);
}

#[tokio::test]
async fn a_branch_is_moved_with_all_below_it_and_never_below_itself() {
    let test = TestApi::start().await;
    let [(reseller, above), (customer, _)] = branch(&test).await;
    let (other, token) = test.account("other").await;
    let path = format!("/v2/accounts/{reseller}/move");
    for (to, status) in
        [(json!(customer), 400), (json!(reseller), 400), (json!("x"), 400), (Value::Null, 400)]
    {
        assert_eq!(test.call("POST", &path, json!({"to": to})).await.status, status, "{to}");
    }
    assert_eq!(test.call("POST", &path, json!({"to": "f".repeat(32)})).await.status, 404);
    assert_eq!(
        test.call_as(&token, "GET", &format!("/v2/accounts/{customer}"), Value::Null).await.status,
        403
    );
    let moved = test.call("POST", &path, json!({"to": other})).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let tree = &test.api.state.account(customer.parse().unwrap()).unwrap().tree;
    let tree: Vec<_> = tree.iter().map(ToString::to_string).collect();
    assert_eq!(tree, [test.master.clone(), other, reseller]);
    let seen = test.call_as(&token, "GET", &format!("/v2/accounts/{customer}"), Value::Null).await;
    assert_eq!(seen.status, 200);
    assert_eq!(
        test.call_as(&above, "GET", &format!("/v2/accounts/{customer}"), Value::Null).await.status,
        200
    );
}

#[tokio::test]
async fn an_account_is_deleted_from_the_bottom_up_and_only_the_master_makes_it_again_empty() {
    let test = TestApi::start().await;
    let [(reseller, above), (customer, token)] = branch(&test).await;
    let refused = test.call("DELETE", &format!("/v2/accounts/{reseller}"), Value::Null).await;
    assert_eq!((refused.status, &refused.body["message"]), (409, &json!("account_has_descendants")));
    let hook = test.hook(&customer, "h").await;
    let deleted = test.call("DELETE", &format!("/v2/accounts/{customer}"), Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(test.api.state.hook(hook.parse().unwrap()), None);
    assert_eq!(test.call_as(&token, "GET", "/v2/account", Value::Null).await.status, 401);
    let again = json!({"id": customer, "name": "again"});
    let path = format!("/v2/accounts/{reseller}");
    assert_eq!(test.call_as(&above, "PUT", &path, again.clone()).await.status, 400);
    assert_eq!(test.call("PUT", &path, again.clone()).await.status, 201);
    assert_eq!(test.call("PUT", &path, again).await.status, 409);
    let hooks = test.call("GET", &format!("/v2/accounts/{customer}/webhooks"), Value::Null).await;
    assert_eq!((hooks.status, &hooks.body["data"]), (200, &json!([])));
    assert_eq!(test.call_as(&token, "GET", "/v2/account", Value::Null).await.status, 401);
    assert_eq!(test.call("DELETE", &format!("/v2/accounts/{customer}"), Value::Null).await.status, 200);
    assert_eq!(test.call("DELETE", &format!("/v2/accounts/{reseller}"), Value::Null).await.status, 200);
}

#[tokio::test]
async fn accounts_above_and_beside_are_shown_as_far_as_the_token_reaches() {
    let test = TestApi::start().await;
    let [(reseller, above), (customer, own)] = branch(&test).await;
    let names = async |token: &str, path: &str| {
        let list = test.call_as(token, "GET", &format!("/v2/accounts/{customer}/{path}"), Value::Null).await;
        assert_eq!(list.status, 200, "{list:?}");
        list.body["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>()
    };
    test.call("PUT", &format!("/v2/accounts/{reseller}"), json!({"name": "beside"})).await;
    assert_eq!(names(&test.token, "tree").await, ["master", "reseller"]);
    assert_eq!(names(&above, "tree").await, ["reseller"]);
    assert_eq!(names(&own, "tree").await, [] as [Value; 0]);
    assert_eq!(names(&above, "siblings").await, ["customer", "beside"]);
    assert_eq!(names(&own, "siblings").await, ["customer"]);
}
