//! Connections to receivers: through the address guard, within the connect timeout, and none hands over more bytes
//! for one request than any answer may have.
//!
//! The last bound is for receivers that answer with interim responses without end (RFC 9110, 15.2): the client
//! would read them for as long as the attempt may take, in the thread that all deliveries share.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::guard::{BoxError, Connecting, Guard};

/// A connection that stands still is asked whether anybody is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// No connection within the connect timeout, TLS included.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(super) struct ConnectTimedOut;

/// An answer that never ends.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes came for one request")]
pub(super) struct TooLong(usize);

/// A connection, with TLS where its URL asks for it.
pub(super) type Stream = MaybeHttpsStream<TokioIo<Bounded>>;

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Tcp>,
    limit: Duration,
}

impl Connector {
    /// Connections take at most `limit` to make, and read at most `answer` bytes for a request.
    pub(super) fn new(guard: Guard, limit: Duration, answer: usize) -> io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(guard);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEP_ALIVE));
        http.set_keepalive_interval(Some(KEEP_ALIVE));
        http.set_connect_timeout(Some(limit));
        let tls = HttpsConnectorBuilder::new().try_with_platform_verifier().map_err(io::Error::other)?;
        let https = tls.https_or_http().enable_http1().wrap_connector(Tcp { http, answer });
        Ok(Self { https, limit })
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connected = timeout(self.limit, self.https.call(to));
        Box::pin(async { connected.await.map_err(|_| ConnectTimedOut)? })
    }
}

/// What is beneath TLS.
#[derive(Debug, Clone)]
struct Tcp {
    http: HttpConnector<Guard>,
    answer: usize,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<Bounded>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connected, most) = (self.http.call(to), self.answer);
        Box::pin(async move {
            let stream = connected.await?.into_inner();
            Ok(TokioIo::new(Bounded { stream, most, read: 0, was_read: false }))
        })
    }
}

/// A connection that reads so many bytes at the most before it writes again.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: TcpStream,
    most: usize,
    read: usize,
    was_read: bool,
}

impl Bounded {
    /// The next request begins when something is written after something was read.
    fn writes(&mut self) -> Pin<&mut TcpStream> {
        if std::mem::take(&mut self.was_read) {
            self.read = 0;
        }
        Pin::new(&mut self.stream)
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read > self.most {
            return Poll::Ready(Err(io::Error::other(TooLong(self.most))));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len().saturating_sub(before);
        if came > 0 {
            self.read = self.read.saturating_add(came);
            self.was_read = true;
        }
        polled
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connection for Bounded {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
