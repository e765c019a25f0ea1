//! KAZOO's websocket port: every path accepts websockets; any other request is answered with 426.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::hyper::upgrade::OnUpgrade;
use warp::{Filter, Reply as _};

use super::handle::Live;
use super::upgrade::{Refused, UpgradeRequest};
use crate::listen::{self, Peer};
use crate::tasks::Stop;

/// A bound port that does not answer yet.
#[derive(Debug)]
pub struct Listener {
    live: Live,
    socket: TcpListener,
    address: SocketAddr,
}

/// The port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("websocket.listen = \"{address}\" cannot be bound: {error}")]
pub struct BindError {
    /// The configured address.
    pub address: SocketAddr,
    /// The reason.
    pub error: io::Error,
}

impl Listener {
    /// Binds `options.listen`. Connections wait until `run`.
    pub fn bind(live: Live) -> Result<Self, BindError> {
        let asked = live.options().listen;
        let bound = listen::bind(asked).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, socket) = bound.map_err(|error| BindError { address: asked, error })?;
        Ok(Self { live, socket, address })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Admits clients until `stop`. Their sessions continue afterwards.
    pub async fn run(self, stop: Stop) {
        let limits = self.live.options().connections;
        let serving = listen::serve(self.socket, limits, every_path(self.live), stop.clone());
        // Connections are websockets, which end elsewhere, or requests that are answered at once. Nothing to wait
        // for.
        stop.run_until_cancelled(serving).await;
    }
}

fn every_path(live: Live) -> BoxedFilter<(warp::reply::Response,)> {
    warp::method()
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(move |method: Method, headers: HeaderMap, peer: Peer, upgrade| {
            let asked = UpgradeRequest { method: &method, headers: &headers, upgrade };
            answer(live.enter(&asked, peer.address)).into_response()
        })
        .boxed()
}

/// The response to an upgrade request; it has no body.
#[must_use]
pub fn answer(entered: Result<HeaderMap, Refused>) -> Response<String> {
    let (status, headers) = match entered {
        Ok(headers) => (StatusCode::SWITCHING_PROTOCOLS, headers),
        Err(refused) => (refused.0, refused.headers()),
    };
    let mut response = Response::new(String::new());
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}
