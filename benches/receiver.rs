//! A receiver in a separate process, which only reads requests and answers 200. It can hold its
//! responses until the bench releases them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The line on standard input after which responses are held.
pub(crate) const HOLD: &[u8] = b"hold\n";
/// The line on standard input after which held and later responses are sent at once.
pub(crate) const GO_ON: &[u8] = b"go on\n";

/// A receiver in a separate process, which runs this program with other arguments; killed when dropped.
pub(crate) struct Apart {
    child: Child,
    pub(crate) port: u16,
}

impl Apart {
    /// Starts the receiver and waits for its port.
    pub(crate) fn start(words: &[&OsStr]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    /// Makes the receiver hold or send its responses.
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

/// Prints the port, then serves until standard input ends.
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

/// Answers every request on a connection. The end of a request is given by its Content-Length.
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

/// The length of the first request, if all of it has arrived.
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
