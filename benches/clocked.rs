//! A receiver on its own thread of this process, which records how late each event arrives: the number of an event is
//! the time at which it was due. It answers at once, except below `/never` (no answer) and `/slow` (after nine
//! seconds).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::figures::{Times, now_us, number};
use crate::receiver::{ANSWER, complete};

/// The delay of a slow path: just within the default timeout of an attempt.
const SLOW: Duration = Duration::from_secs(9);

/// A running receiver. It runs until the process ends.
pub(crate) struct Clocked {
    port: u16,
    late: Arc<Mutex<Times>>,
}

impl Clocked {
    pub(crate) fn start() -> Self {
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
                    tokio::spawn(connection(stream, Arc::clone(&noted)));
                }
            });
        });
        Self { port, late }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Waits until `count` events have arrived, and takes their times.
    pub(crate) async fn take(&self, count: u64) -> Times {
        while (self.late.lock().unwrap().len() as u64) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::mem::take(&mut *self.late.lock().unwrap())
    }
}

/// How a request is answered, by its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    AtOnce,
    Slowly,
    Never,
}

fn manner(request: &[u8]) -> Manner {
    if request.starts_with(b"POST /never") {
        Manner::Never
    } else if request.starts_with(b"POST /slow") {
        Manner::Slowly
    } else {
        Manner::AtOnce
    }
}

async fn connection(mut stream: TcpStream, late: Arc<Mutex<Times>>) {
    drop(stream.set_nodelay(true));
    let mut buffer = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        while let Some(length) = complete(&buffer) {
            let (at_us, manner) = (now_us(), manner(&buffer));
            if manner == Manner::AtOnce {
                late.lock().unwrap().add(at_us.saturating_sub(number(&buffer[..length])));
            }
            buffer.drain(..length);
            match manner {
                Manner::AtOnce => {}
                Manner::Slowly => tokio::time::sleep(SLOW).await,
                Manner::Never => continue,
            }
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}
