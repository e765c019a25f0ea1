//! The connections of a listener: HTTP/1.1, so many at once, each bounded in time and in memory.
//!
//! Held: whoever sends nothing, or a little now and then, keeps nobody else out. When there are as many
//! connections as are allowed, the one whose request has been waited for the longest makes room.

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
/// What the operating system may hold for one client; its own limit is many times that.
const SEND_BYTES: u32 = 128 << 10;
/// A request's head, and what is gathered of an answer before it is sent. A larger head is answered with 431.
const BUFFER_BYTES: usize = 64 << 10;
/// When no file can be opened for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What the clients of one listener may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; those that became websockets do not count.
    pub max_connections: usize,
    /// Time for a request's head, and from an answer to the next request.
    pub idle_timeout: Duration,
    /// A client that takes nothing of its answer for so long is gone.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2048,
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// The connection that a request came over; one of the request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client.
    pub address: SocketAddr,
    seat: Arc<Seat>,
}

impl Peer {
    /// Says that all of the request has come. Until what this gives is dropped, the connection makes room for
    /// no other.
    #[must_use]
    pub fn busy(&self) -> Busy {
        Busy::new(Arc::clone(&self.seat))
    }
}

/// The bytes of a connection. A write that makes no progress for `Limits::write_timeout` fails.
pub type Stream = Pin<Box<TimeoutStream<TcpStream>>>;

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

/// Answers every request until `stop`, then waits for those under way. Dropped, it drops every connection.
pub async fn serve(listener: TcpListener, limits: Limits, answers: BoxedFilter<(Response,)>, stop: Stop) {
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
            // CONNECT has a host where others have a path, and every answer is for a path.
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
                () = gives_way.cancelled() => return,
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%address, %error, "a connection ended: {error}");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The answer to a request that names no path.
fn without_path() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// No connection came of it: the client's doing, or the process has no file left for it.
///
/// It is told once, until a connection is accepted again.
async fn refused(error: &io::Error, seats: &Seats, has_told: &mut bool) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if !std::mem::replace(has_told, true) {
        tracing::error!(%error, "connections cannot be accepted: {error}");
    }
    seats.make_room();
    tokio::time::sleep(PAUSE).await;
}

fn io(stream: TcpStream, write_timeout: Duration) -> TokioIo<Stream> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write_timeout));
    TokioIo::new(Box::pin(stream))
}

/// The stream of a connection that speaks another protocol from now on, and what was read of that already. Its
/// writes are bounded no more. None when `serve` did not make it.
#[must_use]
pub fn released(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    let mut stream = parts.io.into_inner();
    stream.as_mut().set_write_timeout_pinned(None);
    Some((stream, parts.read_buf))
}
