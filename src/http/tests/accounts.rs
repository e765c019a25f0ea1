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
    assert_eq!(answer.refusal(), (404, "bad identifier", &json!([unknown])));
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
