//! A receiver in this process, on a thread of its own, that notes how late each event came: an event's number is the
//! time at which it was due. It answers at once, or never.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::figures::{Times, now_us, number};
use crate::receiver::{ANSWER, complete};

/// A running receiver; it lives as long as the process.
pub(crate) struct Clocked {
    port: u16,
    late: Arc<Mutex<Times>>,
}

impl Clocked {
    /// One that answers.
    pub(crate) fn start() -> Self {
        Self::with(true)
    }

    /// One that takes requests and never answers.
    pub(crate) fn hanging() -> Self {
        Self::with(false)
    }

    fn with(answers: bool) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (port, late) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Times::default())));
        let noted = Arc::clone(&late);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(connection(stream, answers, Arc::clone(&noted)));
                }
            });
        });
        Self { port, late }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until so many have come, and takes their times.
    pub(crate) async fn take(&self, count: u64) -> Times {
        while (self.late.lock().unwrap().len() as u64) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut *self.late.lock().unwrap())
    }
}

async fn connection(mut stream: TcpStream, answers: bool, late: Arc<Mutex<Times>>) {
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        while let Some(length) = complete(&buffer) {
            let at_us = now_us();
            late.lock().unwrap().add(at_us.saturating_sub(number(&buffer[..length])));
            buffer.drain(..length);
            if answers && stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}
