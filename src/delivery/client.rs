//! The HTTP client: HTTP/1.1, no redirects, no proxies, no tries of its own, and every connection through
//! `connect`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tower_service::Service;
use url::{Position, Url};

use super::connect::Connector;
use super::guard::{BoxError, Guard};
use super::idle::{Idle, Open};
use super::transport::Limits;

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("http client: {0}")]
pub struct BuildError(#[from] io::Error);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// There was no connection.
    #[error("connect: {0}")]
    Connect(BoxError),
    /// What was sent, or came back, broke off or was no HTTP.
    #[error("request: {0}")]
    Broken(#[from] hyper::Error),
}

/// Who makes requests. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(super) struct Client {
    connector: Connector,
    idle: Idle,
    /// The time of a request that has none of its own.
    pub(super) timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Client {
    /// Every connection goes through the guard.
    pub(super) fn new(limits: &Limits, guard: &Guard) -> Result<Self, BuildError> {
        // No answer that is read to its bounds is longer: chunks of one byte take six.
        let answer = limits.response_read_bytes.saturating_mul(8).saturating_add(HEAD);
        let connector = Connector::new(guard.clone(), limits.connect_timeout, answer)?;
        let idle = Idle::new(limits.idle_per_host, limits.idle_timeout);
        Ok(Self { connector, idle, timeout: limits.request_timeout })
    }

    /// Sends a request and waits for the head of its answer; what follows comes on the connection.
    pub(super) async fn request(
        &self,
        request: Outgoing,
    ) -> Result<(Response<Incoming>, Open), RequestError> {
        let address = request.address.clone();
        let mut request = request.into_request();
        loop {
            let (was_waiting, mut open) = match self.idle.take(&address.origin) {
                Some(open) => (true, open),
                // In memory of its own: every attempt is moved about with room for all that it may await.
                None => (false, Box::pin(self.connect(&address)).await?),
            };
            let answering = pin!(open.sender.try_send_request(request));
            match open.during(answering).await {
                Ok(response) => return Ok((response, open)),
                // The receiver had closed a connection that waited, and has seen nothing of the request.
                Err(mut error) => match error.take_message().filter(|_| was_waiting) {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> &Idle {
        &self.idle
    }

    async fn connect(&self, address: &Address) -> Result<Open, RequestError> {
        let mut connector = self.connector.clone();
        poll_fn(|cx| connector.poll_ready(cx)).await.map_err(RequestError::Connect)?;
        let stream = connector.call(address.uri.clone()).await.map_err(RequestError::Connect)?;
        Ok(Open::on(stream, address.origin.clone()).await?)
    }

    /// Takes back the connection of an answer that was read to its end.
    pub(super) fn keep(&self, open: Open) {
        self.idle.put(open);
    }

    /// Closes connections that have waited for too long; to be called now and then.
    pub(super) fn sweep(&self) {
        self.idle.sweep();
    }
}

/// More bytes than hyper takes for a head.
const HEAD: usize = 1 << 20;

/// Where a request goes, in all spellings that are needed.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: Url,
    uri: Uri,
    /// Path and query alone, as a request says them (RFC 9112, 3.2.1).
    path: Uri,
    host: HeaderValue,
    /// Scheme, host and port: what can use the same connections.
    origin: Arc<str>,
}

impl Address {
    /// `None` for a URL that no request can be made to.
    pub(super) fn new(url: Url) -> Option<Self> {
        let uri = url.as_str().parse().ok()?;
        let path = url[Position::BeforePath..Position::AfterQuery].parse().ok()?;
        let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()?;
        let origin = format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]).into();
        Some(Self { url, uri, path, host, origin })
    }
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) address: Arc<Address>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Without one the client's holds.
    pub(super) timeout: Option<Duration>,
}

impl Outgoing {
    pub(super) fn into_request(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.address.path.clone();
        *request.headers_mut() = self.headers;
        request.headers_mut().entry(header::HOST).or_insert_with(|| self.address.host.clone());
        request
    }
}
