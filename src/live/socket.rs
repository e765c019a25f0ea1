//! A websocket as the session's loop sees it: one step at a time, reading and writing side by side, so that a
//! client that does not read can still be heard.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use warp::hyper::upgrade::Upgraded;

use crate::listen::{self, Stream};

/// Memory of one connection's reading side.
const READ_BYTES: usize = 4 << 10;
/// Bytes that are gathered before the operating system is asked to send them.
const WRITE_BYTES: usize = 8 << 10;

/// One websocket with what waits to be written.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<Stream>,
    outbox: VecDeque<Message>,
    is_flushed: bool,
    /// Bytes handed over since the client was last heard.
    unheard_bytes: usize,
}

/// What a step brought.
#[derive(Debug)]
pub(super) enum Step {
    /// A text frame.
    Text(String),
    /// Another frame; whether it is more than the answer to a ping.
    Other { is_own: bool },
    /// Something was written.
    Written,
    /// The connection is over, or must be closed with this code.
    Over(Option<CloseCode>),
}

impl Socket {
    /// None when the connection is not one of our listeners'.
    pub(super) async fn new(upgraded: Upgraded, max_frame_bytes: usize) -> Option<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(max_frame_bytes))
            .max_frame_size(Some(max_frame_bytes));
        let (stream, read) = listen::released(upgraded)?;
        let (read, config) = (read.to_vec(), Some(config));
        let stream = WebSocketStream::from_partially_read(stream, read, Role::Server, config).await;
        Some(Self { stream, outbox: VecDeque::new(), is_flushed: true, unheard_bytes: 0 })
    }

    /// Puts a text at the end of what is to be written.
    pub(super) fn send(&mut self, text: impl Into<Utf8Bytes>) {
        self.outbox.push_back(Message::Text(text.into()));
    }

    /// Likewise a ping.
    pub(super) fn ping(&mut self) {
        self.outbox.push_back(Message::Ping(bytes::Bytes::new()));
    }

    /// How many frames wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes handed over since the client was last heard, as far as they may still lie somewhere on the way.
    pub(super) fn unheard_bytes(&self) -> usize {
        self.unheard_bytes
    }

    /// Writes what waits and reads what has come, whatever is possible first. Nothing is lost when this is
    /// dropped before it resolves.
    pub(super) async fn step(&mut self, reads: bool) -> Step {
        poll_fn(|cx| {
            if reads && let Poll::Ready(step) = self.poll_read(cx) {
                return Poll::Ready(step);
            }
            self.poll_write(cx)
        })
        .await
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Poll::Ready(read) = self.stream.poll_next_unpin(cx) else { return Poll::Pending };
        self.unheard_bytes = 0;
        Poll::Ready(match read {
            Some(Ok(Message::Text(text))) => Step::Text(text.as_str().to_owned()),
            Some(Ok(Message::Pong(_))) => Step::Other { is_own: false },
            // The library answers pings and closing by itself.
            Some(Ok(Message::Ping(_) | Message::Binary(_) | Message::Frame(_) | Message::Close(_))) => {
                self.is_flushed = false;
                Step::Other { is_own: true }
            }
            Some(Err(error)) => Step::Over(code_of(&error)),
            None => Step::Over(None),
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.outbox.is_empty() && self.is_flushed {
            return Poll::Pending;
        }
        let mut written = false;
        while !self.outbox.is_empty() {
            match self.stream.poll_ready_unpin(cx) {
                Poll::Pending if written => return Poll::Ready(Step::Written),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Step::Over(None)),
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.outbox.pop_front() else { break };
            self.unheard_bytes += message.len();
            if self.stream.start_send_unpin(message).is_err() {
                return Poll::Ready(Step::Over(None));
            }
            (written, self.is_flushed) = (true, false);
        }
        if written {
            // There may be more to write, which is better sent together.
            return Poll::Ready(Step::Written);
        }
        match self.stream.poll_flush_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.is_flushed = true;
                Poll::Ready(Step::Written)
            }
            Poll::Ready(Err(_)) => Poll::Ready(Step::Over(None)),
        }
    }

    /// Says goodbye with a code, within a time, and waits as long for the client's.
    pub(super) async fn close(mut self, code: CloseCode, reason: &'static str, within: Duration) {
        let goodbye = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let closing = async {
            if self.stream.send(goodbye).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // A client that does not take it sees the connection end.
        drop(tokio::time::timeout(within, closing).await);
    }
}

/// The code that tells a client what was wrong with its frame; none when there is nobody to tell.
fn code_of(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
