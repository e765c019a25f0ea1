//! The rules of all frames except commands, as tables of frames and replies.

use super::*;
use crate::model::{EventId, EventOffset};

#[test]
fn a_client_can_do_nothing_until_it_shows_a_valid_token() {
    let mut talk = Talk::begin();
    for token in [json!(null), json!(""), json!(7), json!({"a": 1})] {
        for action in ["ping", "subscribe", "noop", "a.b", "*"] {
            let error = talk.error(&json!({"action": action, "auth_token": token}));
            assert_eq!(error, "authentication token required");
        }
    }
    let error = talk.error(&json!({"action": "ping", "auth_token": "secret-and-wrong"}));
    assert_eq!(error, "failed to authenticate token secret-a…");
    assert_eq!(talk.error(&json!({"auth_token": "é"})), "failed to authenticate token é…");
    talk.denied = Denied::TooMany(3);
    assert_eq!(talk.error(&json!({"auth_token": "x"})), "too many sessions of this account : at most 3");
    assert_eq!(talk.data(&json!({"action": "ping", "auth_token": GOOD})), json!({"response": "pong"}));
    // From now on tokens are not checked.
    assert_eq!(talk.data(&json!({"action": "ping", "auth_token": "x"})), json!({"response": "pong"}));
    assert_eq!(talk.data(&json!({"action": "ping"})), json!({"response": "pong"}));
}

#[test]
fn a_refused_frame_may_identify_the_client_but_changes_nothing_else() {
    let mut talk = Talk::begin();
    let mut frame = subscribe(OWN, "call.BOO.*");
    (frame["auth_token"], frame["name"]) = (GOOD.into(), "tab".into());
    assert_eq!(talk.error(&frame), "event BOO not supported");
    assert!(talk.protocol.caller().is_some() && talk.protocol.name.is_none());
    assert_eq!(talk.data(&json!({"action": "ping"})), json!({"response": "pong"}));
}

#[test]
fn a_request_id_is_repeated_or_created() {
    let mut talk = Talk::known();
    for (given, echoed) in [
        (json!("8f4c"), json!("8f4c")),
        (json!(7), json!(7)),
        (json!(""), json!("")),
        (json!(null), json!("made")),
    ] {
        assert_eq!(talk.ask(&json!({"request_id": given}))["request_id"], echoed);
    }
    assert_eq!(talk.say("{")["request_id"], "made");
}

#[test]
fn unknown_actions_succeed_and_do_nothing() {
    let mut talk = Talk::known();
    talk.data(&subscribe(OWN, "call.*.*"));
    for action in
        [json!(null), json!(""), json!("noop"), json!("*"), json!("#"), json!("a.b"), json!(["ping"])]
    {
        assert_eq!(talk.data(&json!({"action": action})), json!({}), "{action}");
    }
    assert_eq!(talk.protocol.subscriptions.bindings(), ["call.*.*"]);
}

#[test]
fn malformed_frames_are_answered_with_an_error() {
    for text in ["", "{", "[]", "7", "\"ping\"", "null", "{\"action\":}", "{} {}", &"[".repeat(100_000)] {
        let mut talk = Talk::known();
        let reply = talk.say(text);
        assert_eq!(reply["data"], json!({"errors": ["invalid JSON"]}), "{text:.20}");
    }
}

#[test]
fn a_target_is_checked_in_kazoos_order() {
    let none = "missing required keys in data object";
    let both = "missing required keys : account_id, binding";
    let (no_account, no_binding) = ("missing required keys : account_id", "missing required keys : binding");
    let unauthorized = "unauthorized account id";
    let unknown = "no available subscriptions to requested binding";
    for (data, words) in [
        (json!(null), none),
        (json!({}), none),
        (json!("text"), none),
        (json!([]), none),
        (json!({"x": 1}), both),
        (json!({"account_id": null, "binding": null}), both),
        (json!({"binding": "call.*.*"}), no_account),
        (json!({"account_id": OWN}), no_binding),
        (json!({"account_id": OWN, "binding": 7}), no_binding),
        (json!({"account_id": OWN, "bindings": []}), no_binding),
        (json!({"account_id": OWN, "bindings": "call.*.*"}), no_binding),
        (json!({"account_id": OWN, "bindings": ["call.*.*", 7]}), no_binding),
        // The form is checked before the account, and the account before unknown bindings.
        (json!({"account_id": STRANGE, "binding": "call.BOO.*"}), "event BOO not supported"),
        (json!({"account_id": STRANGE, "binding": "foo.bar"}), unauthorized),
        (json!({"account_id": OWN, "binding": "foo.bar"}), unknown),
        (json!({"account_id": OWN, "binding": ""}), unknown),
        (json!({"account_id": OWN, "bindings": ["call.*.*", "foo.bar"]}), unknown),
        (json!({"account_id": STRANGE, "binding": "call.*.*"}), unauthorized),
        (json!({"account_id": "x", "binding": "call.*.*"}), unauthorized),
        (json!({"account_id": 7, "binding": "call.*.*"}), unauthorized),
        (json!({"account_id": "*", "binding": "call.*.*"}), "unauthorized wildcard account id"),
        (json!({"account_id": OWN, "binding": "call.*.*", "after": "x"}), "invalid event id : x"),
        (json!({"account_id": OWN, "binding": "call.*.*", "after": 7}), "invalid event id : 7"),
        (json!({"account_id": OWN, "binding": "call.*.*", "since": "then"}), "invalid time : then"),
        (json!({"account_id": OWN, "binding": "call.*.*", "since": 5}), "invalid time : 5"),
    ] {
        let mut talk = Talk::known();
        assert_eq!(talk.error(&json!({"action": "subscribe", "data": data})), words, "{data}");
        assert_eq!(talk.protocol.subscriptions.len(), 0, "{data}");
    }
}

