//! The listener: one warp filter that takes every request, reads its body within bounds, and hands both over.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, BytesMut};
use futures_util::{Stream, StreamExt, pin_mut};
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use warp::http::{HeaderMap, Method, Response as HttpResponse, StatusCode};
use warp::hyper::body::Bytes;
use warp::hyper::upgrade::OnUpgrade;
use warp::{Filter, Reply as _};

use super::api::Api;
use super::errors::ApiError;
use super::request::Request;
use super::response::{Body, Response};
use crate::live::{self, Asked};
use crate::tasks::Stop;

/// The API on its socket, not yet answering.
#[derive(Debug)]
pub struct Server {
    api: Api,
    listener: TcpListener,
    address: SocketAddr,
}

/// The API cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("http.listen = \"{address}\" cannot be bound: {error}")]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// Why it cannot.
    pub error: io::Error,
}

impl Server {
    /// Binds `options.listen`. Connections wait until `run`.
    pub fn bind(api: Api) -> Result<Self, BindError> {
        let asked = api.options.listen;
        let failed = |error| BindError { address: asked, error };
        let listener = live::bind(asked).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { api, listener, address })
    }

    /// The address that was really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets open requests finish, for `options.grace` at most.
    pub async fn run(self, stop: Stop) {
        let grace = self.api.options.grace;
        let (stopped, over) = (stop.clone(), stop);
        let serving = warp::serve(everything(self.api))
            .incoming(self.listener)
            .graceful(async move { stopped.cancelled().await })
            .run();
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

fn everything(
    api: Api,
) -> impl Filter<Extract = (warp::reply::Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::addr::remote())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream())
        .then(
            move |method: Method,
                  path: warp::path::FullPath,
                  query: String,
                  headers: HeaderMap,
                  remote: Option<SocketAddr>,
                  upgrade: Option<OnUpgrade>,
                  body| {
                let api = api.clone();
                let entered = enter(&api, &Asked { method: &method, headers: &headers, upgrade }, remote);
                let mut request = Request::new(method, path.as_str(), &query, headers);
                request.remote = remote.map(|address| address.ip());
                async move {
                    if let Some(entered) = entered {
                        return entered;
                    }
                    let permit = permit(&api, &request).await;
                    let read = match &permit {
                        Ok(_) => read_body(&api, &request, body).await,
                        Err(refused) => Err(refused.clone()),
                    };
                    let read = read.map(|body| request.body = body);
                    on_the_wire(api.answer(request, read).await)
                }
            },
        )
        .or_else(|_| async { Ok::<_, Infallible>((failed(),)) })
}

/// The answer to a client that asks for a websocket, on whatever path.
fn enter(api: &Api, asked: &Asked<'_>, remote: Option<SocketAddr>) -> Option<warp::reply::Response> {
    let remote = remote.filter(|_| asked.wants_websocket())?;
    Some(live::answer(api.live.enter(asked, remote)).into_response())
}

/// Bodies are held in memory, so only so many requests with one are served at a time; others never wait.
async fn permit(api: &Api, request: &Request) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    let has_body = request.header("transfer-encoding").is_some()
        || request.header("content-length").is_some_and(|bytes| bytes != "0");
    if !has_body {
        return Ok(None);
    }
    let waiting = tokio::time::timeout(api.options.body_timeout, Arc::clone(&api.bodies).acquire_owned());
    match waiting.await {
        Ok(Ok(permit)) => Ok(Some(permit)),
        Ok(Err(_)) | Err(_) => Err(ApiError::too_many()),
    }
}

/// The whole body, unless it is too large or too slow.
async fn read_body(
    api: &Api,
    request: &Request,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Bytes, ApiError> {
    let most = api.options.max_body_bytes;
    let too_large = || ApiError::too_large("file", most);
    let announced = request.header("content-length").and_then(|text| text.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(too_large());
    }
    let reading = async {
        pin_mut!(body);
        let mut whole = BytesMut::new();
        while let Some(part) = body.next().await {
            let mut part = part.map_err(|_| ApiError::broken_body())?;
            if whole.len() + part.remaining() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&part.copy_to_bytes(part.remaining()));
        }
        Ok(whole.freeze())
    };
    let read = tokio::time::timeout(api.options.body_timeout, reading).await;
    read.unwrap_or_else(|_| Err(ApiError::slow_body()))
}

fn on_the_wire(response: Response) -> warp::reply::Response {
    let mut builder = HttpResponse::builder().status(response.status);
    for (name, value) in response.headers {
        // A request id or a path may hold what no header may.
        if let Ok(value) = warp::http::HeaderValue::from_str(&value) {
            builder = builder.header(name, value);
        }
    }
    let body = match response.body {
        Body::Text(text) => text.into_response(),
        Body::Stream(pieces) => warp::reply::stream(Alone(Mutex::new(pieces))).into_response(),
    };
    builder.body(body.into_body()).unwrap_or_else(|_| failed())
}

fn failed() -> warp::reply::Response {
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// A stream that only its owner touches, which warp wants to see written down as `Sync`.
struct Alone<S>(Mutex<S>);

impl<S: Stream + Unpin> Stream for Alone<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(stream).poll_next(context)
    }
}
