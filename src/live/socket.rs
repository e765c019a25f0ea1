//! A websocket for the session's loop: reads and writes in single steps side by side, so that frames of a client that
//! does not read are still received.

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

/// Size of a connection's read buffer.
const READ_BYTES: usize = 4 << 10;
/// Bytes collected before they are passed to the operating system.
const WRITE_BYTES: usize = 8 << 10;

/// A websocket with its outgoing frames.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<Stream>,
    outbox: VecDeque<Message>,
    is_flushed: bool,
    /// Bytes written since the client was last heard.
    unheard_bytes: usize,
}

/// The result of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// A text frame.
    Text(String),
    /// Another frame; `is_own` is false for a pong, which is only an answer to our ping.
    Other { is_own: bool },
    /// A write made progress.
    Written,
    /// The connection has ended (`None`) or must be closed with this code.
    Over(Option<CloseCode>),
}

impl Socket {
    /// `None` when the connection did not come from one of our listeners.
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

    /// Queues a text frame.
    pub(super) fn send(&mut self, text: impl Into<Utf8Bytes>) {
        self.outbox.push_back(Message::Text(text.into()));
    }

    /// Queues a ping.
    pub(super) fn ping(&mut self) {
        self.outbox.push_back(Message::Ping(bytes::Bytes::new()));
    }

    /// Number of queued frames.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes written since the client was last heard; the client may not have read them yet.
    pub(super) fn unheard_bytes(&self) -> usize {
        self.unheard_bytes
    }

    /// Reads (if `reads`) or writes, whichever is possible first. Dropping the future before it resolves loses
    /// nothing.
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
            // The library queues the answer to a ping or close itself; it has to be flushed.
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
            // Return before flushing: the session may add more frames, which are then sent together.
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

    /// Sends a close frame and waits for the client's, both within the given time.
    pub(super) async fn close(mut self, code: CloseCode, reason: &'static str, within: Duration) {
        let goodbye = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let closing = async {
            if self.stream.send(goodbye).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // When the time is up, the connection simply ends.
        drop(tokio::time::timeout(within, closing).await);
    }
}

/// The close code for a faulty frame; `None` when the connection is already lost.
fn code_of(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
