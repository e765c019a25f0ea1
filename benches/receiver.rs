//! A receiver that does nothing but read requests and answer 200, in a process of its own. It can be told to hold its
//! answers for a while.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A line on standard input: no answers until further notice.
pub(crate) const HOLD: &[u8] = b"hold\n";
/// A line on standard input: all answers that were held, and further ones at once.
pub(crate) const GO_ON: &[u8] = b"go on\n";

/// A receiver in a process of its own, which is this program with other words; killed when dropped.
pub(crate) struct Apart {
    child: Child,
    pub(crate) port: u16,
}

impl Apart {
    /// Starts it and waits for its port.
    pub(crate) fn start(words: &[&OsStr]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    /// Tells it when to answer.
    pub(crate) fn tell(&mut self, what: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(what).unwrap();
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until standard input ends; prints its port first.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        std::io::stdout().flush().unwrap();
        let (hold, held) = watch::channel(false);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
                hold.send_replace(HOLD.starts_with(&line));
            }
            std::process::exit(0);
        });
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(stream, held.clone()));
        }
    });
}

/// Answers every request on a connection; a request ends where its Content-Length says.
async fn connection(mut stream: TcpStream, mut held: watch::Receiver<bool>) {
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        while let Some(length) = complete(&buffer) {
            buffer.drain(..length);
            if held.wait_for(|held| !held).await.is_err() || stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
}

/// The length of the first request, once all of it is there.
pub(crate) fn complete(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + length.unwrap_or(0);
    (buffer.len() >= whole).then_some(whole)
}
