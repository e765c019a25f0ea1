//! The clients: a separate process that connects, subscribes, counts frames and reports how late they were. Frames
//! are not decoded, so that the clients cost as little as possible.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use super::Size;
use crate::figures::{Times, now_us, number};

/// The process of the clients, as the measuring process sees it.
pub(super) struct Clients {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
    frames: u64,
}

impl Clients {
    /// Starts the sessions. Each counts its first events, then times the later ones.
    pub(super) fn start(address: SocketAddr, token: &str, account: &str, size: &Size) -> Self {
        let sizes = [size.sessions as u64, size.quick, size.timed.count].map(|n| n.to_string());
        let address = address.to_string();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["websocket-clients", &address, token, account])
            .args(sizes)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Some(BufReader::new(child.stdout.take().unwrap()));
        Self { child, lines, frames: size.sessions as u64 * size.quick }
    }

    /// Waits for the next line of numbers, without blocking the runtime.
    async fn next(&mut self) -> Vec<u64> {
        let mut lines = self.lines.take().unwrap();
        let (lines, line) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            (lines, line)
        })
        .await
        .unwrap();
        self.lines = Some(lines);
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    /// Waits until all sessions have subscribed.
    pub(super) async fn ready(&mut self) {
        assert_eq!(self.next().await, [0]);
    }

    /// Waits until all sessions have counted their events; returns the frames per second since the start.
    pub(super) async fn frames_per_s(&mut self, began_us: u64) -> f64 {
        let ended_us = self.next().await[0];
        self.frames as f64 * 1e6 / (ended_us - began_us) as f64
    }

    /// Waits until all sessions have timed their events; returns the median and the 99th percentile in milliseconds.
    pub(super) async fn latencies(&mut self) -> (f64, f64) {
        let us = self.next().await;
        (us[0] as f64 / 1e3, us[1] as f64 / 1e3)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the process. Arguments: address, token, account, sessions, events to count, events to time.
pub(crate) fn serve(args: &[String]) {
    let [address, token, account, sizes @ ..] = args else { panic!("{args:?}") };
    let sizes: Vec<u64> = sizes.iter().map(|size| size.parse().unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    switchhook::app::raise_open_files();
    runtime.block_on(async {
        let mut readers = Vec::new();
        for _ in 0..sizes[0] {
            readers.push(Reader::subscribed(address, token, account).await);
        }
        tell(&[0]);
        let (readers, _) = all(readers, sizes[1], false).await;
        tell(&[now_us()]);
        let (_, mut late) = all(readers, sizes[2], true).await;
        tell(&[0.5, 0.99].map(|part| (late.ms(part) * 1e3) as u64));
    });
}

fn tell(numbers: &[u64]) {
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    println!("{}", texts.join(" "));
    std::io::stdout().flush().unwrap();
}

async fn all(readers: Vec<Reader>, events: u64, are_timed: bool) -> (Vec<Reader>, Times) {
    let mut reading = JoinSet::new();
    for mut reader in readers {
        reading.spawn(async move {
            let late = reader.read(events, are_timed).await;
            (reader, late)
        });
    }
    let (mut readers, mut late) = (Vec::new(), Times::default());
    while let Some(read) = reading.join_next().await {
        let (reader, times) = read.unwrap();
        readers.push(reader);
        late.extend(times);
    }
    (readers, late)
}

/// One session.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    async fn subscribed(address: &str, token: &str, account: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await.unwrap();
        let subscribe = json!({
            "action": "subscribe", "auth_token": token,
            "data": {"account_id": account, "binding": "call.CHANNEL_CREATE.*"},
        });
        socket.send(Message::text(subscribe.to_string())).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        assert!(reply.to_text().unwrap().contains("success"), "{reply}");
        Self { stream: socket.into_inner(), buffer: Vec::with_capacity(64 << 10) }
    }

    /// Reads `events` frames; returns how late each was if `are_timed`.
    async fn read(&mut self, events: u64, are_timed: bool) -> Times {
        let (mut late, mut left) = (Times::default(), events);
        loop {
            let mut read = 0;
            while left > 0
                && let Some((head, length)) = frame(&self.buffer[read..])
            {
                let payload = &self.buffer[read + head..read + length];
                if are_timed {
                    late.add(now_us().saturating_sub(number(payload)));
                }
                // A ping is not an event.
                left -= u64::from(self.buffer[read] & 0x0f == 1);
                read += length;
            }
            self.buffer.drain(..read);
            if left == 0 {
                return late;
            }
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the session has ended");
        }
    }
}

/// Start and end of the payload of the first frame, if the frame is complete (RFC 6455, 5.2; servers do not mask).
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, length) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(*length)),
    };
    (bytes.len() >= head + length).then_some((head, head + length))
}
