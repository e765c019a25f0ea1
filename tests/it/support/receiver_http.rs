//! The receiver's HTTP/1.1: just enough to read a request, and to answer it correctly, incorrectly or not at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::receiver::{Answer, Mood, Request};

/// Whether the connection serves another request.
#[derive(PartialEq, Eq)]
pub enum Ending {
    KeepAlive,
    Done,
}

/// Reads one request; `None` if the peer disconnected or does not send HTTP. Bytes of the next request stay in
/// `buffer`.
pub async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    assert!(
        !headers.iter().any(|(n, _)| n == "transfer-encoding"),
        "the receiver cannot read chunked bodies"
    );
    let body_at = head_end + 4;
    while buffer.len() < body_at + length {
        read_more(stream, buffer).await?;
    }
    let request = Request {
        number: 0,
        number_at_path: 0,
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: buffer[body_at..body_at + length].to_vec(),
        at: Instant::now(),
    };
    buffer.drain(..body_at + length);
    Some(request)
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    buffer.reserve(8 * 1024);
    let read = stream.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

/// Answers according to the mood.
pub async fn answer(stream: &mut TcpStream, mut mood: Mood, request: &Request) -> Ending {
    // A loop, not recursion: a delayed mood can repeat for as long as the client waits.
    loop {
        mood = match mood {
            Mood::After(delay, then) => {
                tokio::time::sleep(delay).await;
                *then
            }
            Mood::By(decide) => decide(request),
            _ => break,
        };
    }
    match mood {
        Mood::Ok => {
            write_answer(stream, &Answer { status: 200, headers: Vec::new(), body: Vec::new() }).await
        }
        Mood::Answer(answer) => write_answer(stream, &answer).await,
        Mood::Hang | Mood::After(..) | Mood::By(_) => {
            until_gone(stream).await;
            Ending::Done
        }
        Mood::Reset => {
            // With a linger of zero, closing sends RST even if everything was read.
            stream.set_zero_linger().unwrap();
            Ending::Done
        }
        Mood::Close => Ending::Done,
        Mood::Partial => {
            write(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this").await;
            Ending::Done
        }
        Mood::Endless => {
            let chunk = [b'x'; 4096];
            let mut alive = write(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await;
            while alive {
                alive = write(stream, &chunk).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ending::Done
        }
    }
}

async fn write_answer(stream: &mut TcpStream, answer: &Answer) -> Ending {
    use std::fmt::Write;
    let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|s| s.canonical_reason());
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason.unwrap_or("Odd"));
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "content-length: {}\r\n\r\n", answer.body.len()).unwrap();
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&answer.body);
    if write(stream, &bytes).await { Ending::KeepAlive } else { Ending::Done }
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok()
}

async fn until_gone(stream: &mut TcpStream) {
    let mut ignored = [0; 1024];
    while matches!(stream.read(&mut ignored).await, Ok(n) if n > 0) {}
}
