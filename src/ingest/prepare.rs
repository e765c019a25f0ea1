//! Turns received bytes into a record of the log: repairs what is almost JSON, reads only the fields that routing
//! needs, and stores the rest unchanged.
//!
//! Promise: every message becomes a record. One that cannot be understood becomes a quarantined record with the reason;
//! every other stored body can be read by all later steps.

use std::borrow::Cow;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::kazoo::{self, Facts, Reading};
use crate::log::NewRecord;
use crate::model::{AccountId, Encoding, Event, HandedIn, Mended, Origin, Source, TraceContext};

/// How much larger than its body the record of an event may be: the space for the texts in its header. The log must
/// accept records of `max_event_bytes` plus this size.
pub const RECORD_OVERHEAD: usize = 1024 * 1024;

/// An event as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where it comes from.
    pub source: Source,
    /// Which broker it comes from, when there are several.
    pub origin: Option<Origin>,
    /// The exchange on which it was published. Empty when it does not come from a broker.
    pub exchange: String,
    /// The routing key of its publication.
    pub routing_key: String,
    /// Its declared content type. `None` counts as JSON.
    pub content_type: Option<String>,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// Whether the broker marked it as redelivered.
    pub redelivered: bool,
    /// The span in which it was published.
    pub trace: Option<TraceContext>,
    /// The body.
    pub body: Bytes,
}

/// An event of an HTTP client.
#[derive(Debug, Clone)]
pub struct FromHttp<'a> {
    /// Its index in the request.
    pub index: usize,
    /// The body as received.
    pub body: Bytes,
    /// The account of an event that names none.
    pub default: AccountId,
    /// The span of the request.
    pub trace: Option<TraceContext>,
    /// The request's key, when it has one and this is the request's first event.
    pub handed_in: Option<HandedIn<'a>>,
}

impl FromHttp<'_> {
    /// An event of a request without a key and without a trace.
    #[must_use]
    pub fn new(index: usize, body: Bytes, default: AccountId) -> Self {
        Self { index, body, default, trace: None, handed_in: None }
    }

    pub(super) fn into_incoming(self) -> Incoming {
        Incoming {
            source: Source::Http,
            origin: None,
            exchange: String::new(),
            routing_key: String::new(),
            trace: self.trace,
            content_type: None,
            gzip: false,
            redelivered: false,
            body: self.body,
        }
    }
}

/// An event that is ready to be appended.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) record: NewRecord,
    pub(super) account: Option<AccountId>,
    pub(super) quarantine: Option<String>,
    /// The key in the window of seen messages; `None` when the message cannot be recognised.
    pub(super) seen_key: Option<u64>,
    /// Whether the message was handed out before and is in the log.
    pub(super) duplicate: bool,
}

impl Prepared {
    /// The account that the event will belong to, for the caller's check of rights.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// Why the event could not be understood.
    #[must_use]
    pub fn quarantine(&self) -> Option<&str> {
        self.quarantine.as_deref()
    }

    /// Whether the event is already in the log.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }
}

/// An event that every later step can read.
#[derive(Debug)]
pub(super) struct Understood {
    /// The fields that routing needs.
    pub(super) facts: Facts,
    /// The body to store: as received, or repaired.
    body: Bytes,
    mended: Mended,
}

/// An event that will be quarantined or refused.
#[derive(Debug)]
pub(super) struct NotUnderstood {
    /// The reason.
    pub(super) reason: String,
    /// The account, if the readable part of the body names one.
    pub(super) account: Option<AccountId>,
}

/// Brings an event into the form that hooks, websockets and searches can read, or returns why that is impossible.
pub(super) fn understand(incoming: &Incoming, max_event_bytes: usize) -> Result<Understood, NotUnderstood> {
    let bytes = incoming.body.len();
    if let Some(other) = incoming.content_type.as_deref().filter(|t| !may_be_json(t)) {
        let reason = format!("content type '{}' is not JSON", other.escape_default());
        return Err(NotUnderstood { reason, account: None });
    }
    if bytes > max_event_bytes {
        let reason = format!(
            "body of {bytes} bytes is larger than ingest.max_event_bytes; only its first {max_event_bytes} bytes are stored"
        );
        let account = if incoming.gzip { None } else { kazoo::account_before_break(&incoming.body) };
        return Err(NotUnderstood { reason, account });
    }
    let unpacked = if incoming.gzip {
        // Bounded, because a few kilobytes can unpack to gigabytes.
        let unpacked = kazoo::gunzip(&incoming.body, kazoo::MAX_BODY_BYTES);
        Cow::Owned(unpacked.map_err(|e| NotUnderstood { reason: e.to_string(), account: None })?)
    } else {
        Cow::Borrowed(incoming.body.as_ref())
    };
    let refuse = |reason| NotUnderstood { reason, account: kazoo::account_before_break(&unpacked) };
    let Reading { body, mended } = kazoo::reading(&unpacked).map_err(|e| refuse(e.to_string()))?;
    let facts = kazoo::facts(&body).map_err(|e| refuse(e.to_string()))?;
    let body = match (mended.is_nothing(), incoming.gzip) {
        (true, _) => incoming.body.clone(),
        (false, false) => body.into_owned().into(),
        (false, true) => packed(&body).map_err(|e| refuse(e.to_string()))?,
    };
    // Checked again: a repair can make the body longer, and later steps rely on the limit.
    if body.len() > max_event_bytes {
        return Err(refuse(format!(
            "its text had to be repaired ({}) and then has {} bytes, more than ingest.max_event_bytes",
            mended.names().collect::<Vec<_>>().join(", "),
            body.len()
        )));
    }
    Ok(Understood { facts, body, mended })
}

