//! The HTTP client: HTTP/1.1, no redirects, no proxies, no tries of its own, and every connection through
//! `connect`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use url::Url;

use super::connect::Connector;
use super::guard::Guard;
use super::pool::Options;

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("http client: {0}")]
pub struct BuildError(#[from] io::Error);

/// Who makes requests. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) inner: legacy::Client<Connector, Full<Bytes>>,
    /// The time of a request that has none of its own.
    pub(super) timeout: Duration,
}

impl Client {
    /// Keeps so many idle connections for each host.
    pub(super) fn new(options: &Options, guard: &Guard, idle_per_host: usize) -> Result<Self, BuildError> {
        // No answer that is read to its bounds is longer: chunks of one byte take six.
        let answer = options.response_read_bytes.saturating_mul(8).saturating_add(HEAD);
        let connector = Connector::new(guard.clone(), options.connect_timeout, answer)?;
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(idle_per_host)
            .build(connector);
        Ok(Self { inner, timeout: options.request_timeout })
    }
}

/// More bytes than hyper takes for a head.
const HEAD: usize = 1 << 20;

/// Where a request goes, in both spellings that are needed.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) url: Url,
    uri: Uri,
}

impl Address {
    /// `None` for a URL that no request can be made to.
    pub(super) fn new(url: Url) -> Option<Self> {
        let uri = url.as_str().parse().ok()?;
        Some(Self { url, uri })
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
        *request.uri_mut() = self.address.uri.clone();
        *request.headers_mut() = self.headers;
        request
    }
}
