//! A websocket client that comes back where it was.
//!
//! It keeps the id of the last event that it printed in a file. After a crash or a lost connection, it continues
//! with the next event: none is missing and none comes twice.
//!
//! ```sh
//! TOKEN=... cargo run --example resume -- ws://127.0.0.1:5555/ ACCOUNT_ID 'call.*.*' last-event-id
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a program of the command line; a member that a JSON value lacks reads as null"
)]

use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [address, account, binding, kept] = words.as_slice() else {
        eprintln!("usage: TOKEN=… resume ws://HOST:PORT/ ACCOUNT_ID BINDING FILE");
        return ExitCode::from(64);
    };
    match follow(address, account, binding, kept).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints events until the server closes the connection.
async fn follow(address: &str, account: &str, binding: &str, kept: &str) -> Result<()> {
    let token = env::var("TOKEN").context("TOKEN is not set")?;
    let host = address.trim_start_matches("ws://").trim_end_matches('/');
    let stream =
        tokio::net::TcpStream::connect(host).await.with_context(|| format!("no connection to {host}"))?;
    let (mut socket, _) = client_async(address, stream).await?;

    let mut data = json!({"account_id": account, "binding": binding});
    if let Ok(last) = fs::read_to_string(kept) {
        data["after"] = last.trim().into();
    }
    let subscribe = json!({"action": "subscribe", "auth_token": token, "request_id": "1", "data": data});
    socket.send(Message::text(subscribe.to_string())).await?;

    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        match frame["action"].as_str() {
            Some("reply") if frame["status"] == "error" => bail!("refused: {}", frame["data"]["errors"]),
            // Before a first event there is the place where the subscription began.
            Some("reply") => keep(kept, frame["data"]["event_id"].as_str())?,
            Some("event") => {
                println!("{} {}", frame["name"], frame["data"]);
                keep(kept, frame["event_id"].as_str())?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Remembers the last event. Written beside and renamed, so that a crash leaves the old id or the new one.
fn keep(kept: &str, id: Option<&str>) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    let beside = format!("{kept}.new");
    fs::write(&beside, id)?;
    fs::rename(&beside, kept)?;
    Ok(())
}
