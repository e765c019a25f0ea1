//! From an event's bytes to a request body: facts, payload, form and JSON.

use std::hint::black_box;
use std::time::Instant;

use switchhook::kazoo::{Extras, facts, hook_from_document, payload, wire_request};
use switchhook::model::{Encoding, Hook, Source};

const ROUNDS: u32 = 100_000;

fn hook(format: &str) -> Hook {
    let document = serde_json::json!({
        "_id": "0000000000000000000000000000000a", "pvt_account_id": "0000000000000000000000000000000b",
        "name": "bench", "uri": "http://127.0.0.1/", "hook": "channel_create", "format": format,
    });
    hook_from_document(document.as_object().unwrap()).unwrap()
}

fn timed(name: &str, mut work: impl FnMut()) {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    let each = began.elapsed().as_secs_f64() / f64::from(ROUNDS) * 1e6;
    println!("encode  {name:<24} {each:>7.2} µs");
}

pub(crate) fn run() {
    let body = super::call_event("0000000000000000000000000000000b", 1, 1001);
    let known = facts(&body).unwrap();
    let event = known.event(Source::Http, Encoding::Plain, &body);
    let extras = Extras { cluster_id: "0000000000000000000000000000000c", reseller_id: None };
    println!("encode  a call event of {} bytes", body.len());
    timed("facts", || drop(black_box(facts(black_box(&body)).unwrap())));
    for format in ["form-data", "json"] {
        let hook = hook(format);
        timed(&format!("payload and body, {format}"), || {
            let payload = payload(black_box(&event), &hook, &extras).unwrap().unwrap();
            drop(black_box(wire_request(&hook, &payload)));
        });
    }
}
