//! Inputs of public reports about webhook systems, HTTP clients and websocket servers, each in its smallest form.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::receivers::{listening, saying};
use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::attempts_when;
use crate::support::raw::send;

/// The result of the only attempt of a hook whose receiver answers with `answer`.
async fn attempt(api: &Api, answer: &'static [u8]) -> Value {
    let receiver = saying(answer).await;
    let hook = api.hook(json!({"uri": format!("http://{}/", receiver.0), "retries": 1})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let row = attempts_when(api, &hook, 1).await.remove(0);
    let deleted = api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    row
}

#[tokio::test]
async fn an_unusual_form_of_status_200_counts_as_delivered() {
    let mut app = TestApp::start().await;
    for (report, answer) in [
        ("length said twice", &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"[..]),
        ("length said twice in one line", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
        ("no length and no chunks, HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nok"),
        ("more than the length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"),
        ("gzip that is none", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"),
        (
            "chunked said twice",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunks with extensions and trailers",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        ),
        (
            "chunks and a length",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        ),
        ("lines that end without a return", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("no reason", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        ("a reason in Latin-1", b"HTTP/1.1 200 R\xe9ussi\r\nContent-Length: 2\r\n\r\nok"),
        ("a header in Latin-1", b"HTTP/1.1 200 OK\r\nX-Who: Zo\xeb\r\nContent-Length: 2\r\n\r\nok"),
        ("empty lines first", b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "an interim answer that nobody asked for",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        // An earlier version did not read these six as HTTP, and disabled the hook although its receiver had each event.
        ("a blank before a colon", b"HTTP/1.1 200 OK\r\nX-Who : a\r\nContent-Length : 2\r\n\r\nok"),
        ("a header over two lines", b"HTTP/1.1 200 OK\r\nX-Who: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
        ("a header without a colon", b"HTTP/1.1 200 OK\r\ngarbage\r\nContent-Length: 2\r\n\r\nok"),
        (
            "a header with brackets in its name",
            b"HTTP/1.1 200 OK\r\nX(Who): a\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            "a header with a control character",
            b"HTTP/1.1 200 OK\r\nX-Who: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
        ),
        ("a header without a name", b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok"),
    ] {
        let row = attempt(&app.api, answer).await;
        assert_eq!(row["result"], "success", "{report}: {row}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_response_whose_end_is_uncertain_is_refused_with_its_reason() {
    let mut app = TestApp::start().await;
    for (answer, said) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\nok"[..], "content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", "content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "content-length"),
        (b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 099 Low"),
        (b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", "ICY 200 OK"),
        (b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK"),
    ] {
        let row = attempt(&app.api, answer).await;
        assert_eq!(row["client_error"], "not_http", "{said}: {row}");
        assert!(row["client_error_detail"].as_str().unwrap().contains(said), "{said}: {row}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_byte_order_mark_before_a_request_body_is_skipped() {
    let mut app = TestApp::start().await;
    let api = &app.api;
    let event = json!({"data": call_event("CHANNEL_CREATE", "c", 1)});
    let document = json!({"data": {"name": "n", "hook": "all", "uri": "http://127.0.0.1:9/"}});
    let headers = [("content-type", "application/json; charset=UTF-8"), ("x-auth-token", api.token())];
    for (below, body) in [("events", event), ("webhooks", document)] {
        let path = format!("/v2/accounts/{}/{below}", api.account);
        let answer = send(api, "PUT", &path, &headers, &format!("\u{feff}{body}")).await;
        assert_eq!(answer.status, 201, "{below}: {answer:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_compressed_request_is_refused_with_the_reason() {
    let mut app = TestApp::start().await;
    let path = format!("/v2/accounts/{}/events", app.api.account);
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("x-auth-token", app.api.token()),
    ];
    let refused = send(&app.api, "PUT", &path, &headers, "\u{1f}compressed").await;
    assert_eq!(refused.status, 415, "{refused:?}");
    assert!(format!("{refused:?}").contains("Content-Encoding"), "{refused:?}");
    app.stop().await;
}

#[tokio::test]
async fn bytes_after_a_response_are_never_read_as_the_next_response() {
    let mut app = TestApp::start().await;
    for answer in [
        &b"HTTP/1.1 204 No Content\r\n\r\noops"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n",
    ] {
        let receiver = listening(move |mut stream| async move {
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                if stream.write_all(answer).await.is_err() {
                    break;
                }
            }
        })
        .await;
        let uri = format!("http://{}/", receiver.0);
        let hook = app.api.hook(json!({"uri": uri, "success": "2xx", "retries": 1})).await;
        for (number, made) in [(1, 1), (2, 2), (3, 3)] {
            app.api.publish(&[call_event("CHANNEL_CREATE", &format!("c{number}"), number)]).await;
            let rows = attempts_when(&app.api, &hook, made).await;
            assert!(rows.iter().all(|row| row["result"] == "success"), "{rows:?}");
        }
        let deleted = app.api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
        assert_eq!(deleted.status, 200, "{deleted:?}");
    }
    app.stop().await;
}

/// Encodes a client's frame, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
}

/// The first answer in a new session, except pongs: the first byte and the payload of the frame.
async fn first_answer(app: &TestApp, sent: &[u8]) -> (u8, Vec<u8>) {
    let mut stream = TcpStream::connect(app.websocket()).await.unwrap();
    let asked = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(!head.contains("extensions"), "compression is not agreed to: {head}");
    stream.write_all(sent).await.unwrap();
    loop {
        let first = stream.read_u8().await.unwrap();
        let length = match stream.read_u8().await.unwrap() {
            126 => stream.read_u16().await.unwrap(),
            short => u16::from(short),
        };
        let mut payload = vec![0; usize::from(length)];
        stream.read_exact(&mut payload).await.unwrap();
        if first != 0x8a {
            return (first, payload);
        }
    }
}

#[tokio::test]
async fn every_legal_form_of_frame_is_read_and_others_end_the_session_with_their_code() {
    let mut app = TestApp::start().await;
    let text = "{\"action\":\"Zoë\"}";
    let (head, tail) = text.as_bytes().split_at(text.find('ë').unwrap() + 1);
    let between = [frame(0x01, head), frame(0x89, b"ping"), frame(0x80, tail)].concat();
    for (report, sent) in [
        ("a character over two frames, and a ping between them", between),
        ("a pong that nobody asked for", [frame(0x8a, b"x"), frame(0x81, text.as_bytes())].concat()),
        ("an empty text", frame(0x81, b"")),
    ] {
        let (first, payload) = first_answer(&app, &sent).await;
        assert_eq!(first, 0x81, "{report}: {payload:?}");
    }
    for (report, code, sent) in [
        ("no mask", 1002, [&[0x81, 2][..], b"{}"].concat()),
        ("compressed though not agreed", 1002, frame(0xc1, b"{}")),
        ("text that is no UTF-8", 1007, frame(0x81, b"\xff")),
        ("a ping in parts", 1002, frame(0x09, b"x")),
        ("a ping of 126 bytes", 1002, [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat()),
        ("a close code that is never sent", 1002, frame(0x88, &1005_u16.to_be_bytes())),
        ("a close of one byte", 1002, frame(0x88, b"x")),
        ("a close reason that is no UTF-8", 1007, frame(0x88, b"\x03\xe8\xff")),
        ("a part of nothing", 1002, frame(0x80, b"x")),
        ("a text within a text", 1002, [frame(0x01, b"x"), frame(0x01, b"y")].concat()),
        ("a frame of no kind", 1002, frame(0x83, b"x")),
    ] {
        let (first, payload) = first_answer(&app, &sent).await;
        assert_eq!((first, payload.get(..2)), (0x88, Some(&u16::to_be_bytes(code)[..])), "{report}");
    }
    app.stop().await;
}
