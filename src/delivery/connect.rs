//! Makes connections to receivers, through the address guard and within the connect timeout. A connection also bounds
//! the bytes that it reads for one request.
//!
//! The bound is for receivers that send interim responses without end (RFC 9110, 15.2). The client would read them
//! for the whole time of the attempt, on the thread that all deliveries share.

use std::error::Error;
use std::future::{Ready, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{DefaultServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;
use url::Url;

use super::guard::{Guard, NoAddress};
use super::stopwatch::{ConnectedAt, Phase, Stopwatch};
use super::trust;
use crate::model::AccountId;

/// Idle time after which TCP checks whether the peer is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The error type that the client expects.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;
/// A step in making a connection.
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// There was no address to connect to.
    #[error(transparent)]
    NoAddress(#[from] NoAddress),
    /// No connection within the connect timeout, TLS included.
    #[error("no connection in time")]
    TimedOut,
    /// The connection, or TLS on it, failed.
    #[error("{error}")]
    Failed {
        error: BoxError,
        /// Whether all addresses were IPv4.
        ipv4: bool,
    },
}

/// The answer exceeded the bound.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes came for one request")]
pub(super) struct TooLong(usize);

/// A connection, with TLS where its URL asks for it.
pub(super) type Stream = MaybeHttpsStream<TokioIo<Bounded>>;

/// Where a connection goes: the same address, as the guard and as the HTTP client read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) url: &'a Url,
    pub(super) uri: &'a Uri,
}

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    guard: Guard,
    tls: Arc<ClientConfig>,
    limit: Duration,
    answer: usize,
}

impl Connector {
    /// `limit` is the time limit for making a connection, `answer` the most bytes it reads for one request.
    pub(super) fn new(guard: Guard, limit: Duration, answer: usize) -> io::Result<Self> {
        Ok(Self { guard, tls: Arc::new(trust::tls()?), limit, answer })
    }

    /// Connects to one of the addresses that the guard permits, for a request of this account. `within` is the time
    /// limit of the request.
    pub(super) async fn connect(
        &self,
        account: AccountId,
        to: Destination<'_>,
        within: Duration,
        watch: &mut Stopwatch,
    ) -> Result<Stream, NoConnection> {
        let (until, limit) = (Instant::now() + self.limit, self.limit.min(within));
        // Shorter than the attempt's own limit; otherwise the attempt could not tell which step was too slow.
        watch.begin(Phase::Name);
        let addresses = self.guard.addresses(account, to.url, limit / 4 * 3).await?;
        let connected = ConnectedAt::default();
        watch.begin(Phase::Connect { at: connected.clone(), tls: to.url.scheme() == "https" });
        let ipv4 = addresses.iter().all(SocketAddr::is_ipv4);
        let failed = |error| NoConnection::Failed { error, ipv4 };
        // One connector for each connection, because it holds the addresses that the guard has checked for this
        // request.
        let mut http = HttpConnector::new_with_resolver(Checked(addresses));
        // The connector below TLS must accept `https` URIs.
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEP_ALIVE));
        http.set_keepalive_interval(Some(KEEP_ALIVE));
        http.set_connect_timeout(Some(self.limit));
        let tcp = Tcp { http, answer: self.answer, connected };
        let names = Arc::new(DefaultServerNameResolver::default());
        let mut https = HttpsConnector::new(tcp, Arc::clone(&self.tls), false, names);
        poll_fn(|cx| https.poll_ready(cx)).await.map_err(failed)?;
        let made = timeout_at(until, https.call(to.uri.clone())).await;
        made.map_err(|_| NoConnection::TimedOut)?.map_err(failed)
    }
}

/// The addresses for one connection. The guard has checked them, and no name is resolved again.
#[derive(Debug, Clone)]
struct Checked(Vec<SocketAddr>);

impl Service<Name> for Checked {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}

/// The layer below TLS.
#[derive(Debug, Clone)]
struct Tcp {
    http: HttpConnector<Checked>,
    answer: usize,
    /// Receives the time at which the TCP connection was established, before TLS.
    connected: ConnectedAt,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<Bounded>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connecting, most) = (self.http.call(to), self.answer);
        let connected = ConnectedAt::clone(&self.connected);
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            // The client sees only TCP and TLS together. The time in between is noted here, to tell a slow network
            // from a slow handshake.
            connected.get_or_init(Instant::now);
            Ok(TokioIo::new(Bounded { stream, most, read: 0, was_read: false }))
        })
    }
}

/// A connection with a bound on the bytes read between two writes.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: TcpStream,
    most: usize,
    read: usize,
    was_read: bool,
}

impl Bounded {
    /// A write after a read starts the next request, for which the bound counts again.
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
        // Checked before reading, so that an answer of exactly the bound passes.
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
        // No proxy and no HTTP/2.
        Connected::new()
    }
}