fn packed(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// Refuses only Erlang terms, the one other format that KAZOO's nodes publish. A body of any text type may be JSON.
fn may_be_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty()
        || essence.contains("json")
        || essence.starts_with("text/")
        || essence == "application/octet-stream"
}

/// The record of an event that was understood.
pub(super) fn record(
    incoming: &Incoming,
    understood: &Understood,
    account: Option<AccountId>,
    time_us: u64,
) -> NewRecord {
    record_of_request(incoming, understood, account, None, time_us)
}

/// The same for the first event of a request with a key.
pub(super) fn record_of_request(
    incoming: &Incoming,
    understood: &Understood,
    account: Option<AccountId>,
    handed_in: Option<HandedIn<'_>>,
    time_us: u64,
) -> NewRecord {
    let Understood { facts, body, mended } = understood;
    let event = Event {
        account,
        exchange: &incoming.exchange,
        routing_key: &incoming.routing_key,
        trace: incoming.trace.as_ref().map(|trace| trace.span),
        trace_state: incoming.trace.as_ref().map_or("", |trace| &trace.state),
        mended: *mended,
        handed_in,
        ..facts.event(incoming.source, encoding(incoming), body)
    };
    new_record(&event, time_us)
}

/// The record of an event that could not be understood.
pub(super) fn quarantined(
    incoming: &Incoming,
    why: &NotUnderstood,
    max_event_bytes: usize,
    time_us: u64,
) -> NewRecord {
    let kept = incoming.body.len().min(max_event_bytes);
    let event = Event {
        source: incoming.source,
        encoding: encoding(incoming),
        family: None,
        account: why.account,
        internal_leg: false,
        mended: Mended::NOTHING,
        quarantine: Some(&why.reason),
        category: "",
        name: "",
        subject: "",
        msg_id: "",
        detail: "",
        exchange: &incoming.exchange,
        routing_key: &incoming.routing_key,
        trace: incoming.trace.as_ref().map(|trace| trace.span),
        trace_state: incoming.trace.as_ref().map_or("", |trace| &trace.state),
        handed_in: None,
        body: incoming.body.get(..kept).unwrap_or_default(),
    };
    new_record(&event, time_us)
}

fn new_record(event: &Event<'_>, time_us: u64) -> NewRecord {
    NewRecord { tag: event.tag(), flags: 0, time_us, payload: event.encode().into() }
}

