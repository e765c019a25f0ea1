//! Sends one request and reads the answer, within bounds.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING};
use http::response::Parts;
use http_body_util::BodyExt;
use tokio::time::sleep;

use super::client::{Client, Outgoing};
use super::fault::{of_body, verdict};
use super::inbox::Inbox;
use super::stopwatch::Stopwatch;
use super::transport::TransportLimits;
use crate::model::{AttemptResult, Phases, Response, TransportError};

const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 1024;

/// How much of an answer is read and kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// Most bytes of the body to read.
    pub(super) read: usize,
    /// Bytes of a failure's body to keep.
    pub(super) keep: usize,
    /// Bytes of a success's headers and body to keep.
    pub(super) keep_success: usize,
    /// Whether as much is kept of a success as of a failure.
    pub(super) always: bool,
}

impl Caps {
    /// Bounds for a delivery.
    pub(super) fn of(limits: &TransportLimits) -> Self {
        Self {
            read: limits.response_read_bytes,
            keep: limits.response_keep_bytes,
            keep_success: limits.success_keep_bytes,
            always: false,
        }
    }

    /// The headers of an answer to keep, and the bytes of its body.
    fn kept(&self, head: &Parts, now_us: u64) -> (Response, usize) {
        let mut response = Response { status: head.status.as_u16(), ..Response::default() };
        if self.always || !head.status.is_success() {
            response.retry_after_ms = retry_after_ms(&head.headers, now_us);
            response.headers = headers(&head.headers, usize::MAX);
            return (response, self.keep);
        }
        response.headers = headers(&head.headers, self.keep_success);
        let used: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        (response, self.keep_success.saturating_sub(used))
    }
}

/// Sends requests: over a connection, or to the built-in receiver.
pub(super) struct Sender<'a> {
    pub(super) client: &'a Client,
    pub(super) inbox: &'a Inbox,
    pub(super) caps: Caps,
}

impl Sender<'_> {
    pub(super) async fn send(&self, request: Outgoing, now_us: u64) -> Exchange {
        match self.inbox.take(&request, now_us) {
            Some(response) => {
                Exchange { result: AttemptResult::Answered(response), phases: Phases::default() }
            }
            None => send(self.client, request, self.caps, now_us).await,
        }
    }
}

/// A request and its result.
#[derive(Debug)]
pub(super) struct Exchange {
    /// How it ended.
    pub(super) result: AttemptResult,
    /// How long its phases took.
    pub(super) phases: Phases,
}

/// Makes the request. The answer is complete when status line and headers have arrived and the body has ended or
/// reached the bound. A body that breaks off counts as a closed connection.
pub(super) async fn send(client: &Client, request: Outgoing, caps: Caps, now_us: u64) -> Exchange {
    let mut watch = Stopwatch::new();
    let limit = request.timeout.unwrap_or(client.timeout);
    // The time limit is polled first, so that a late answer does not count even if this task is polled late.
    let result = tokio::select! {
        biased;
        () = sleep(limit) => AttemptResult::failed(TransportError::Timeout),
        answered = answer(client, request, caps, now_us, &mut watch) => match answered {
            Ok(response) => AttemptResult::Answered(response),
            Err(result) => result,
        },
    };
    Exchange { result, phases: watch.stop() }
}

async fn answer(
    client: &Client,
    request: Outgoing,
    caps: Caps,
    now_us: u64,
    watch: &mut Stopwatch,
) -> Result<Response, AttemptResult> {
    let asked = client.request(request, watch).await;
    watch.end();
    let (response, mut open) = asked.map_err(|error| verdict(&error))?;
    let (head, mut body) = response.into_parts();
    let (mut response, most) = caps.kept(&head, now_us);
    let mut kept = BytesMut::new();
    let (mut read, mut whole) = (0, true);
    let ends = Ends::of(&head.headers);
    while let Some(frame) = open.during(pin!(body.frame())).await {
        let frame = match frame {
            Ok(frame) => frame,
            // TLS that ends without a word (no close_notify), behind an answer that is whole.
            Err(error) if ends.are_reached(read, &error) => {
                whole = false;
                break;
            }
            Err(error) => return Err(of_body(&error)),
        };
        let Some(chunk) = frame.data_ref() else { continue };
        read += chunk.len();
        let room = most.saturating_sub(kept.len());
        if room > 0 {
            kept.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        }
        if read >= caps.read {
            // The rest is not read, so the connection cannot be used again and will be closed.
            whole = false;
            break;
        }
    }
    if whole {
        client.keep(open);
    }
    response.body = Bytes::from(kept);
    Ok(response)
}

/// How the end of an answer's body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// After this number of bytes.
    After(usize),
    /// When the connection ends.
    WithConnection,
    /// From the last chunk.
    InChunks,
}

impl Ends {
    fn of(head: &HeaderMap) -> Self {
        if head.contains_key(TRANSFER_ENCODING) {
            return Self::InChunks;
        }
        let length = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok());
        length.map_or(Self::WithConnection, Self::After)
    }

    /// Whether a body of `read` bytes is complete although the next read failed.
    fn are_reached(self, read: usize, error: &hyper::Error) -> bool {
        match self {
            Self::After(length) => read == length,
            Self::WithConnection => error
                .source()
                .and_then(|cause| cause.downcast_ref::<io::Error>())
                .is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof),
            Self::InChunks => false,
        }
    }
}

/// The first headers, as long as they have no more than `most` bytes together.
fn headers(map: &HeaderMap, most: usize) -> Vec<(String, String)> {
    let text = |value: &[u8]| {
        let cut = value.get(..value.len().min(MAX_HEADER_BYTES)).unwrap_or_default();
        String::from_utf8_lossy(cut).into_owned()
    };
    let mut left = most;
    let fits = map.iter().take(MAX_HEADERS).map_while(|(name, value)| {
        left = left.checked_sub(name.as_str().len() + value.len())?;
        Some((name.to_string(), text(value.as_bytes())))
    });
    fits.collect()
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), in milliseconds from now.
fn retry_after_ms(map: &HeaderMap, now_us: u64) -> Option<u64> {
    let text = map.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large for the type is still a valid request to wait; the queue caps it.
        return Some(text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at_us = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_micros();
    Some(u64::try_from(at_us).unwrap_or(u64::MAX).saturating_sub(now_us) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(value: &str) -> Option<u64> {
        let mut map = HeaderMap::new();
        map.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after_ms(&map, 784_111_777_000_000)
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(retry_after("120"), Some(120_000));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10_000));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!(retry_after("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(retry_after("soon"), None);
    }
}
