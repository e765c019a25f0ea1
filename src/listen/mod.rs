//! Serves the connections of a listener: HTTP/1.1, with bounds on their number and on the time and memory of each.
//!
//! Invariant: idle or slow clients cannot exclude others. When the limit of connections is reached, the connection
//! that has waited longest for its request is closed to make room.

mod proxies;
mod seats;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::hyper::server::conn::http1::Builder;
use warp::hyper::service::{Service, service_fn};
use warp::hyper::upgrade::Upgraded;
use warp::reply::Response;

use self::seats::{Seat, Seats};
use crate::tasks::Stop;

pub use proxies::Proxies;
pub use seats::Busy;

const BACKLOG: u32 = 1024;
/// Bytes of the send buffer of one client; the operating system's default is many times that.
const SEND_BYTES: u32 = 128 << 10;
/// Size of the buffers for a request's head and for an answer's data before sending. A larger head gets 431.
const BUFFER_BYTES: usize = 64 << 10;
/// Pause after accepting failed for lack of open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Limits of the clients of one listener.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most connections; those that became websockets do not count.
    pub max_connections: usize,
    /// Time limit for a request's head, and for the next request after an answer.
    pub idle_timeout: Duration,
    /// A connection is closed when its client reads nothing of an answer for this time.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 2048,
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// The connection of a request; one of the request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client.
    pub address: SocketAddr,
    seat: Arc<Seat>,
}

impl Peer {
    /// Marks the request as complete. Until the returned guard is dropped, the connection is not closed to make room.
    #[must_use]
    pub fn busy(&self) -> Busy {
        Busy::new(Arc::clone(&self.seat))
    }
}

/// The stream of a connection. A write without progress for `ConnectionLimits::write_timeout` fails.
pub type Stream = Pin<Box<TimeoutStream<TcpStream>>>;

/// Binds a listener with settings for websockets, which its connections inherit: small frames are sent at once, and
/// send buffers stay small for slow clients.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers requests until `stop`, then waits for those under way. Dropping the future drops all connections.
pub async fn serve(
    listener: TcpListener,
    limits: ConnectionLimits,
    answers: BoxedFilter<(Response,)>,
    stop: Stop,
) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout).max_buf_size(BUFFER_BYTES);
    let answers = TowerToHyperService::new(warp::service(answers));
    let (seats, mut connections, mut has_told) = (Seats::default(), JoinSet::new(), false);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refused(&error, &seats, &mut has_told).await;
                continue;
            }
        };
        has_told = false;
        if connections.len() >= limits.max_connections && !seats.make_room() {
            tracing::debug!(%address, "a connection is refused: all others are being answered");
            continue;
        }
        let (seat, gives_way) = seats.take();
        let (peer, answers) = (Peer { address, seat: Arc::new(seat) }, answers.clone());
        let answering = service_fn(move |mut request: warp::http::Request<_>| {
            request.extensions_mut().insert(peer.clone());
            // CONNECT has a host instead of a path, and routes are paths.
            let answer = request.uri().path_and_query().is_some().then(|| answers.call(request));
            async move {
                match answer {
                    Some(answer) => answer.await,
                    None => Ok(without_path()),
                }
            }
        });
        let serving = http.serve_connection(io(stream, limits.write_timeout), answering).with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut serving = pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => ended,
                // The connection waits for a request, so no answer is lost.
                () = gives_way.cancelled() => return,
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%address, %error, "a connection ended");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The answer to a request without a path.
fn without_path() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Handles a failure to accept a connection, caused by the client or by a lack of open files.
///
/// The failure is logged once until a connection is accepted again.
async fn refused(error: &io::Error, seats: &Seats, has_told: &mut bool) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if !std::mem::replace(has_told, true) {
        tracing::error!(%error, "connections cannot be accepted");
    }
    // When the open files have run out, this gives one back.
    seats.make_room();
    tokio::time::sleep(PAUSE).await;
}

fn io(stream: TcpStream, write_timeout: Duration) -> TokioIo<Stream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write_timeout));
    TokioIo::new(Box::pin(stream))
}

/// The stream of an upgraded connection, and the bytes of the new protocol that were already read. Writes have no
/// timeout any more. `None` when the connection is not from `serve`.
#[must_use]
pub fn released(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    let mut stream = parts.io.into_inner();
    // A client of a session may read slowly for long. The session decides when its connection is dead
    // (`Session::tick`).
    stream.as_mut().set_write_timeout_pinned(None);
    Some((stream, parts.read_buf))
}
