//! The demo's receiver: three paths that behave differently, on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::time::{Duration, Instant};
use warp::Filter;
use warp::http::{HeaderMap, StatusCode};

use super::{Lines, say};
use crate::tasks::Stop;

/// How long `/down` answers 503, and then 200, in turn. Long enough to open the console and see the hook fail.
const DOWN_FOR: Duration = Duration::from_secs(60);

/// A bound receiver.
pub(super) struct Receiver {
    listener: TcpListener,
    address: SocketAddr,
}

impl Receiver {
    pub(super) async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn run(self, stop: Stop, lines: Lines) {
        let (began, flaky) = (Instant::now(), AtomicU64::new(0));
        let moods = std::sync::Arc::new(move |name: &str| match name {
            "flaky" => flaky.fetch_add(1, Ordering::Relaxed) % 12 != 1,
            "down" => (began.elapsed().as_secs() / DOWN_FOR.as_secs()) % 2 == 1,
            _ => true,
        });
        let answer = warp::path::param::<String>()
            .and(warp::header::headers_cloned())
            .and(warp::body::content_length_limit(1 << 20))
            .and(warp::body::json::<serde_json::Value>())
            .then(move |name: String, headers: HeaderMap, body: serde_json::Value| {
                let well = moods(&name);
                let text = |field: &str| body.get(field).and_then(|v| v.as_str()).unwrap_or("-").to_owned();
                let attempt =
                    headers.get("x-attempt").and_then(|v| v.to_str().ok()).unwrap_or("?").to_owned();
                let event = text(if body.get("hook_event").is_some() { "hook_event" } else { "event_name" });
                let lines = Lines::clone(&lines);
                let verdict = if well { "200 taken" } else { "503 refused" };
                let line = format!("{verdict}: {event} {} (attempt {attempt})", text("call_id"));
                async move {
                    let _line = lines.lock().await;
                    say(&name, &line);
                    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
                }
            });
        warp::serve(answer)
            .incoming(self.listener)
            .graceful(async move { stop.cancelled().await })
            .run()
            .await;
    }
}
