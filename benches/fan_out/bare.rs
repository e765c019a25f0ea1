//! The bare loop: the same number of websockets of the same library, which send a frame that is already encoded.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::clients::Clients;
use super::{Measured, Size};
use crate::figures::{now_us, paced};

type Socket = WebSocketStream<TcpStream>;

pub(super) async fn round(size: Size) -> Measured {
    let Size { sessions, quick, timed } = size;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Clients::start(address, "none", &"0".repeat(32), &size);
    let mut sockets = Vec::new();
    for _ in 0..sessions {
        sockets.push(accepted(&listener).await);
    }
    clients.ready().await;
    let (began, before) = (now_us(), crate::drain::cpu());
    let mut writing = JoinSet::new();
    for mut socket in sockets {
        writing.spawn(async move {
            let frame = frame(1);
            for _ in 0..quick {
                socket.feed(Message::Text(frame.clone())).await.unwrap();
            }
            socket.flush().await.unwrap();
            socket
        });
    }
    let sockets = writing.join_all().await;
    let frames_per_s = clients.frames_per_s(began).await;
    let cpu_us = (crate::drain::cpu() - before) * 1e6 / (sessions as f64 * quick as f64);

    // One task per session, as in the program. Each frame is encoded once.
    let (tell, _) = broadcast::channel(1024);
    let mut writing = JoinSet::new();
    for mut socket in sockets {
        let mut told = tell.subscribe();
        writing.spawn(async move {
            while let Ok(frame) = told.recv().await {
                socket.send(Message::Text(frame)).await.unwrap();
            }
            socket
        });
    }
    paced(timed, async |due_us| drop(tell.send(frame(due_us)))).await;
    let (p50_ms, p99_ms) = clients.latencies().await;
    Measured { frames_per_s, cpu_us, p50_ms, p99_ms }
}

async fn accepted(listener: &TcpListener) -> Socket {
    let (stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    socket.next().await.unwrap().unwrap();
    socket.send(Message::text("success")).await.unwrap();
    socket
}

/// A frame like the program's.
fn frame(number: u64) -> Utf8Bytes {
    let event: serde_json::Value =
        serde_json::from_slice(&crate::call_event(&"0".repeat(32), 1, number)).unwrap();
    let data: serde_json::Map<_, _> = event
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.to_lowercase().replace('-', "_"), value.clone()))
        .collect();
    let frame = serde_json::json!({
        "action": "event", "subscribed_key": "call.CHANNEL_CREATE.*",
        "subscription_key": format!("call.{}.CHANNEL_CREATE.*", "0".repeat(32)), "name": "CHANNEL_CREATE",
        "routing_key": format!("call.{}.CHANNEL_CREATE.call-1%40192%2E0%2E2%2E10", "0".repeat(32)),
        "event_id": "0".repeat(24), "data": data,
    });
    frame.to_string().into()
}
