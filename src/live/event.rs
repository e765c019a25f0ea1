//! An event on its way to sessions: read from the log once, put into its frame once, shared by all.

use std::sync::OnceLock;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::kazoo::{Pattern, Topic, live_data, stored_text};
use crate::log::Record;
use crate::model::{AccountId, Event, LogIds};

/// What an event costs in memory beside its bytes, about.
const OVERHEAD: usize = 512;

/// An event that somebody can subscribe to.
#[derive(Debug)]
pub(super) struct LiveEvent {
    pub(super) offset: u64,
    /// When it was logged, microseconds since 1970.
    pub(super) time_us: u64,
    pub(super) account: Option<AccountId>,
    pub(super) topic: Topic,
    payload: Bytes,
    /// The frame of who asked first, which most others ask for, too; none when its body is not readable.
    first: OnceLock<Option<First>>,
}

/// A frame that is made, and for what.
#[derive(Debug)]
struct First {
    binding: String,
    account: Option<AccountId>,
    replayed: bool,
    frame: Utf8Bytes,
    /// From here on, with `name`, all frames of the event are the same.
    tail: usize,
}

impl LiveEvent {
    /// The event of a record, if it is one that can be subscribed to and `wanted` wants its account's.
    pub(super) fn of(record: &Record, wanted: impl Fn(Option<AccountId>) -> bool) -> Option<Self> {
        let event = Event::decode(&record.payload).ok()?;
        if !wanted(event.account) {
            return None;
        }
        let topic = Topic::of(&event)?;
        // The reader's payloads share a large buffer, which must not be kept for one of them.
        let payload = Bytes::copy_from_slice(&record.payload);
        let (offset, time_us) = (record.offset, record.time_us);
        Some(Self { offset, time_us, account: event.account, topic, payload, first: OnceLock::new() })
    }

    /// Bytes of memory, about, once its frame is made.
    pub(super) fn size(&self) -> usize {
        OVERHEAD + 2 * self.payload.len()
    }

    /// Its frame for one binding; none when its body is not readable.
    pub(super) fn frame(&self, log_ids: &LogIds, asked: &Asked<'_>) -> Option<Utf8Bytes> {
        let first = self.first.get_or_init(|| {
            let (head, tail) = (self.head(asked), self.make_tail(log_ids)?);
            Some(First {
                binding: asked.binding.to_owned(),
                account: asked.account,
                replayed: asked.replayed,
                tail: head.len(),
                frame: (head + &tail).into(),
            })
        });
        let first = first.as_ref()?;
        let is_alike = first.binding == asked.binding
            && (first.account, first.replayed) == (asked.account, asked.replayed);
        Some(if is_alike {
            first.frame.clone()
        } else {
            (self.head(asked) + first.frame.get(first.tail..)?).into()
        })
    }

    /// The beginning of a frame, which differs from binding to binding.
    fn head(&self, asked: &Asked<'_>) -> String {
        let subscription = asked.pattern.subscription_key(asked.account, &self.topic);
        let (binding, subscription) = (json(asked.binding), json(&subscription));
        let replayed = if asked.replayed { r#""replayed":true,"# } else { "" };
        format!(
            r#"{{"action":"event","subscribed_key":{binding},"subscription_key":{subscription},{replayed}"#
        )
    }

    fn make_tail(&self, log_ids: &LogIds) -> Option<String> {
        let event = Event::decode(&self.payload).ok()?;
        let data = match stored_text(&event).and_then(|text| live_data(&text)) {
            Ok(data) => data,
            Err(error) => {
                tracing::debug!(offset = self.offset, %error, "an event is not shown to subscribers");
                return None;
            }
        };
        let (name, key) = (json(event.name), json(&self.topic.routing_key));
        let id = log_ids.event_id(self.offset);
        Some(format!(r#""name":{name},"routing_key":{key},"event_id":"{id}","data":{data}}}"#))
    }
}

/// What one binding asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// As the client spelled it.
    pub(super) binding: &'a str,
    pub(super) pattern: &'a Pattern,
    /// None: all accounts.
    pub(super) account: Option<AccountId>,
    /// The event was in the log before the subscription.
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
    use crate::model::{Encoding, Id, Source};

    /// A call event of an account, as read from the log.
    pub(in crate::live) fn call(account: u128, offset: u64, name: &str) -> LiveEvent {
        let body = br#"{"Event-Category":"call_event","Call-ID":"c\"1","Node":"n"}"#;
        LiveEvent::of(&record(account, offset, name, body), |_| true).unwrap()
    }

    fn record(account: u128, offset: u64, name: &str, body: &[u8]) -> Record {
        let event = Event {
            source: Source::Http,
            encoding: Encoding::Plain,
            family: None,
            account: Some(Id(account)),
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
        Record { offset, time_us: 0, tag: event.tag(), flags: 0, payload: event.encode().into() }
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
        let asked = Asked { binding: "mms.*.*", pattern: &pattern, account: None, replayed: false };
        let frame =
            LiveEvent::of(&record, |_| true).unwrap().frame(&LogIds::new(0, Vec::new()), &asked).unwrap();
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(frame["data"]["body"], "hello");
    }

    #[test]
    fn a_frame_is_json_whatever_the_texts_in_it() {
        let pattern = Pattern::parse("call.*.*").unwrap();
        let asked = Asked { binding: "call.*.\"", pattern: &pattern, account: None, replayed: true };
        let frame = call(1, 10, "CHANNEL_CREATE").frame(&LogIds::new(0xab, Vec::new()), &asked).unwrap();
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let key = format!("call.{}.CHANNEL_CREATE.c%221", Id(1));
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
            let asked = Asked { binding, pattern: &pattern, account: account.map(Id), replayed };
            event.frame(&ids, &asked).unwrap()
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
        let asked = Asked { binding: "call.*.*", pattern: &pattern, account: None, replayed: false };
        let event = LiveEvent::of(&record(1, 0, "CHANNEL_CREATE", b"[]"), |_| true).unwrap();
        assert_eq!(event.frame(&LogIds::new(0, Vec::new()), &asked), None);
        assert!(LiveEvent::of(&record(1, 0, "CHANNEL_CREATE", b"{}"), |_| false).is_none());
    }
}
