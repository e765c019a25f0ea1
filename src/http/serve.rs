//! The listener: one warp filter that takes every request, reads its body within bounds, and passes both on.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method, Response as HttpResponse, StatusCode};
use warp::hyper::upgrade::OnUpgrade;
use warp::{Filter, Reply as _};

use super::api::Api;
use super::body;
use super::errors::ApiError;
use super::memory::BodyMemory;
use super::request::Request;
use super::response::{Body, Response};
use super::site::{Site, Socket};
use super::tenants::{Room, keeping};
use crate::listen::{self, Busy, Peer};
use crate::live::{self, Refused, UpgradeRequest};
use crate::tasks::Stop;

/// The API with a bound socket, before it runs.
pub struct Server {
    api: Api,
    site: Option<Arc<dyn Site>>,
    listener: TcpListener,
    address: SocketAddr,
}

/// The API cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("http.listen = \"{address}\" cannot be bound: {error}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The error.
    pub error: io::Error,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds `options.listen`. Connections wait until `run`. The API answers what the site does not.
    pub fn bind(api: Api, site: Option<Arc<dyn Site>>) -> Result<Self, BindError> {
        let asked = api.options.listen;
        let failed = |error| BindError { address: asked, error };
        let listener = listen::bind(asked).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { api, site, listener, address })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop`, then waits for open ones, at most `options.grace`.
    pub async fn run(self, stop: Stop) {
        let grace = self.api.options.grace;
        let (stopped, over) = (stop.clone(), stop);
        let serving = listen::serve(
            self.listener,
            self.api.options.connections,
            everything(self.api, self.site),
            stopped,
        );
        let too_long = async {
            over.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = serving => {}
            () = too_long => tracing::warn!("requests were still open after {} ms", grace.as_millis()),
        }
    }
}

fn everything(api: Api, site: Option<Arc<dyn Site>>) -> BoxedFilter<(warp::reply::Response,)> {
    warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream())
        .then(
            move |method: Method,
                  path: warp::path::FullPath,
                  query: String,
                  headers: HeaderMap,
                  peer: Peer,
                  upgrade: Option<OnUpgrade>,
                  body| {
                let (api, site) = (api.clone(), site.clone());
                let asked = UpgradeRequest { method: &method, headers: &headers, upgrade };
                let entered = enter(&api, site.as_deref(), path.as_str(), &asked, peer.address);
                let client = api.live.client(peer.address.ip(), &headers);
                let mut request = Request::new(method, path.as_str(), &query, headers);
                request.remote = Some(client);
                async move {
                    if let Some(entered) = entered {
                        return entered;
                    }
                    let read = body::read(&api, site.as_deref(), &request, body).await;
                    let busy = peer.busy();
                    let (read, held) = match read {
                        Ok((body, held)) => {
                            request.body = body;
                            (Ok(()), Some(held))
                        }
                        Err(refused) => (Err(refused), None),
                    };
                    // A request that needs much memory also takes much time, which other connections of this
                    // thread should not wait for.
                    let is_heavy = held.as_ref().is_some_and(BodyMemory::is_heavy);
                    let answering = async move {
                        let answer = answer(&api, site.as_deref(), request, read).await;
                        drop(held);
                        answer
                    };
                    let answer = if is_heavy { beside(answering).await } else { Some(answering.await) };
                    answer.map_or_else(failed, |answer| on_the_wire(answer, busy))
                }
            },
        )
        .or_else(|_| async { Ok::<_, Infallible>((failed(),)) })
        .boxed()
}

async fn answer(
    api: &Api,
    site: Option<&dyn Site>,
    request: Request,
    read: Result<(), ApiError>,
) -> Response {
    let page = match site {
        Some(site) => api.page_of(site, &request, read.as_ref().copied()).await,
        None => None,
    };
    match page {
        Some(page) => page,
        None => api.answer(request, read).await,
    }
}

/// Answers on a separate thread, even if the client disconnects. `None` only after a panic.
async fn beside(answering: impl Future<Output = Response> + Send + 'static) -> Option<Response> {
    let runtime = Handle::current();
    spawn_blocking(move || runtime.block_on(answering)).await.ok()
}

/// Accepts a websocket, on any path; on that of the site, with the token of the site's session.
fn enter(
    api: &Api,
    site: Option<&dyn Site>,
    path: &str,
    asked: &UpgradeRequest<'_>,
    remote: SocketAddr,
) -> Option<warp::reply::Response> {
    asked.wants_websocket().then(|| {
        let entered = match site.map_or(Socket::Plain, |site| site.socket(path, asked.headers)) {
            Socket::Plain => api.live.enter(asked, remote),
            Socket::With(token) => api.live.enter_with(asked, remote, Some(token)),
            Socket::Refused => Err(Refused(StatusCode::FORBIDDEN)),
        };
        live::answer(entered).into_response()
    })
}

/// Sends the response. The connection counts as busy until the last piece of a streamed body.
fn on_the_wire(response: Response, busy: Busy) -> warp::reply::Response {
    let Response { status, headers, body, room } = response;
    let mut builder = HttpResponse::builder().status(status);
    for (name, value) in headers {
        // A request id or a path may contain characters that a header must not.
        if let Ok(value) = warp::http::HeaderValue::from_str(&value) {
            builder = builder.header(name, value);
        }
    }
    let body = match body {
        Body::Text(text) => keeping(text, room).into(),
        Body::Fixed(text) => text.into_response().into_body(),
        Body::Stream(pieces) => {
            warp::reply::stream(Alone { pieces: Mutex::new(pieces), _busy: busy, _room: room })
                .into_response()
                .into_body()
        }
    };
    builder.body(body).unwrap_or_else(|_| failed())
}

fn failed() -> warp::reply::Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// A stream with a single owner, in the `Sync` form that warp requires.
struct Alone<S> {
    pieces: Mutex<S>,
    _busy: Busy,
    _room: Option<Room>,
}

impl<S: Stream + Unpin> Stream for Alone<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut().pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(stream).poll_next(context)
    }
}
