//! Identities: a tenant cannot choose an id or a realm, and so cannot take or shadow one of another tenant.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event, credentials};
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;

async fn one_attempt(client: &Api, path: &str) {
    eventually("one attempt is shown", Duration::from_secs(30), async || {
        let answer = client.own("GET", path, None).await;
        answer.data().as_array().is_some_and(|rows| rows.len() == 1).then_some(())
    })
    .await;
}

/// Ids that collide with `id` in a reduced form, or that a later hook could have.
fn collisions(victim: &str) -> [String; 4] {
    let number = u128::from_str_radix(victim, 16).unwrap();
    let one_shot = number ^ 0x6f6e_652d_7368_6f74_2063_616c_6c66_6c77;
    let (first, last) = victim.split_at(16);
    [victim.to_owned(), format!("{one_shot:032x}"), format!("{last}{first}"), format!("{:032x}", number + 1)]
}

#[tokio::test]
async fn a_tenant_cannot_choose_the_id_of_an_account_a_hook_or_a_user() {
    let mut app = TestApp::start().await;
    let (victim, attacker) = (app.api.tenant("victim").await, app.api.tenant("attacker").await);
    let hook = victim.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
    for id in collisions(&victim.account).into_iter().chain(collisions(&hook)) {
        let uses = [
            ("/webhooks", json!({"id": id, "name": "n", "uri": "http://127.0.0.1:9/", "hook": "all"})),
            (
                "/users",
                json!({"id": id, "username": "eve", "first_name": "A", "last_name": "B", "password": "correct horse"}),
            ),
            ("", json!({"id": id, "name": "below"})),
        ];
        for (path, data) in uses {
            let answer = attacker.own("PUT", path, Some(json!({"data": data}))).await;
            assert_eq!(answer.status, 400, "{path} {id}: {answer:?}");
            assert!(answer.data()["id"]["forbidden"].is_object(), "{answer:?}");
        }
    }
    // A refused id is not reserved: the master account can still use it.
    let id = "4f2c1a9be0d34c7f8a6b5d2e1c0f9a83";
    let refused = attacker.own("PUT", "", Some(json!({"data": {"id": id, "name": "squat"}}))).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let made = app.api.own("PUT", "", Some(json!({"data": {"id": id, "name": "mirrored"}}))).await;
    assert_eq!((made.status, &made.data()["id"]), (201, &Value::from(id)), "{made:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_cannot_choose_its_realm_and_keeps_the_one_it_has() {
    let mut app = TestApp::start().await;
    let attacker = app.api.tenant("attacker").await;
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

#[tokio::test]
async fn not_even_the_master_account_can_choose_an_id_that_collides_in_a_reduced_form() {
    let mut app = TestApp::start().await;
    let (one, other) = (app.api.tenant("one").await, app.api.tenant("other").await);
    let hook = one.hook(json!({"uri": "http://127.0.0.1:9/", "hook": "all"})).await;
    let [taken, one_shot, swapped, free] = collisions(&hook);
    let hooks = format!("/v2/accounts/{}/webhooks", other.account);
    let make =
        |id: &str| json!({"data": {"id": id, "name": "n", "uri": "http://127.0.0.1:9/", "hook": "all"}});
    for id in [one_shot, swapped] {
        for (path, data) in
            [(hooks.as_str(), make(&id)), ("/v2/accounts", json!({"data": {"id": id, "name": "below"}}))]
        {
            let answer = app.api.call("PUT", path, Some(data)).await;
            assert!(
                answer.status == 400 && answer.data()["id"]["unique"].is_object(),
                "{path} {id}: {answer:?}"
            );
        }
    }
    assert_eq!(app.api.call("PUT", &hooks, Some(make(&taken))).await.status, 409);
    assert_eq!(app.api.call("PUT", &hooks, Some(make(&one.account))).await.status, 400, "an account has it");
    assert_eq!(app.api.call("PUT", &hooks, Some(make(&free))).await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_hook_created_again_with_the_id_of_a_deleted_one_does_not_show_its_history() {
    let mut app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let other = app.api.tenant("other").await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/old"), "hook": "all"})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "secret-call", 1)]).await;
    receiver.wait_for(1, Duration::from_secs(30)).await;
    let path = format!("/webhooks/{hook}/attempts");
    one_attempt(&app.api, &path).await;
    let gone = app.api.own("DELETE", &format!("/webhooks/{hook}?should_soft_delete=false"), None).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let again = json!({"data": {"id": hook, "name": "n", "uri": receiver.uri("/new"), "hook": "all"}});
    let made = app.api.call("PUT", &format!("/v2/accounts/{}/webhooks", other.account), Some(again)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = other.own("GET", &path, None).await;
    assert_eq!((shown.status, shown.data()), (200, &json!([])), "{shown:?}");
    // Its own attempts are shown.
    other.publish(&[call_event("CHANNEL_CREATE", "own-call", 2)]).await;
    one_attempt(&other, &path).await;
    assert_eq!(receiver.requests_at("/new").len(), 1);
    app.stop().await;
}

#[tokio::test]
async fn documents_created_while_their_account_is_deleted_are_deleted_too() {
    let mut app = TestApp::start().await;
    let victim = app.api.tenant("short-lived").await;
    let account = format!("/v2/accounts/{}", victim.account);
    let make = |number: usize| {
        let (path, data) = match number % 2 {
            0 => ("webhooks", json!({"name": "n", "uri": "http://127.0.0.1:9/", "hook": "all"})),
            _ => (
                "users",
                json!({
                    "username": format!("eve{number}"), "password": "correct horse", "first_name": "Eve", "last_name": "X",
                }),
            ),
        };
        let (client, path) = (&app.api, format!("{account}/{path}"));
        async move { client.call("PUT", &path, Some(json!({"data": data}))).await.status }
    };
    let before = join_all((0..8).map(make)).await;
    assert!(before.iter().all(|status| *status == 201), "{before:?}");
    let delete = app.api.call("DELETE", &account, None);
    let (deleted, made) = tokio::join!(delete, join_all((8..72).map(make)));
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert!(made.iter().all(|status| [201, 404].contains(status)), "{made:?}");
    // The master account may create the account again; it is empty.
    let again = json!({"data": {"id": victim.account, "name": "again"}});
    let answer = app.api.call("PUT", "/v2/accounts", Some(again)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    for path in ["webhooks", "users", "api_keys"] {
        let left = app.api.call("GET", &format!("{account}/{path}"), None).await;
        assert_eq!((left.status, left.data()), (200, &json!([])), "{path}: {left:?}");
    }
    app.stop().await;
}

/// Creates a user who can log in to an account.
async fn user_of(app: &TestApp, account: &str, password: &str) {
    let user = json!({
        "username": "ann", "password": password, "first_name": "Ann", "last_name": "A", "priv_level": "admin",
    });
    let path = format!("/v2/accounts/{account}/users");
    let made = app.api.call("PUT", &path, Some(json!({"data": user}))).await;
    assert_eq!(made.status, 201, "{made:?}");
}

#[tokio::test]
async fn an_account_with_the_name_of_another_neither_breaks_nor_gets_its_log_ins() {
    let mut app = TestApp::start().await;
    let (attacker, victim) = (app.api.tenant("attacker").await, app.api.tenant("Acme, Inc.").await);
    user_of(&app, &victim.account, "correct horse").await;
    user_of(&app, &attacker.account, "wrong donkey").await;
    let rename = json!({"data": {"name": "ACME inc"}});
    assert_eq!(attacker.own("PATCH", "", Some(rename)).await.status, 200);
    for number in 0..20 {
        let parent =
            attacker.account_below(&attacker.account, &format!("acme-inc{}", "!".repeat(number))).await;
        attacker.account_below(&parent, "AcmeInc").await;
    }
    let stranger = app.anonymous();
    let log_in = async |password: &str| {
        let credentials = credentials("ann", password);
        let data = json!({"credentials": credentials, "method": "md5", "account_name": "Acme Inc"});
        stranger.call("PUT", "/v2/user_auth", Some(json!({"data": data}))).await
    };
    let answer = log_in("correct horse").await;
    assert_eq!((answer.status, &answer.data()["account_id"]), (201, &json!(victim.account)), "{answer:?}");
    let answer = log_in("wrong donkey").await;
    assert_eq!((answer.status, &answer.data()["account_id"]), (201, &json!(attacker.account)), "{answer:?}");
    assert_eq!(log_in("neither").await.status, 401);
    app.stop().await;
}

#[tokio::test]
async fn a_log_in_may_spell_a_realm_in_any_equivalent_way() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    user_of(&app, &tenant.account, "correct horse").await;
    let own = format!("/v2/accounts/{}", tenant.account);
    let given = app.api.call("PATCH", &own, Some(json!({"data": {"realm": "Own.example.com"}}))).await;
    assert_eq!(given.status, 200, "{given:?}");
    let stranger = app.anonymous();
    for realm in
        ["own.example.com", "OWN.EXAMPLE.COM.", " own.exam\u{200b}ple.com", "\u{ff4f}wn\u{3002}example.com"]
    {
        let credentials = credentials("ann", "correct horse");
        let data = json!({"data": {"credentials": credentials, "method": "md5", "account_realm": realm}});
        let answer = stranger.call("PUT", "/v2/user_auth", Some(data)).await;
        assert_eq!(answer.status, 201, "{realm:?}: {answer:?}");
        assert_eq!(answer.data()["account_id"], json!(tenant.account), "{realm:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn of_colliding_ids_that_are_chosen_at_once_only_one_is_accepted() {
    let mut app = TestApp::start().await;
    for round in 0..8_u128 {
        let id = format!("{:032x}", 0x4f2c_1a9b_e0d3_4c7f_8a6b_5d2e_1c0f_9a83_u128 + (round << 8));
        let [same, one_shot, swapped, _] = collisions(&id);
        let make = |id: String, number: usize| {
            let data = match number % 2 {
                0 => json!({"id": id, "name": "n", "uri": "http://127.0.0.1:9/", "hook": "all"}),
                _ => json!({"id": id, "name": "below"}),
            };
            let path = if number.is_multiple_of(2) { "/webhooks" } else { "" };
            let client = &app.api;
            async move { client.own("PUT", path, Some(json!({"data": data}))).await.status }
        };
        let ids = [same.clone(), same, one_shot.clone(), one_shot, swapped.clone(), swapped];
        let made = join_all(ids.into_iter().enumerate().map(|(number, id)| make(id, number))).await;
        assert_eq!(made.iter().filter(|status| **status == 201).count(), 1, "{made:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hook_created_again_with_its_id_delivers_while_an_attempt_of_the_deleted_one_hangs() {
    let mut app = TestApp::with(&["delivery.request_timeout_ms=120000"]).await;
    let receiver = Receiver::start().await;
    receiver.mood_at("/old", Mood::Hang);
    let other = app.api.tenant("other").await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/old"), "hook": "all"})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "old-call", 1)]).await;
    receiver.wait_for(1, Duration::from_secs(30)).await;
    let gone = app.api.own("DELETE", &format!("/webhooks/{hook}?should_soft_delete=false"), None).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let again = json!({"data": {"id": hook, "name": "n", "uri": receiver.uri("/new"), "hook": "all"}});
    let made = app.api.call("PUT", &format!("/v2/accounts/{}/webhooks", other.account), Some(again)).await;
    assert_eq!(made.status, 201, "{made:?}");
    other.publish(&[call_event("CHANNEL_CREATE", "new-call", 2)]).await;
    let is_new = |requests: &[Request]| requests.iter().any(|request| request.path == "/new");
    receiver.wait_until(Duration::from_secs(30), is_new).await;
    assert_eq!(receiver.requests_at("/old").len(), 1, "the old attempt is the only one");
    app.stop().await;
}
