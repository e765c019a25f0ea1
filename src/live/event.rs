//! An event for sessions: read from the log once, encoded as a frame once, and shared by all sessions.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::kazoo::{Pattern, Topic, live_data, stored_text};
use crate::log::Record;
use crate::model::{AccountId, Event, EventOffset, LogIds};

/// Approximate memory of an event beside its bytes.
const OVERHEAD: usize = 512;

/// An event to which clients can subscribe.
#[derive(Debug)]
pub(super) struct LiveEvent {
    pub(super) offset: EventOffset,
    /// Time of logging, microseconds since 1970.
    pub(super) time_us: u64,
    pub(super) account: Option<AccountId>,
    pub(super) topic: Topic,
    payload: Bytes,
    /// The frame for the first subscriber, which usually fits the others too; the inner `None` marks an unreadable
    /// body.
    first: OnceLock<Option<First>>,
}

/// An encoded frame and the subscription it was made for.
#[derive(Debug)]
struct First {
    binding: String,
    account: Option<AccountId>,
    replayed: bool,
    frame: Utf8Bytes,
    /// Byte from which on (`"name":…`) the frames of all subscribers are the same.
    tail: usize,
}

impl LiveEvent {
    /// The event of a record, if clients can subscribe to it and `wanted` accepts its account.
    pub(super) fn of(
        record: &Record<EventOffset>,
        wanted: impl Fn(Option<AccountId>) -> bool,
    ) -> Option<Self> {
        let event = Event::decode(&record.payload).ok()?;
        if !wanted(event.account) {
            return None;
        }
        let topic = Topic::of(&event)?;
        // The reader's payloads share a large buffer. A copy keeps a single event from holding all of it in memory.
        let payload = Bytes::copy_from_slice(&record.payload);
        let (offset, time_us) = (record.offset, record.time_us);
        Some(Self { offset, time_us, account: event.account, topic, payload, first: OnceLock::new() })
    }

    /// Approximate size in memory, including the frame.
    pub(super) fn size(&self) -> usize {
        OVERHEAD + 2 * self.payload.len()
    }

    /// The frame for one subscriber; `None` when the body is unreadable.
    pub(super) fn frame(&self, log_ids: &LogIds, subscriber: &Subscriber<'_>) -> Option<Utf8Bytes> {
        // Most subscribers of an event use the same binding, so the first frame is built once and shared. For the
        // others only the head is built again.
        let first = self.first.get_or_init(|| {
            let (head, tail) = (self.head(subscriber), self.make_tail(log_ids)?);
            Some(First {
                binding: subscriber.binding.to_owned(),
                account: subscriber.account,
                replayed: subscriber.replayed,
                tail: head.len(),
                frame: (head + &tail).into(),
            })
        });
        let first = first.as_ref()?;
        let is_alike = first.binding == subscriber.binding
            && (first.account, first.replayed) == (subscriber.account, subscriber.replayed);
        Some(if is_alike {
            first.frame.clone()
        } else {
            (self.head(subscriber) + first.frame.get(first.tail..)?).into()
        })
    }

