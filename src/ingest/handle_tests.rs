//! Tests of `Ingest` over a real log in a temporary directory.

use std::sync::Arc;

use super::super::windows::TAIL_RECORDS;
use super::*;
use crate::disk::OsDisk;
use crate::log::{self, OpenedLog};
use crate::model::{AccountId, Event, EventOffset};
use crate::tasks::Stop;

const OURS: AccountId = AccountId(0xa1);
const THEIRS: AccountId = AccountId(0xb2);

/// A log with a running writer. The writer ends with the last appender.
struct Store {
    _dir: tempfile::TempDir,
    appender: Appender,
    reader: ReaderOf<EventOffset>,
}

impl Store {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let opened = log::open(Arc::new(OsDisk), dir.path(), log::LogOptions::default(), Clock::system());
        let OpenedLog { writer, appender, reader, .. } = opened.unwrap();
        std::thread::spawn(move || writer.run(Stop::new()));
        Self { _dir: dir, appender, reader: ReaderOf::new(reader) }
    }

    fn ingest(&self, options: &IngestOptions) -> Ingest {
        Ingest::new(self.appender.clone(), &self.reader, Clock::system(), options).unwrap()
    }
}

fn body(name: &str, call: &str, msg_id: &str, account: Option<AccountId>) -> Bytes {
    let vars =
        account.map(|a| format!(r#","Custom-Channel-Vars":{{"Account-ID":"{a}"}}"#)).unwrap_or_default();
    let text = format!(
        r#"{{"Event-Category":"call_event","Event-Name":"{name}","Call-ID":"{call}","Msg-ID":"{msg_id}"{vars}}}"#
    );
    text.into()
}

fn from_broker(body: Bytes, redelivered: bool) -> Incoming {
    Incoming {
        source: Source::Amqp,
        origin: None,
        exchange: "callevt".to_owned(),
        routing_key: "call.x.y".to_owned(),
        trace: None,
        content_type: None,
        gzip: false,
        redelivered,
        body,
    }
}

/// Appends a prepared message and remembers it once it is on disk, as a session does.
async fn log_it(ingest: &Ingest, prepared: Prepared) {
    let keys: Vec<u64> = prepared.seen_key.into_iter().collect();
    ingest.begin_append(vec![prepared.record]).await.unwrap().await.unwrap().unwrap();
    ingest.remember(&keys);
}

#[tokio::test]
async fn an_event_without_an_account_gets_the_account_of_its_call_also_after_a_restart() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let created = ingest.prepare(&from_broker(body("CHANNEL_CREATE", "c1", "m1", Some(OURS)), false));
    assert_eq!(created.account(), Some(OURS));
    log_it(&ingest, created).await;
    let nameless = |call| from_broker(body("CHANNEL_DESTROY", call, "m2", None), false);
    assert_eq!(ingest.prepare(&nameless("c1")).account(), Some(OURS));
    assert_eq!(ingest.prepare(&nameless("c2")).account(), None);

    let again = store.ingest(&IngestOptions::default());
    assert_eq!(again.prepare(&nameless("c1")).account(), Some(OURS));
}

#[tokio::test]
async fn only_a_redelivered_message_that_is_in_the_log_is_a_duplicate() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let message = |redelivered| from_broker(body("CHANNEL_CREATE", "c1", "m1", Some(OURS)), redelivered);
    assert!(!ingest.prepare(&message(true)).is_duplicate(), "it was handed out but never stored");
    log_it(&ingest, ingest.prepare(&message(false))).await;
    assert!(ingest.prepare(&message(true)).is_duplicate());
    assert!(!ingest.prepare(&message(false)).is_duplicate(), "two nodes may publish the same");
    let other = from_broker(body("CHANNEL_ANSWER", "c1", "m1", Some(OURS)), true);
    assert!(!ingest.prepare(&other).is_duplicate(), "another event with the same Msg-ID");

    let again = store.ingest(&IngestOptions::default());
    assert!(again.prepare(&message(true)).is_duplicate(), "forgotten by a restart");
}

#[tokio::test]
async fn a_message_without_an_id_is_never_a_duplicate() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let message = from_broker(body("CHANNEL_CREATE", "c1", "", Some(OURS)), true);
    log_it(&ingest, ingest.prepare(&message)).await;
    assert!(!ingest.prepare(&message).is_duplicate());
}

#[tokio::test]
async fn an_http_client_neither_learns_nor_claims_the_account_of_a_call() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let created = from_broker(body("CHANNEL_CREATE", "c1", "m1", Some(OURS)), false);
    assert_eq!(ingest.prepare(&created).account(), Some(OURS));
    let nameless =
        ingest.prepare_http(FromHttp::new(0, body("CHANNEL_DESTROY", "c1", "m", None), THEIRS)).unwrap();
    assert_eq!(nameless.account(), Some(THEIRS));
    let claimed = ingest
        .prepare_http(FromHttp::new(0, body("CHANNEL_CREATE", "c1", "m", Some(THEIRS)), THEIRS))
        .unwrap();
    assert_eq!(claimed.account(), Some(THEIRS));
    let destroyed = from_broker(body("CHANNEL_DESTROY", "c1", "m2", None), false);
    assert_eq!(ingest.prepare(&destroyed).account(), Some(OURS));
}

