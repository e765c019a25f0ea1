//! The HTTP client: HTTP/1.1, without redirects, proxies or retries of its own. All connections are made by
//! `connect`.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use url::{Position, Url};

use super::connect::{Connector, Destination, NoConnection};
use super::guard::Guard;
use super::headers::Headers;
use super::idle::{Idle, Open};
use super::stopwatch::{Phase, Stopwatch};
use super::transport::TransportLimits;
use crate::kazoo::RequestUri;
use crate::model::{AccountId, HookId};

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("http client: {0}")]
pub struct BuildError(#[from] io::Error);

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// No connection could be made.
    #[error("connect: {0}")]
    Connect(#[from] NoConnection),
    /// The request or the answer broke off, or the answer was not HTTP.
    #[error("request: {error}")]
    Broken {
        error: hyper::Error,
        /// Received bytes that were not understood.
        unread: Bytes,
    },
}

/// Makes requests. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(super) struct Client {
    connector: Connector,
    idle: Idle,
    /// Time limit of requests without their own.
    pub(super) timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Client {
    /// A client whose connections all go through the guard.
    pub(super) fn new(limits: &TransportLimits, guard: &Guard) -> Result<Self, BuildError> {
        // Enough for any answer within its bounds: with chunks of one byte, six bytes are sent for each byte of the
        // body.
        let answer = limits.response_read_bytes.saturating_mul(8).saturating_add(HEAD);
        let connector = Connector::new(guard.clone(), limits.connect_timeout, answer)?;
        let idle = Idle::new(limits.idle);
        Ok(Self { connector, idle, timeout: limits.request_timeout })
    }

    /// Sends a request and waits for the head of the answer. The body is read from the returned connection.
    pub(super) async fn request(
        &self,
        request: Outgoing,
        watch: &mut Stopwatch,
    ) -> Result<(Response<Incoming>, Open), RequestError> {
        let address = &*request.address;
        let within = request.timeout.unwrap_or(self.timeout);
        // At most two turns: a second one always uses a new connection.
        let mut fresh = false;
        loop {
            let waiting = if fresh { None } else { self.idle.take(&address.origin) };
            // The receiver may be closing an idle connection; the request is then repeated on a new one.
            let was_kept = waiting.is_some();
            let mut open = match waiting {
                Some(open) => open,
                // Boxed, to keep the future of an attempt small.
                None => Box::pin(self.connect(address, request.account, within, watch)).await?,
            };
            watch.begin(Phase::Answer);
            let answering = pin!(open.sender.try_send_request(request.message()));
            match open.during(answering).await {
                Ok(response) => return Ok((response, open)),
                Err(error) => {
                    let (error, unread) = (error.into_error(), open.unread());
                    // RFC 9112, 9.5: the receiver closed the connection while the request was on its way, without
                    // sending any part of an answer.
                    let closed = error.is_closed() || error.is_canceled() || error.is_incomplete_message();
                    if !was_kept || !unread.is_empty() || !(closed || broke(&error)) {
                        return Err(RequestError::Broken { error, unread });
                    }
                    // A repetition is safe only because no byte of an answer came: the receiver has closed the
                    // connection without a sign that it has taken the request.
                    self.idle.was_closed(&address.origin);
                    fresh = true;
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    async fn connect(
        &self,
        address: &Address,
        account: AccountId,
        within: Duration,
        watch: &mut Stopwatch,
    ) -> Result<Open, RequestError> {
        let to = Destination { url: &address.url, uri: &address.uri };
        let stream = self.connector.connect(account, to, within, watch).await?;
        let opened = Open::on(stream, address.origin.clone()).await;
        opened.map_err(|error| RequestError::Broken { error, unread: Bytes::new() })
    }

    /// Keeps the connection of an answer that was read completely, for the next request.
    pub(super) fn keep(&self, open: Open) {
        self.idle.put(open);
    }

    /// Closes connections that have been idle for too long. Must be called regularly.
    pub(super) fn sweep(&self) {
        self.idle.sweep();
    }
}

/// Whether the error is that the peer has closed the connection.
fn broke(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        )
    })
}

/// More bytes than hyper accepts for a head.
const HEAD: usize = 1 << 20;

/// The target of a request, in all required forms.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: Url,
    uri: Uri,
    /// Path and query, as in a request line (RFC 9112, 3.2.1).
    path: Uri,
    host: HeaderValue,
    /// Scheme, host and port. Requests to the same origin can share connections.
    origin: Arc<str>,
}

impl Address {
    /// `None` for a URL to which no request can be made.
    pub(super) fn new(url: Url) -> Option<Self> {
        let RequestUri { url, uri, path, host } = RequestUri::new(url).ok()?;
        let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]).into();
        Some(Self { url, uri, path, host, origin })
    }
}

/// A request to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    /// The hook that sends it, and its account.
    pub(super) hook: HookId,
    pub(super) account: AccountId,
    pub(super) address: Arc<Address>,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    /// Time limit; `None` for the client's.
    pub(super) timeout: Option<Duration>,
    /// The attempt's span, when its event has a trace.
    pub(super) span_id: Option<u64>,
}

impl Outgoing {
    /// The request itself. It can be made again, and shares the body each time.
    fn message(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.address.path.clone();
        *request.headers_mut() = self.headers.map();
        request.headers_mut().entry(header::HOST).or_insert_with(|| self.address.host.clone());
        request
    }
}
