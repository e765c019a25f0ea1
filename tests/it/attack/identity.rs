//! Identities: a tenant cannot choose an id or a realm, and so cannot take or shadow one of another tenant.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};

async fn tenant(app: &TestApp, name: &str) -> Api {
    let master = app.api.account.clone();
    let account = app.api.account_below(&master, name).await;
    let body = json!({"data": {"name": "test"}});
    let answer = app.api.call("PUT", &format!("/v2/accounts/{account}/api_keys"), Some(body)).await;
    app.client_with(answer.data()["api_key"].as_str().unwrap()).await
}

/// Ids that collide with an id in a reduced form, or are one that may come later.
fn collisions(victim: &str) -> [String; 4] {
    let number = u128::from_str_radix(victim, 16).unwrap();
    let one_shot = number ^ 0x6f6e_652d_7368_6f74_2063_616c_6c66_6c77;
    let (first, last) = victim.split_at(16);
    [victim.to_owned(), format!("{one_shot:032x}"), format!("{last}{first}"), format!("{:032x}", number + 1)]
}

#[tokio::test]
async fn a_tenant_chooses_no_id_of_an_account_a_hook_or_a_user() {
    let mut app = TestApp::start().await;
    let (victim, attacker) = (tenant(&app, "victim").await, tenant(&app, "attacker").await);
    let hook = victim.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
    for id in collisions(&victim.account).into_iter().chain(collisions(&hook)) {
        let uses = [
            ("/webhooks", json!({"id": id, "name": "n", "uri": "http://127.0.0.1:9/", "hook": "all"})),
            ("/users", json!({"id": id, "username": "eve", "password": "correct horse"})),
            ("", json!({"id": id, "name": "below"})),
        ];
        for (path, data) in uses {
            let answer = attacker.own("PUT", path, Some(json!({"data": data}))).await;
            assert_eq!(answer.status, 400, "{path} {id}: {answer:?}");
            assert!(answer.data()["id"]["forbidden"].is_object(), "{answer:?}");
        }
    }
    // What was refused is not taken: a mirror's id still works for the master account.
    let id = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";
    let refused = attacker.own("PUT", "", Some(json!({"data": {"id": id, "name": "squat"}}))).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let made = app.api.own("PUT", "", Some(json!({"data": {"id": id, "name": "mirrored"}}))).await;
    assert_eq!((made.status, &made.data()["id"]), (201, &Value::from(id)), "{made:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_does_not_choose_its_realm_and_keeps_the_one_it_has() {
    let mut app = TestApp::start().await;
    let attacker = tenant(&app, "attacker").await;
    let own = format!("/v2/accounts/{}", attacker.account);
    let patch = |realm: &str| Some(json!({"data": {"realm": realm}}));
    let given = app.api.call("PATCH", &own, patch("own.example.com")).await;
    assert_eq!(given.status, 200, "{given:?}");
    let answer = attacker.own("PATCH", "", patch("victim.example.com")).await;
    assert!(answer.status == 400 && answer.data()["realm"]["forbidden"].is_object(), "{answer:?}");
    let answer = attacker.own("POST", "", Some(json!({"data": {"name": "renamed"}}))).await;
    assert_eq!((answer.status, &answer.data()["realm"]), (200, &"own.example.com".into()), "{answer:?}");
    for alike in ["own.example.com.", "own.example.com ", "own.exam\u{200b}ple.com", "OWN.example.com"] {
        let data = json!({"data": {"name": "x", "realm": alike}});
        let answer = app.api.own("PUT", "", Some(data)).await;
        assert_eq!(answer.status, 400, "{alike:?}: {answer:?}");
    }
    app.stop().await;
}