    /// The start of a frame, which depends on the binding.
    fn head(&self, subscriber: &Subscriber<'_>) -> String {
        let subscription = subscriber.pattern.subscription_key(subscriber.account, &self.topic);
        let (binding, subscription) = (json(subscriber.binding), json(&subscription));
        let replayed = if subscriber.replayed { r#""replayed":true,"# } else { "" };
        format!(
            r#"{{"action":"event","subscribed_key":{binding},"subscription_key":{subscription},{replayed}"#
        )
    }

    fn make_tail(&self, log_ids: &LogIds) -> Option<String> {
        let event = Event::decode(&self.payload).ok()?;
        let data = match stored_text(&event).and_then(|text| live_data(&text)) {
            Ok(data) => data,
            Err(error) => {
                tracing::debug!(offset = self.offset.0, %error, "an unreadable event is not sent to sessions");
                return None;
            }
        };
        let (name, key) = (json(event.name), json(&self.topic.routing_key));
        let id = log_ids.event_id(self.offset);
        Some(format!(r#""name":{name},"routing_key":{key},"event_id":"{id}","data":{data}}}"#))
    }
}

/// The binding for which a frame is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscriber<'a> {
    /// As the client spelled it.
    pub(super) binding: &'a str,
    pub(super) pattern: &'a Pattern,
    /// `None` for a binding to all accounts.
    pub(super) account: Option<AccountId>,
    /// Whether the event was in the log before the subscription.
    pub(super) replayed: bool,
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::model::{AccountId, Encoding, Source};

    /// A call event of an account, as read from the log.
    pub(in crate::live) fn call(account: u128, offset: u64, name: &str) -> LiveEvent {
        let body = br#"{"Event-Category":"call_event","Call-ID":"c\"1","Node":"n"}"#;
        LiveEvent::of(&record(account, offset, name, body), |_| true).unwrap()
    }

    fn record(account: u128, offset: u64, name: &str, body: &[u8]) -> Record<EventOffset> {
        let event = Event {
            source: Source::Http,
            encoding: Encoding::Plain,
            family: None,
            account: Some(AccountId(account)),
            internal_leg: false,
            mended: crate::model::Mended::NOTHING,
            quarantine: None,
            category: "call_event",
            name,
            subject: "c\"1",
            msg_id: "",
            detail: "",
            exchange: "",
            routing_key: "",
            trace: None,
            trace_state: "",
            handed_in: None,
            body,
        };
        Record {
            offset: EventOffset(offset),
            time_us: 0,
            tag: event.tag(),
            flags: 0,
            payload: event.encode().into(),
        }
    }

    #[test]
    fn an_event_that_came_packed_is_shown_unpacked() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(br#"{"Event-Category":"mms","Body":"hello"}"#).unwrap();
        let packed = packed.finish().unwrap();
        let plain = record(1, 0, "inbound", &packed);
        let event = Event::decode(&plain.payload).unwrap();
        let event = Event { encoding: Encoding::Gzip, category: "mms", ..event };
        let record = Record { payload: event.encode().into(), ..plain.clone() };
        let pattern = Pattern::parse("mms.*.*").unwrap();
        let subscriber = Subscriber { binding: "mms.*.*", pattern: &pattern, account: None, replayed: false };
        let frame = LiveEvent::of(&record, |_| true)
            .unwrap()
            .frame(&LogIds::new(0, Vec::new()), &subscriber)
            .unwrap();
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(frame["data"]["body"], "hello");
    }

    #[test]
    fn a_frame_is_json_whatever_the_texts_in_it() {
        let pattern = Pattern::parse("call.*.*").unwrap();
        let subscriber =
            Subscriber { binding: "call.*.\"", pattern: &pattern, account: None, replayed: true };
        let frame = call(1, 10, "CHANNEL_CREATE").frame(&LogIds::new(0xab, Vec::new()), &subscriber).unwrap();
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let key = format!("call.{}.CHANNEL_CREATE.c%221", AccountId(1));
        let expected = serde_json::json!({
            "action": "event", "subscribed_key": "call.*.\"", "subscription_key": "call.*.CHANNEL_CREATE.*",
            "replayed": true, "name": "CHANNEL_CREATE", "routing_key": key,
            "event_id": "000000ab000000000000000a", "data": {"event_category": "call_event", "call_id": "c\"1"},
        });
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_frame_is_shared_by_those_who_ask_alike_and_the_others_get_their_own() {
        let (event, ids) = (call(1, 10, "CHANNEL_CREATE"), LogIds::new(0, Vec::new()));
        let frame = |binding: &str, account: Option<u128>, replayed: bool| {
            let pattern = Pattern::parse(binding).unwrap();
            let subscriber =
                Subscriber { binding, pattern: &pattern, account: account.map(AccountId), replayed };
            event.frame(&ids, &subscriber).unwrap()
        };
        let first = frame("call.*.*", Some(1), false);
        assert_eq!(frame("call.*.*", Some(1), false).as_ptr(), first.as_ptr(), "one copy in memory");
        for (binding, account, replayed) in [
            ("call.CHANNEL_CREATE.*", Some(1), false),
            ("call.*.*", None, false),
            ("call.*.*", Some(1), true),
        ] {
            let other: serde_json::Value = serde_json::from_str(&frame(binding, account, replayed)).unwrap();
            assert_eq!(other["subscribed_key"], binding);
            assert_eq!(other.get("replayed").is_some(), replayed);
            assert_eq!(other["subscription_key"].as_str().unwrap().contains(".*.CHANNEL"), account.is_none());
            assert_eq!(other["data"]["call_id"], "c\"1");
        }
    }

    #[test]
    fn an_event_whose_body_is_no_object_has_no_frame() {
        let pattern = Pattern::parse("call.*.*").unwrap();
        let subscriber =
            Subscriber { binding: "call.*.*", pattern: &pattern, account: None, replayed: false };
        let event = LiveEvent::of(&record(1, 0, "CHANNEL_CREATE", b"[]"), |_| true).unwrap();
        assert_eq!(event.frame(&LogIds::new(0, Vec::new()), &subscriber), None);
        assert!(LiveEvent::of(&record(1, 0, "CHANNEL_CREATE", b"{}"), |_| false).is_none());
    }
}