fn encoding(incoming: &Incoming) -> Encoding {
    if incoming.gzip { Encoding::Gzip } else { Encoding::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = r#"{"Event-Category":"call_event","Event-Name":"CHANNEL_CREATE","Call-ID":"c",
        "Msg-ID":"m","Custom-Channel-Vars":{"Account-ID":"b13fd1e2a7c94d5f8e0a6c3d9b2f4e71"}}"#;

    fn from_broker(body: &[u8]) -> Incoming {
        Incoming {
            source: Source::Amqp,
            origin: None,
            exchange: "callevt".to_owned(),
            routing_key: "call.CHANNEL_CREATE.c".to_owned(),
            content_type: Some("application/json".to_owned()),
            gzip: false,
            redelivered: false,
            trace: None,
            body: Bytes::copy_from_slice(body),
        }
    }

    fn packed(body: &[u8]) -> Vec<u8> {
        super::packed(body).unwrap().into()
    }

    #[test]
    fn an_event_is_stored_byte_for_byte_with_what_routing_needs() {
        let incoming = from_broker(CREATE.as_bytes());
        let understood = understand(&incoming, 10_000).unwrap();
        let record = record(&incoming, &understood, understood.facts.account, 77);
        let event = Event::decode(&record.payload).unwrap();
        assert_eq!((event.body, event.name, event.subject), (CREATE.as_bytes(), "CHANNEL_CREATE", "c"));
        assert_eq!((event.exchange, event.routing_key), ("callevt", "call.CHANNEL_CREATE.c"));
        assert_eq!(event.account, Some("b13fd1e2a7c94d5f8e0a6c3d9b2f4e71".parse().unwrap()));
        assert_eq!((record.tag, record.time_us), (event.account.map_or(0, AccountId::tag), 77));
    }

    #[test]
    fn a_compressed_event_is_understood_and_stored_compressed() {
        let body = packed(CREATE.as_bytes());
        let incoming = Incoming { gzip: true, ..from_broker(&body) };
        let understood = understand(&incoming, 10_000).unwrap();
        let record = record(&incoming, &understood, None, 0);
        let event = Event::decode(&record.payload).unwrap();
        assert_eq!((event.encoding, event.body), (Encoding::Gzip, body.as_slice()));
    }

    #[test]
    fn a_compressed_event_is_repaired_and_compressed_again() {
        let half = CREATE.replace("\"c\"", r#""\ud83d""#);
        let incoming = Incoming { gzip: true, ..from_broker(&packed(half.as_bytes())) };
        let record = record(&incoming, &understand(&incoming, 10_000).unwrap(), None, 0);
        let event = Event::decode(&record.payload).unwrap();
        let body = kazoo::gunzip(event.body, 10_000).unwrap();
        assert_eq!((event.mended, event.subject), (Mended::LONE_SURROGATE, "\u{fffd}"));
        assert_eq!(body, half.replace(r"\ud83d", "\u{fffd}").as_bytes());
    }

    #[test]
    fn a_quarantined_event_belongs_to_the_account_that_it_names() {
        for broken in [&CREATE[..CREATE.len() - 1], &CREATE.replace("Event-Name", "Event-Nome")] {
            let why = understand(&from_broker(broken.as_bytes()), 10_000).unwrap_err();
            assert_eq!(why.account, "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71".parse().ok(), "{broken}");
            let record = quarantined(&from_broker(broken.as_bytes()), &why, 10_000, 0);
            assert_eq!(record.tag, 0, "quarantined records have the tag of no account");
        }
        let large = understand(&from_broker(CREATE.as_bytes()), 10).unwrap_err();
        assert!(large.account.is_some());
    }

    #[test]
    fn a_quarantined_event_has_a_reason() {
        let erlang = Incoming { content_type: Some("application/erlang".to_owned()), ..from_broker(b"{}") };
        let not_gzip = Incoming { gzip: true, ..from_broker(CREATE.as_bytes()) };
        let bomb = packed(&vec![b' '; kazoo::MAX_BODY_BYTES + 1]);
        let bomb = Incoming { gzip: true, ..from_broker(&bomb) };
        for (incoming, expected) in [
            (erlang, "content type 'application/erlang'"),
            (not_gzip, "not valid gzip"),
            (bomb, "unpacks to more than"),
            (from_broker(b"{"), "not JSON"),
            (from_broker(b""), "not JSON"),
            (from_broker(b"{\xff"), "not UTF-8"),
            (from_broker(b"[]"), "not a JSON object"),
            (from_broker(b"{}"), "no Event-Category"),
        ] {
            let why = understand(&incoming, 1 << 20).unwrap_err().reason;
            assert!(why.contains(expected), "'{why}' for '{expected}'");
        }
    }

    #[test]
    fn a_body_that_is_too_large_is_quarantined_with_its_beginning() {
        let incoming = from_broker(&[b'x'; 1000]);
        let why = understand(&incoming, 100).unwrap_err();
        assert!(why.reason.contains("1000 bytes is larger than ingest.max_event_bytes"), "{why:?}");
        let record = quarantined(&incoming, &why, 100, 0);
        let event = Event::decode(&record.payload).unwrap();
        assert_eq!((event.quarantine, event.body.len(), record.tag), (Some(why.reason.as_str()), 100, 0));
        assert_eq!(event.routing_key, "call.CHANNEL_CREATE.c");
    }

    #[test]
    fn no_header_outgrows_the_overhead_of_records() {
        let long = "x".repeat(100_000);
        let facts = Facts {
            category: long.clone(),
            name: long.clone(),
            subject: long.clone(),
            msg_id: long.clone(),
            detail: long.clone(),
            ..Facts::default()
        };
        let incoming = Incoming { exchange: long.clone(), routing_key: long.clone(), ..from_broker(b"") };
        let understood = Understood { facts, body: Bytes::new(), mended: Mended::NOTHING };
        assert!(record(&incoming, &understood, Some(AccountId(1)), 0).payload.len() < RECORD_OVERHEAD);
        let why = NotUnderstood { reason: long.clone(), account: Some(AccountId(1)) };
        assert!(quarantined(&incoming, &why, 1, 0).payload.len() < RECORD_OVERHEAD);
    }
}
