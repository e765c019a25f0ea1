//! Bindings of one session at different positions of the log.

use super::*;
use crate::live::event::tests::call;
use crate::model::{AccountId, EventOffset};

fn add(subscriptions: &mut Subscriptions, account: u128, binding: &str, from: u64, live_from: u64) {
    let pattern = Pattern::parse(binding).unwrap();
    let place = StartPosition { from: EventOffset(from), live_from: EventOffset(live_from), since_us: 0 };
    subscriptions.add(Reach::One(AccountId(account)), (binding.to_owned(), pattern), place, from < live_from);
}

/// For every frame of these events: the binding, the offset and whether it is replayed.
fn frames(subscriptions: &mut Subscriptions, offsets: std::ops::Range<u64>) -> Vec<(String, u64, bool)> {
    let mut out = Vec::new();
    for offset in offsets {
        let name = if offset % 2 == 0 { "CHANNEL_CREATE" } else { "CHANNEL_ANSWER" };
        subscriptions.frames(&call(1, offset, name), &LogIds::new(7, Vec::new()), |frame| {
            let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
            let id: crate::model::EventId = frame["event_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(id.log, 7);
            let replayed = frame.get("replayed") == Some(&true.into());
            out.push((frame["subscribed_key"].as_str().unwrap().to_owned(), id.offset.0, replayed));
        });
    }
    out
}

#[test]
fn a_binding_that_starts_in_the_past_gets_older_events_and_no_other_gets_them_twice() {
    let mut subscriptions = Subscriptions::default();
    add(&mut subscriptions, 1, "call.CHANNEL_CREATE.*", 10, 10);
    assert_eq!(frames(&mut subscriptions, 10..13).len(), 2);
    add(&mut subscriptions, 1, "call.CHANNEL_ANSWER.*", 8, 13);
    assert_eq!(subscriptions.position(), Some(EventOffset(8)));
    let behind = subscriptions.behind().unwrap();
    assert_eq!((behind.from, behind.until), (EventOffset(8), Some(EventOffset(13))));
    let answer = |offset, replayed| ("call.CHANNEL_ANSWER.*".to_owned(), offset, replayed);
    assert_eq!(frames(&mut subscriptions, 8..13), [answer(9, true), answer(11, true)]);
    let create = |offset| ("call.CHANNEL_CREATE.*".to_owned(), offset, false);
    assert_eq!(frames(&mut subscriptions, 13..15), [answer(13, false), create(14)]);
    assert_eq!(subscriptions.behind().unwrap().until, None);
}

#[test]
fn each_of_overlapping_bindings_gets_a_frame_and_other_accounts_get_none() {
    let mut subscriptions = Subscriptions::default();
    add(&mut subscriptions, 1, "call.*.*", 0, 0);
    add(&mut subscriptions, 2, "call.*.*", 0, 0);
    add(&mut subscriptions, 1, "call.CHANNEL_CREATE.*", 0, 0);
    let pattern = Pattern::parse("call.*.*").unwrap();
    let place = StartPosition { from: EventOffset(0), live_from: EventOffset(0), since_us: 0 };
    subscriptions.add(Reach::All, ("call.*.*".to_owned(), pattern), place, false);
    let keys: Vec<_> = frames(&mut subscriptions, 0..1).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["call.*.*", "call.CHANNEL_CREATE.*", "call.*.*"]);
    assert_eq!(subscriptions.reaches().len(), 3);
}

#[test]
fn a_repeated_subscription_keeps_its_position_unless_it_resumes() {
    let mut subscriptions = Subscriptions::default();
    add(&mut subscriptions, 1, "call.*.*", 5, 5);
    assert_eq!(frames(&mut subscriptions, 5..7).len(), 2);
    add(&mut subscriptions, 1, "call.*.*", 5, 5);
    assert_eq!((subscriptions.len(), subscriptions.position()), (1, Some(EventOffset(7))));
    add(&mut subscriptions, 1, "call.*.*", 6, 7);
    assert_eq!((subscriptions.len(), subscriptions.position()), (1, Some(EventOffset(6))));
    assert_eq!(subscriptions.remove(|_, binding| binding == "call.*.*"), ["call.*.*"]);
    assert_eq!(subscriptions.position(), None);
}