#[tokio::test]
async fn the_account_of_a_call_is_certain_until_it_ends_or_another_account_claims_it() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let event = |name, call, account| from_broker(body(name, call, "m", account), false);
    for (name, call, account) in [
        ("CHANNEL_CREATE", "up", Some(OURS)),
        ("CHANNEL_ANSWER", "up", None),
        ("CHANNEL_CREATE", "over", Some(OURS)),
        ("CHANNEL_DESTROY", "over", None),
        ("CHANNEL_CREATE", "claimed", Some(OURS)),
        ("CHANNEL_CREATE", "claimed", Some(THEIRS)),
        ("CHANNEL_ANSWER", "claimed", Some(THEIRS)),
    ] {
        log_it(&ingest, ingest.prepare(&event(name, call, account))).await;
    }
    ingest.prepare_http(FromHttp::new(0, body("CHANNEL_CREATE", "up", "m", Some(THEIRS)), THEIRS)).unwrap();
    for ingest in [&ingest, &store.ingest(&IngestOptions::default())] {
        assert_eq!(ingest.call("up"), Some(KnownCall { account: OURS, certain: true, zone: None }));
        assert!(!ingest.call("over").unwrap().certain);
        assert!(!ingest.call("claimed").unwrap().certain);
        assert_eq!(ingest.call("unheard"), None);
    }
}

#[tokio::test]
async fn events_of_an_http_client_are_in_the_log_at_the_answered_offsets() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let bodies = vec![body("CHANNEL_CREATE", "c", "1", None), body("CHANNEL_DESTROY", "c", "2", Some(OURS))];
    assert_eq!(ingest.submit(bodies.clone(), THEIRS).await.unwrap(), EventOffset(0)..EventOffset(2));
    let records = store.reader.read(EventOffset::FIRST, 10, 1 << 20).unwrap().records;
    let events: Vec<Event<'_>> = records.iter().map(|r| Event::decode(&r.payload).unwrap()).collect();
    assert_eq!((events[0].source, events[0].account), (Source::Http, Some(THEIRS)));
    assert_eq!((events[1].body, events[1].account), (&bodies[1][..], Some(OURS)));
}

#[tokio::test]
async fn a_request_with_one_bad_event_is_refused_whole() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions { max_event_bytes: 500, ..IngestOptions::default() });
    let good = body("CHANNEL_CREATE", "c", "1", None);
    let refused = ingest.submit(vec![good.clone(), "{}".into()], OURS).await.unwrap_err();
    assert!(matches!(refused, SubmitError::NotUnderstood { index: 1, .. }), "{refused}");
    let large = body("CHANNEL_CREATE", &"c".repeat(500), "1", None);
    let refused = ingest.submit(vec![good, large], OURS).await.unwrap_err();
    assert!(matches!(refused, SubmitError::TooLarge { index: 1, max: 500, .. }), "{refused}");
    assert_eq!(store.reader.end(), EventOffset::FIRST);
}

#[tokio::test]
async fn a_request_beyond_the_bytes_that_may_wait_is_refused_as_busy() {
    let dir = tempfile::tempdir().unwrap();
    let opened =
        log::open(Arc::new(OsDisk), dir.path(), log::LogOptions::default(), Clock::system()).unwrap();
    let OpenedLog { writer, appender, reader, .. } = opened;
    let reader = ReaderOf::new(reader);
    let options = IngestOptions { max_waiting_bytes: 400, ..IngestOptions::default() };
    let ingest = Ingest::new(appender, &reader, Clock::system(), &options).unwrap();
    // The writer does not run yet: the first request waits.
    let event = || vec![body("CHANNEL_CREATE", &"c".repeat(150), "1", None)];
    let mut first = std::pin::pin!(ingest.submit(event(), OURS));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    assert_eq!(ingest.submit(event(), OURS).await, Err(SubmitError::Busy));
    std::thread::spawn(move || writer.run(Stop::new()));
    assert_eq!(first.await, Ok(EventOffset(0)..EventOffset(1)));
    assert_eq!(ingest.submit(event(), OURS).await, Ok(EventOffset(1)..EventOffset(2)));
}

#[tokio::test]
async fn the_windows_cover_more_of_the_log_than_one_read() {
    let store = Store::new();
    let ingest = store.ingest(&IngestOptions::default());
    let many = TAIL_RECORDS + 100;
    let records = (0..many).map(|n| {
        let event = body("CHANNEL_CREATE", &format!("c{n}"), &format!("m{n}"), Some(OURS));
        ingest.prepare(&from_broker(event, false)).record
    });
    ingest.begin_append(records.collect()).await.unwrap().await.unwrap().unwrap();
    let again = store.ingest(&IngestOptions::default());
    for n in [0, 1, TAIL_RECORDS, many - 1] {
        let message = from_broker(body("CHANNEL_CREATE", &format!("c{n}"), &format!("m{n}"), None), true);
        assert!(again.prepare(&message).is_duplicate(), "message {n}");
        assert_eq!(again.prepare(&message).account(), Some(OURS), "call {n}");
    }
}
