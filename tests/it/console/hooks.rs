//! What a person does with hooks through the forms of the pages: create, change, test, replay and delete.

use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, events_of, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// The text between two other texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split(after).next().unwrap()
}

#[tokio::test]
async fn a_hook_created_in_the_console_shows_its_secret_once_and_delivers() {
    let (receiver, app) = (Receiver::start().await, TestApp::start().await);
    let browser = Browser::operator(app.address()).await;
    let hooks = format!("/console/accounts/{}/hooks", app.api.account);
    let new = format!("{hooks}/new");
    let uri = receiver.uri("/crm");

    let wrong = [("name", "crm"), ("hook", "channel_create"), ("uri", "ftp://x"), ("timeout_ms", "soon")];
    let page = browser.submit(&new, &new, &wrong).await;
    assert!(page.says("Nothing was saved") && page.says("invalid client URL"), "{page:?}");
    assert!(page.says(r#"value="ftp://x""#) && page.says(r#"value="soon""#), "what was typed is kept");

    let fields = [
        ("name", "crm"),
        ("hook", "channel_create"),
        ("uri", uri.as_str()),
        ("http_verb", "post"),
        ("format", "json"),
        ("retries", "1"),
        ("headers", "X-Team: blue\r\n"),
        ("custom_data", "desk=7"),
        ("include_internal_legs", "true"),
        ("secret", "make"),
        ("do", "save"),
    ];
    let page = browser.submit(&new, &new, &fields).await;
    assert_eq!(page.status, 200);
    let secret = between(&page.text, r#"<pre id="new-secret" tabindex="0">"#, "<").to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{secret}");
    let hook = between(&page.text, &format!(r#"action="{hooks}/"#), "/test").to_owned();
    let document = app.api.own("GET", &format!("/webhooks/{hook}"), None).await.data().clone();
    assert_eq!((&document["headers"], &document["retries"]), (&json!({"X-Team": "blue"}), &json!(1)));
    assert!(document.get("timeout_ms").is_none(), "what was left empty is as the installation has it");
    for path in
        [format!("{hooks}/{hook}"), format!("{hooks}/{hook}?tab=settings"), format!("{hooks}/{hook}/edit")]
    {
        let page = browser.get(&path).await;
        assert!(page.status == 200 && !page.says(&secret), "{path}");
    }

    app.api.publish(&[call_event("CHANNEL_CREATE", "call", 1)]).await;
    let got = receiver.wait_for(1, LONG).await;
    assert_eq!(got[0].header("x-team"), Some("blue"));
    assert!(got[0].header("webhook-signature").is_some() && got[0].text().contains("\"desk\":\"7\""));

    let tested = browser.submit(&format!("{hooks}/{hook}"), &format!("{hooks}/{hook}/test"), &[]).await;
    assert!(tested.says("delivered") && tested.says("status 200") && tested.says("x-test"), "{tested:?}");
}

#[tokio::test]
async fn a_change_keeps_fields_that_the_form_does_not_have_and_can_clear_a_field() {
    let app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/", "timeout_ms": 900, "group": "kept"})).await;
    let browser = Browser::operator(app.address()).await;
    let page = format!("/console/accounts/{}/hooks/{hook}", app.api.account);
    let edit = format!("{page}/edit");
    assert!(browser.get(&edit).await.says(r#"value="900""#));
    let fields = [
        ("name", "new name"),
        ("hook", "all"),
        ("uri", "http://127.0.0.1:9/b"),
        ("http_verb", "put"),
        ("format", "json"),
        ("timeout_ms", ""),
        ("secret", "keep"),
        ("do", "save"),
    ];
    let saved = browser.submit(&edit, &edit, &fields).await;
    assert_eq!((saved.status, saved.location), (303, format!("{page}?done=saved")));
    let document = app.api.own("GET", &format!("/webhooks/{hook}"), None).await.data().clone();
    assert_eq!(document["group"], "kept");
    assert_eq!((&document["name"], &document["hook"]), (&json!("new name"), &json!("all")));
    assert!(document.get("timeout_ms").is_none() && document["include_internal_legs"] == false);
    let audit = app.api.call("GET", "/admin/audit?page_size=1", None).await.data()[0].clone();
    assert_eq!((&audit["by"]["kind"], &audit["by"]["remote"]), (&json!("api"), &json!("127.0.0.1")));
    // The tab with the settings leads to the changes of this hook alone, with the values before and after.
    let changes = format!("/console/accounts/{}/audit?id={hook}", app.api.account);
    assert!(browser.get(&format!("{page}?tab=settings")).await.says(&changes));
    let shown = browser.get(&changes).await;
    assert!(shown.says(" → <code>new name</code>"), "{shown:?}");
    assert_eq!(shown.text.matches("<tr data-row").count(), 2, "created and changed: {shown:?}");

    let unsure = browser.submit(&edit, &format!("{page}/delete"), &[]).await;
    assert_eq!(unsure.status, 404);
    let deleted = browser.submit(&edit, &format!("{page}/delete"), &[("sure", "yes")]).await;
    assert_eq!(deleted.status, 303);
    assert_eq!(browser.get(&page).await.status, 404);
}

#[tokio::test]
async fn a_preview_shows_the_payload_in_the_chosen_format_and_saves_nothing() {
    let app = TestApp::start().await;
    let browser = Browser::operator(app.address()).await;
    let hooks = format!("/console/accounts/{}/hooks", app.api.account);
    let new = format!("{hooks}/new");
    for (format, part) in [("json", "&quot;call_id&quot;"), ("form-data", "&amp;call_id=")] {
        let fields = [
            ("name", "<b>"),
            ("hook", "channel_create"),
            ("uri", "http://x/"),
            ("http_verb", "post"),
            ("format", format),
            ("do", "preview"),
        ];
        let page = browser.submit(&new, &new, &fields).await;
        let preview = between(&page.text, r#"id="preview""#, "</aside>");
        assert!(page.status == 200 && preview.contains(part), "{format}: {preview}");
        assert!(page.says(r#"value="&lt;b&gt;""#));
    }
    // The sample is one that the hook would get.
    let missed = [
        ("name", "missed"),
        ("hook", "notifications"),
        ("uri", "http://x/"),
        ("http_verb", "post"),
        ("format", "json"),
        ("custom_data", "type=missed_call\nsite=north"),
        ("do", "preview"),
    ];
    let page = browser.submit(&new, &new, &missed).await;
    let preview = between(&page.text, r#"id="preview""#, "</aside>");
    assert!(preview.contains("missed_call") && preview.contains("north"), "{preview}");
    assert!(!preview.contains("account_zone_change"), "{preview}");
    assert!(browser.get(&hooks).await.says("no hook yet"));
}

#[tokio::test]
async fn a_replay_delivers_exactly_what_its_count_showed() {
    let receiver = Receiver::start().await;
    let app = TestApp::with(&["disable.failure_count=0"]).await;
    let is_bad = |r: &crate::support::receiver::Request| crate::support::look::number(r).is_multiple_of(3);
    receiver.mood(Mood::by(move |r| if is_bad(r) { Mood::answer(500, &[], "no") } else { Mood::Ok }));
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 1})).await;
    app.api.publish(&events_of("one", 0..10)).await;
    settled(&app.api, &hook).await;
    receiver.forget();
    receiver.mood(Mood::Ok);

    let browser = Browser::operator(app.address()).await;
    let page = format!("/console/accounts/{}/hooks/{hook}", app.api.account);
    let replay = format!("{page}/replay");
    let counted = eventually("what is dead is counted", LONG, async || {
        let counted = browser.submit(&replay, &replay, &[("only", "dead"), ("do", "count")]).await;
        counted.says("<strong>4 deliveries</strong> would be made").then_some(counted)
    })
    .await;
    assert!(receiver.requests().is_empty(), "counting sends nothing");
    let samples = between(&counted.text, "The newest of them:", "</ul>");
    assert_eq!(samples.matches("CHANNEL_CREATE</a>").count(), 4, "{samples}");
    let token = counted.form_token();
    let started = browser.post(&replay, &[("form", &token), ("only", "dead"), ("do", "start")]).await;
    assert_eq!((started.status, started.location), (303, format!("{page}?tab=replays&done=replay")));
    receiver.wait_for(4, LONG).await;
    eventually("the replay has ended", LONG, async || {
        browser.get(&format!("{page}?tab=replays")).await.says("4 of 4").then_some(())
    })
    .await;
    assert_eq!(receiver.count(), 4);
    let wrong = browser
        .submit(
            &replay,
            &replay,
            &[("only", "all"), ("from", "2026-02-01T00:00"), ("to", "2026-01-01T00:00")],
        )
        .await;
    assert!(wrong.says("is prior to"), "{wrong:?}");
}

#[tokio::test]
async fn scripts_in_events_and_responses_are_shown_as_text() {
    let receiver = Receiver::start().await;
    let app = TestApp::with(&["disable.failure_count=0"]).await;
    let script = "<script>alert(1)</script>";
    receiver.mood(Mood::answer(500, &[("x-note", script)], script));
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 1})).await;
    let mut event = call_event("CHANNEL_CREATE", "call\"><script>alert(1)</script>", 1);
    event["Caller-ID-Name"] = script.into();
    app.api.publish(&[event]).await;
    settled(&app.api, &hook).await;
    let attempt = eventually("the attempt is listed", LONG, async || {
        let attempts = app.api.own("GET", &format!("/webhooks/{hook}/attempts"), None).await;
        attempts.data().get(0).cloned()
    })
    .await;
    let text = |field: &str| attempt[field].as_str().unwrap().to_owned();
    let browser = Browser::operator(app.address()).await;
    let of = format!("/console/accounts/{}", app.api.account);
    let call: String = url::form_urlencoded::byte_serialize(text("subject").as_bytes()).collect();
    for path in [
        format!("{of}/hooks/{hook}/attempts/{}", text("delivery_id")),
        format!("{of}/events/{}", text("event_id")),
        format!("{of}/events"),
        format!("{of}/events/tail"),
        format!("{of}/call?subject={call}"),
        format!("{of}/hooks/{hook}?tab=attempts"),
        format!("{of}/hooks/{hook}?tab=dead"),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.says("<script>") && page.says("&lt;script&gt;"), "{path}");
    }
}

#[tokio::test]
async fn every_page_of_the_navigation_opens_and_a_plain_user_is_refused_the_admin_pages() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let user = json!({"data": {"username": "paul", "first_name": "P", "last_name": "P", "password": "correct horse"}});
    let user = tenant.own("PUT", "/users", Some(user)).await.data()["id"].as_str().unwrap().to_owned();
    let operator = Browser::operator(app.address()).await;
    let mut plain = Browser::new(app.address());
    let fields = [("account", "acme"), ("username", "paul"), ("password", "correct horse")];
    assert_eq!(plain.log_in(&fields).await.status, 303);
    let of = format!("/console/accounts/{}", tenant.account);
    let user = format!("users/{user}");
    for below in [
        "hooks",
        "hooks/new",
        "events",
        "events/tail",
        "call?subject=x",
        "below",
        "below?q=a",
        "account",
        "users",
        user.as_str(),
        "keys",
        "sessions",
        "audit",
        "quarantine",
    ] {
        let path = format!("{of}/{below}");
        assert_eq!(operator.get(&path).await.status, 200, "{path}");
        let seen = plain.get(&path).await.status;
        let is_open = ["hooks", "account", user.as_str()].contains(&below);
        assert_eq!(seen, if is_open { 200 } else { 403 }, "{path}");
    }
    // A filter that nothing fits says so, and what came instead. The notices of the changes above may come later.
    eventually("the page names the last event", LONG, async || {
        tenant.publish(&[json!({"Event-Category": "<i>x", "Event-Name": "y"})]).await;
        let none = operator.get(&format!("{of}/events?event=parking")).await;
        assert!(none.says("No event for hooks of “parking”"), "{none:?}");
        none.says("last event was <code>y</code>").then_some(())
    })
    .await;
    for below in ["hooks", "log", "log?log=ledger", "audit", "quarantine", "config"] {
        let path = format!("/console/admin/{below}");
        assert_eq!(operator.get(&path).await.status, 200, "{path}");
        assert_eq!(plain.get(&path).await.status, 403, "{path}");
    }
    for path in ["/console/nothing", "/console/accounts/x/hooks", "/console/accounts//hooks"] {
        assert_eq!(operator.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn accounts_users_and_keys_are_created_and_deleted_with_forms() {
    let app = TestApp::start().await;
    let operator = Browser::operator(app.address()).await;
    let of = format!("/console/accounts/{}", app.api.account);
    let (below, fields) = (format!("{of}/below"), [("name", "Acme & Sons"), ("realm", "acme.example.com")]);
    let made = operator.submit(&below, &below, &fields).await;
    assert_eq!(made.status, 303, "{made:?}");
    let account = between(&made.location, "/accounts/", "/").to_owned();
    // By name from A on, whatever the case, and found by name or realm.
    for name in ["zeta", "beta"] {
        app.api.tenant(name).await;
    }
    let listed = operator.get(&below).await.text;
    let places = ["Acme &amp; Sons", ">beta<", ">zeta<"].map(|name| listed.find(name).expect(name));
    assert!(places.is_sorted(), "{places:?}");
    let found = operator.get(&format!("{below}?q=ACME.example")).await;
    assert!(found.says("Acme &amp; Sons") && !found.says(">beta<"), "{found:?}");
    // The trail leads to what was changed.
    let trail = operator.get(&format!("/console/accounts/{account}/audit")).await;
    assert!(trail.says(&format!(r#"href="/console/accounts/{account}/account""#)), "{trail:?}");
    let again = operator.submit(&below, &below, &fields).await;
    assert!(again.says("realm is already in use"), "{again:?}");

    let acme = format!("/console/accounts/{account}");
    let users = format!("{acme}/users");
    let anna = [
        ("username", "anna"),
        ("first_name", "A"),
        ("last_name", "B"),
        ("priv_level", "admin"),
        ("password", "correct horse"),
    ];
    assert_eq!(operator.submit(&users, &users, &anna).await.status, 303);
    let short = operator.submit(&users, &users, &[("username", "paul"), ("password", "short")]).await;
    assert!(short.says("at least 8 characters") && !short.says("short\""), "{short:?}");
    let mut browser = Browser::new(app.address());
    let log_in = [("account", "acme.example.com"), ("username", "anna"), ("password", "correct horse")];
    assert_eq!(browser.log_in(&log_in).await.status, 303, "by the realm");

    let keys = format!("{acme}/keys");
    let made = browser.submit(&keys, &keys, &[("name", "crm")]).await;
    let key = between(&made.text, r#"<pre id="new-key" tabindex="0">"#, "<").to_owned();
    assert_eq!(key.len(), 64);
    assert!(!browser.get(&keys).await.says(&key), "it is shown once");
    let with_key = app.client_with(&key).await;
    assert_eq!(with_key.account, account);

    let id = between(&browser.get(&users).await.text, &format!("{users}/"), "\"").to_owned();
    let disabled = operator.submit(&users, &format!("{users}/{id}/disable"), &[]).await;
    assert_eq!(disabled.status, 303);
    assert_eq!(browser.get(&users).await.status, 303, "the session of a disabled user has ended");
    let page = format!("{acme}/account");
    assert_eq!(operator.submit(&page, &format!("{page}/disable"), &[]).await.status, 303);
    let told: Value = app.api.call("GET", &format!("/v2/accounts/{account}"), None).await.data().clone();
    assert_eq!(told["enabled"], false);
}

#[tokio::test]
async fn an_action_on_several_hooks_shows_first_what_it_would_do() {
    let app = TestApp::start().await;
    let below = app.api.account_below(&app.api.account, "acme").await;
    let uri = json!("http://127.0.0.1:9/");
    let on = app.api.hook(json!({"name": "on", "uri": uri})).await;
    let off = app.api.hook(json!({"name": "off", "uri": uri, "enabled": false})).await;
    let theirs = app.api.hook_of(&below, json!({"name": "theirs", "uri": uri})).await;
    let browser = Browser::operator(app.address()).await;
    let of = format!("/console/accounts/{}", app.api.account);
    let (page, bulk) = (format!("{of}/hooks?below=true"), format!("{of}/bulk"));
    let list = browser.get(&page).await;
    let marks = [(&app.api.account, &on), (&app.api.account, &off), (&below, &theirs)];
    let marks = marks.map(|(account, hook)| format!("{account}/{hook}"));
    assert!(marks.iter().all(|mark| list.says(&format!(r#"value="{mark}""#))), "{list:?}");
    let mut fields = vec![("action", "disable")];
    fields.extend(marks.iter().map(|mark| ("hook", mark.as_str())));
    let is_enabled = async |account: &str, hook: &str| {
        let path = format!("/v2/accounts/{account}/webhooks/{hook}");
        app.api.call("GET", &path, None).await.data()["enabled"] == true
    };

    let checked = browser.submit(&page, &bulk, &fields).await;
    assert!(
        checked.says("<strong>2 hooks</strong> of 3 would change") && checked.says("is disabled already"),
        "{checked:?}"
    );
    assert!(is_enabled(&app.api.account, &on).await && is_enabled(&below, &theirs).await, "nothing was done");
    let token = checked.form_token();
    let mut apply = vec![("form", token.as_str()), ("do", "apply")];
    apply.extend(fields);
    let done = browser.post(&bulk, &apply).await;
    assert!(done.says("Done for <strong>3 hooks</strong> of 3"), "{done:?}");
    assert!(!is_enabled(&app.api.account, &on).await && !is_enabled(&below, &theirs).await);

    let mut stranger = Browser::new(app.address());
    stranger.cookie = format!("switchhook_console={}", app.api.tenant("stranger").await.token());
    let fields = [("action", "enable"), ("do", "apply"), ("hook", marks[2].as_str())];
    let refused = stranger.submit("/console/", &bulk, &fields).await;
    assert!(refused.status == 403 || refused.says("Not allowed"), "{refused:?}");
    assert!(!is_enabled(&below, &theirs).await);
    let none = browser.submit(&page, &bulk, &[("action", "disable")]).await;
    assert!(none.status == 400 && none.says("Mark the hooks"), "{none:?}");
}
