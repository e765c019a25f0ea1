//! KAZOO's websocket port: every path is a websocket, everything else is answered 426.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use warp::Filter;
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::hyper::upgrade::OnUpgrade;

use super::handle::Live;
use super::upgrade::{Asked, Refused};
use crate::tasks::Stop;

const BACKLOG: u32 = 1024;
/// What the operating system may hold for one client; its own limit is many times that.
const SEND_BYTES: u32 = 128 << 10;

/// The port, bound and not yet answering.
#[derive(Debug)]
pub struct Listener {
    live: Live,
    socket: TcpListener,
    address: SocketAddr,
}

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("websocket.listen = \"{address}\" cannot be bound: {error}")]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// Why it cannot.
    pub error: io::Error,
}

impl Listener {
    /// Binds `options.listen`. Connections wait until `run`.
    pub fn bind(live: Live) -> Result<Self, BindError> {
        let asked = live.options().listen;
        let bound = bind(asked).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, socket) = bound.map_err(|error| BindError { address: asked, error })?;
        Ok(Self { live, socket, address })
    }

    /// The address that was really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets clients in until `stop`. Their sessions go on.
    pub async fn run(self, stop: Stop) {
        let serving = warp::serve(every_path(self.live)).incoming(self.socket);
        // Its connections are websockets, or requests that are answered at once: nothing to wait for.
        stop.run_until_cancelled(serving.run()).await;
    }
}

/// A listener whose connections suit websockets; they inherit its settings. Small frames are sent at once, and a
/// slow client's buffer stays small.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn every_path(
    live: Live,
) -> impl Filter<Extract = (Response<String>,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::method()
        .and(warp::header::headers_cloned())
        .and(warp::addr::remote())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(move |method: Method, headers: HeaderMap, remote: Option<SocketAddr>, upgrade| {
            let asked = Asked { method: &method, headers: &headers, upgrade };
            let entered = remote.ok_or(Refused(StatusCode::BAD_REQUEST));
            answer(entered.and_then(|remote| live.enter(&asked, remote)))
        })
}

/// The answer to a request that asked for a websocket: it has no body.
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
