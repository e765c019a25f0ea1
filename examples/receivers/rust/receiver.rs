//! A receiver that verifies each delivery and drops repetitions.
//!
//! ```sh
//! WEBHOOK_SECRET=whsec_... cargo run --example receiver -- 9000
//! ```
//!
//! Prints one line for each delivery that is genuine and new. Needs a hook with a secret and `"format": "json"` (the
//! default is form-data).

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example of the command line stands alone: it has neither the program's clock nor its bounds"
)]

#[expect(unreachable_pub, reason = "the file is for other projects, too")]
mod verify;

use std::collections::HashSet;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use warp::Filter as _;
use warp::http::{HeaderMap, StatusCode};

/// The ids of processed deliveries. A real receiver stores the id in the same transaction as its work.
type Seen = Arc<Mutex<HashSet<String>>>;

fn receive(headers: &HeaderMap, body: &Bytes, seen: &Seen) -> StatusCode {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    if !verify::verify(header, body, 300) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return StatusCode::BAD_REQUEST };
    let delivery = header("webhook-id").unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.insert(delivery.to_owned()) {
        let name = event.get("hook_event").and_then(Value::as_str).unwrap_or_default();
        println!("{delivery} {name}");
    }
    // Last, because after a 200 the delivery does not come again.
    StatusCode::OK
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: receiver PORT")?.parse::<u16>()?;
    let seen = Seen::default();
    let route = warp::header::headers_cloned()
        .and(warp::body::bytes())
        .map(move |headers: HeaderMap, body: Bytes| receive(&headers, &body, &seen));
    warp::serve(route).run((Ipv4Addr::LOCALHOST, port)).await;
    Ok(())
}