#[test]
fn a_client_may_subscribe_to_its_account_and_those_below_and_the_master_to_all() {
    let mut talk = Talk::known();
    assert_eq!(talk.data(&subscribe(OWN, "call.*.*"))["subscribed"], json!(["call.*.*"]));
    let below = talk.data(&subscribe(&BELOW.to_uppercase(), "call.*.*"));
    assert_eq!(below["subscribed"], json!(["call.*.*", "call.*.*"]));
    talk.tree.is_master = true;
    let data = talk.data(&subscribe("*", "object.*.*"));
    assert_eq!(data["subscribed"], json!(["call.*.*", "call.*.*", "object.*.*"]));
    let reaches = talk.protocol.subscriptions.reaches();
    assert_eq!(reaches, [Reach::One(AccountId(0xaa)), Reach::One(AccountId(0xbb)), Reach::All].into());
}

#[test]
fn a_subscription_in_any_form_succeeds_and_may_be_repeated() {
    for frame in [
        json!({"action": "subscribe", "data": {"account_id": OWN, "binding": "call.*.*"}}),
        json!({"action": "subscribe", "data": {"account_id": OWN, "bindings": ["call.*.*"]}}),
        json!({"action": "subscribe", "data": {"account_id": OWN, "binding": "call.*.*", "bindings": ["x"]}}),
        json!({"action": "subscribe", "account_id": OWN, "binding": "call.*.*"}),
        json!({"action": "subscribe", "account_id": OWN, "bindings": ["call.*.*", "call.*.*"]}),
        json!({"action": "subscribe", "account_id": OWN, "binding": "call.*.*", "bindings": ["x"], "data": null}),
    ] {
        let mut talk = Talk::known();
        for _ in 0..3 {
            let expected = json!({"subscribed": ["call.*.*"], "event_id": "000000010000000000000004"});
            assert_eq!(talk.data(&frame), expected, "{frame}");
        }
        let frame = json!({"action": "subscribe", "account_id": STRANGE, "data": {"account_id": OWN, "binding": "dialog.*"}});
        let expected = json!(["call.*.*", "dialog.*"]);
        assert_eq!(talk.data(&frame)["subscribed"], expected, "the data object counts");
    }
}

#[test]
fn unsubscribing_removes_the_named_bindings_and_always_succeeds() {
    let unsubscribe = |more: Value| {
        let mut frame = json!({"action": "unsubscribe"});
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        frame
    };
    let one = json!({"account_id": OWN, "binding": "call.*.*"});
    for (frame, gone, left) in [
        (json!({"data": one}), vec!["call.*.*"], vec!["fax.status.*", "call.*.*"]),
        (one, vec!["call.*.*"], vec!["fax.status.*", "call.*.*"]),
        (
            json!({"data": {"account_id": OWN, "bindings": ["fax.status.*", "call.*.*"]}}),
            vec!["fax.status.*", "call.*.*"],
            vec!["call.*.*"],
        ),
        // Not subscribed, another account, or another spelling: nothing is removed.
        (
            json!({"data": {"account_id": OWN, "binding": "call.PARK_PARKED.*"}}),
            vec!["call.PARK_PARKED.*"],
            vec!["call.*.*", "fax.status.*", "call.*.*"],
        ),
        (
            json!({"data": {"account_id": STRANGE, "binding": "call.*.*"}}),
            vec!["call.*.*"],
            vec!["call.*.*", "fax.status.*", "call.*.*"],
        ),
        (
            json!({"data": {"account_id": "nobody", "binding": "call.*.*"}}),
            vec!["call.*.*"],
            vec!["call.*.*", "fax.status.*", "call.*.*"],
        ),
        // The form of 2016: everything, or everything of an account.
        (json!({}), vec!["call.*.*", "fax.status.*", "call.*.*"], vec![]),
        (json!({"account_id": OWN}), vec!["call.*.*", "fax.status.*"], vec!["call.*.*"]),
    ] {
        let mut talk = Talk::known();
        for (account, binding) in [(OWN, "call.*.*"), (OWN, "fax.status.*"), (BELOW, "call.*.*")] {
            talk.data(&subscribe(account, binding));
        }
        let data = talk.data(&unsubscribe(frame.clone()));
        assert_eq!(data, json!({"unsubscribed": gone, "subscribed": left}), "{frame}");
    }
    let mut talk = Talk::known();
    for (frame, words) in [
        (json!({"data": {}}), "missing required keys in data object"),
        (json!({"data": {"account_id": OWN}}), "missing required keys : binding"),
        (json!({"data": {"account_id": OWN, "binding": "call.BOO.*"}}), "event BOO not supported"),
        (
            json!({"data": {"account_id": OWN, "binding": "foo"}}),
            "no available subscriptions to requested binding",
        ),
    ] {
        assert_eq!(talk.error(&unsubscribe(frame)), words);
    }
}

