//! An HTTP receiver on 127.0.0.1 that records every request. Its mood, which decides the responses, can change at
//! runtime.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use switchhook::tasks::{Stop, Tasks};

use super::receiver_http::{self, Ending};

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// 1 for the first request of the receiver.
    pub number: usize,
    /// 1 for the first request at this path.
    pub number_at_path: usize,
    pub method: String,
    pub path: String,
    /// The query without the `?`; empty if there is none.
    pub query: String,
    /// The headers in their order; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When the last byte had arrived.
    pub at: Instant,
}

impl Request {
    /// The first header with this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How a request is answered.
#[derive(Clone)]
pub enum Mood {
    /// With 200 and an empty body.
    Ok,
    /// With this response.
    Answer(Answer),
    /// Not at all; the connection stays open until the mood changes.
    Hang,
    /// Like the other mood, after a delay.
    After(Duration, Box<Mood>),
    /// With a TCP reset instead of a response.
    Reset,
    /// By closing the connection without a response.
    Close,
    /// With half of a response; then the connection closes.
    Partial,
    /// With 200 and a body that never ends.
    Endless,
    /// As the function decides for each request.
    By(Arc<dyn Fn(&Request) -> Mood + Send + Sync>),
}

impl Mood {
    /// An empty response with this status.
    pub fn status(status: u16) -> Self {
        Self::answer(status, &[], "")
    }

    /// A response with this status, these headers and this body.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self::Answer(Answer { status, headers, body: body.as_bytes().to_vec() })
    }

    /// Decides for each request. With `number` and `number_at_path` a test makes an unreliable receiver.
    pub fn by(decide: impl Fn(&Request) -> Mood + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(decide))
    }
}

struct Inner {
    requests: Mutex<Vec<Request>>,
    count: watch::Sender<usize>,
    mood: Mutex<Mood>,
    mood_at: Mutex<HashMap<String, Mood>>,
    in_flight: watch::Sender<(usize, usize)>,
    /// Do not record requests, for tests with very many of them.
    forgets: AtomicBool,
}

/// A running receiver. It closes its port and all connections when dropped.
pub struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
    listening: Stop,
}

impl Receiver {
    /// Listens on a free port, in the mood `Ok`.
    pub async fn start() -> Self {
        Self::start_at(0).await
    }

    /// Listens on this port of 127.0.0.1; 0: a free one.
    pub async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let inner = Arc::new(Inner {
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            mood: Mutex::new(Mood::Ok),
            mood_at: Mutex::default(),
            in_flight: watch::Sender::new((0, 0)),
            forgets: AtomicBool::new(false),
        });
        let address = listener.local_addr().unwrap();
        let listening = listen(listener, Arc::clone(&inner));
        Self { address, inner, listening }
    }

    /// `http://127.0.0.1:PORT` and the path (which starts with `/`).
    pub fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address of the receiver.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests are not recorded from now on.
    pub fn remember_nothing(&self) {
        self.inner.forgets.store(true, Ordering::Relaxed);
    }

    /// Sets the mood for every path without its own mood.
    pub fn mood(&self, mood: Mood) {
        *self.inner.mood.lock().unwrap() = mood;
    }

    /// Sets the mood for this path.
    pub fn mood_at(&self, path: &str, mood: Mood) {
        self.inner.mood_at.lock().unwrap().insert(path.to_owned(), mood);
    }

    /// Closes the port and every connection, so that new connections are refused.
    pub async fn refuse(&mut self) {
        self.listening.cancel();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Listens again on the same port after `refuse`.
    pub fn accept_again(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.listening = listen(socket.listen(1024).unwrap(), Arc::clone(&self.inner));
    }

    /// Every request so far, in the order of their last bytes.
    pub fn requests(&self) -> Vec<Request> {
        self.inner.requests.lock().unwrap().clone()
    }

    /// The requests at one path so far.
    pub fn requests_at(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|r| r.path == path).collect()
    }

    /// The number of requests so far. Cheap.
    pub fn count(&self) -> usize {
        *self.inner.count.borrow()
    }

    /// Forgets the recorded requests; `number` counts from 1 again.
    pub fn forget(&self) {
        self.inner.requests.lock().unwrap().clear();
        self.inner.count.send_replace(0);
    }

    /// The largest number of requests that were unanswered at the same time.
    pub fn most_in_flight(&self) -> usize {
        self.inner.in_flight.borrow().1
    }

    /// Waits for at least `n` requests; returns all requests.
    pub async fn wait_for(&self, n: usize, within: Duration) -> Vec<Request> {
        let mut count = self.inner.count.subscribe();
        let waited = timeout(within, count.wait_for(|have| *have >= n)).await.is_ok();
        assert!(waited, "{} of {n} requests came within {within:?}", self.count());
        self.requests()
    }

    /// Waits until `enough` is true for the requests so far; returns them. Checks after every new request.
    pub async fn wait_until(&self, within: Duration, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut count = self.inner.count.subscribe();
        let found = timeout(within, count.wait_for(|_| enough(&self.inner.requests.lock().unwrap()))).await;
        assert!(found.is_ok(), "not enough within {within:?}: {:#?}", self.requests());
        self.requests()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.cancel();
    }
}

/// A URI with a port that refuses connections.
pub fn closed_uri() -> String {
    format!("http://127.0.0.1:{}/closed", super::port::free_port())
}

/// Serves until the token is cancelled; then the listener and all connections are dropped together.
fn listen(listener: TcpListener, inner: Arc<Inner>) -> Stop {
    let stop = Stop::new();
    let stopped = stop.clone();
    let serving = async move {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&inner)));
            }
        }
    };
    Tasks::new()
        .spawn("receiver", async move { stopped.run_until_cancelled_owned(serving).await.unwrap_or(()) });
    stop
}

async fn serve(mut stream: TcpStream, inner: Arc<Inner>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::new();
    while let Some(mut request) = receiver_http::read_request(&mut stream, &mut buffer).await {
        inner.remember(&mut request);
        let in_flight = InFlight::begin(&inner);
        let mood = inner.mood_for(&request);
        let ending = receiver_http::answer(&mut stream, mood, &request).await;
        drop(in_flight);
        if ending == Ending::Done {
            return;
        }
    }
}

impl Inner {
    fn remember(&self, request: &mut Request) {
        if self.forgets.load(Ordering::Relaxed) {
            return;
        }
        let mut requests = self.requests.lock().unwrap();
        request.number = requests.len() + 1;
        request.number_at_path = 1 + requests.iter().filter(|r| r.path == request.path).count();
        requests.push(request.clone());
        self.count.send_replace(requests.len());
    }

    fn mood_for(&self, request: &Request) -> Mood {
        let special = self.mood_at.lock().unwrap().get(&request.path).cloned();
        special.unwrap_or_else(|| self.mood.lock().unwrap().clone())
    }
}

struct InFlight<'a>(&'a Inner);

impl<'a> InFlight<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.in_flight.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        Self(inner)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|(now, _)| *now -= 1);
    }
}