#[test]
fn an_impossible_start_is_an_error_and_subscribes_to_nothing() {
    let mut talk = Talk::known();
    let mut frame = subscribe(OWN, "call.*.*");
    frame["data"]["after"] = "000000010000000000000004".into();
    talk.place = || Err(StartError::Dropped(EventId { log: 1, offset: EventOffset(4) }));
    assert_eq!(talk.error(&frame), "events after 000000010000000000000004 are no longer kept");
    assert_eq!(talk.protocol.subscriptions.len(), 0);
    talk.place = || Ok(StartPosition { from: EventOffset(5), live_from: EventOffset(9), since_us: 0 });
    assert_eq!(talk.data(&frame)["event_id"], "000000010000000000000004");
    assert_eq!(talk.protocol.subscriptions.position(), Some(EventOffset(5)));
}

#[test]
fn more_frames_than_the_bucket_holds_are_refused_before_anything_else() {
    let mut talk = Talk::begin();
    for _ in 0..100 {
        assert_eq!(talk.error(&json!({})), "authentication token required");
    }
    let words = "rate limiting threshold hit for 192.0.2.1:7!";
    let reply = talk.ask(&json!({"request_id": "r", "auth_token": GOOD}));
    assert_eq!((&reply["request_id"], &reply["data"]["errors"][0]), (&json!("r"), &json!(words)));
    assert_eq!(talk.say("{")["data"]["errors"][0], words);
    talk.now_us = 100_000;
    assert_eq!(talk.data(&json!({"auth_token": GOOD})), json!({}));
    assert_eq!(talk.error(&json!({})), words);
}

#[test]
fn more_bindings_than_a_session_may_have_are_refused() {
    let mut talk = Talk::with(&LiveOptions { max_bindings: 2, ..LiveOptions::default() });
    talk.data(&json!({"auth_token": GOOD}));
    talk.data(&subscribe(OWN, "call.*.*"));
    let two = json!({"action": "subscribe", "account_id": OWN, "bindings": ["fax.status.*", "dialog.*"]});
    assert_eq!(talk.error(&two), "too many bindings : at most 2");
    talk.data(&subscribe(OWN, "fax.status.*"));
    talk.data(&subscribe(OWN, "call.*.*"));
    assert_eq!(talk.error(&subscribe(OWN, "dialog.*")), "too many bindings : at most 2");
}

#[test]
fn a_name_and_metadata_are_kept_until_they_are_changed() {
    let mut talk = Talk::known();
    talk.data(&json!({"name": "console", "metadata": {"tab": 2}}));
    talk.data(&json!({"action": "ping"}));
    assert_eq!(
        (&talk.protocol.name, &talk.protocol.metadata),
        (&Some("console".into()), &Some(json!({"tab": 2})))
    );
    talk.data(&json!({"name": "other"}));
    assert_eq!(
        (&talk.protocol.name, &talk.protocol.metadata),
        (&Some("other".into()), &Some(json!({"tab": 2})))
    );
}

#[test]
fn an_expired_token_is_ignored_or_refused_or_ends_the_session_as_configured() {
    let with = |token_expiry| {
        let mut talk = Talk::with(&LiveOptions { token_expiry, ..LiveOptions::default() });
        talk.data(&json!({"auth_token": GOOD}));
        talk.now_s = 200;
        talk
    };
    let mut ignoring = with(TokenExpiry::Ignore);
    ignoring.data(&subscribe(OWN, "call.*.*"));
    assert!(!ignoring.protocol.is_over(10_000));

    let mut refusing = with(TokenExpiry::Refuse);
    assert!(!refusing.protocol.is_over(10_000));
    refusing.data(&json!({"action": "ping"}));
    assert_eq!(refusing.error(&subscribe(OWN, "call.*.*")), "authentication token required");
    let mut frame = subscribe(OWN, "call.*.*");
    frame["auth_token"] = "other".into();
    assert_eq!(refusing.error(&frame), "failed to authenticate token other…");
    frame["auth_token"] = "newer".into();
    refusing.data(&frame);
    refusing.data(&subscribe(OWN, "dialog.*"));

    let mut closing = with(TokenExpiry::Close);
    assert!(closing.protocol.is_over(200) && !closing.protocol.is_over(199));
    closing.data(&json!({"auth_token": "newer"}));
    assert!(!closing.protocol.is_over(200) && closing.protocol.is_over(900));
}
