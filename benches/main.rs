//! The benchmarks, one command: `cargo bench`, or `cargo bench -- drain` for one of them. A plain harness: each
//! prints a line a figure; `benches/README.md` holds what was measured, on what machine.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::exit,
    reason = "a benchmark ends with a message where a program must not, prints, and reads the clock"
)]

mod append;
mod drain;
mod encode;
mod receiver;
mod route;
mod scrape;

/// A call event of `account`, as KAZOO's switch publishes one: about 1.1 KB.
pub(crate) fn call_event(account: &str, call: u64, number: u64) -> Vec<u8> {
    serde_json::json!({
        "App-Name": "switch", "App-Version": "1.0", "Call-Direction": "inbound",
        "Call-ID": format!("call-{call}@192.0.2.10"), "Callee-ID-Name": "2000", "Callee-ID-Number": "2000",
        "Caller-ID-Name": "Front desk", "Caller-ID-Number": number.to_string(),
        "Channel-Call-State": "DOWN", "Channel-Name": "sofia/internal/desk@pbx.example.net",
        "Channel-State": "INIT", "Custom-Application-Vars": {"case": "A-17"},
        "Custom-Channel-Vars": {
            "Account-ID": account, "Account-Name": "Example", "Account-Realm": "pbx.example.net",
            "Authorizing-ID": "11112222333344445555666677778888", "Authorizing-Type": "device",
            "Call-Interaction-ID": "63900000000-0a1b2c3d", "Owner-ID": "88887777666655554444333322221111",
            "Presence-ID": "2000@pbx.example.net", "Realm": "pbx.example.net", "Username": "desk",
        },
        "Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "From": "desk@pbx.example.net",
        "Msg-ID": format!("{number}"), "Node": "switch@media.example.net", "Request": "2000@pbx.example.net",
        "Switch-Hostname": "media.example.net", "Switch-URI": "sip:198.51.100.7:11000",
        "Timestamp": 63_927_219_201_u64, "To": "2000@pbx.example.net", "User-Agent": "Desk phone 1.0",
    })
    .to_string()
    .into_bytes()
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    // `drain` measures its own process; the receiver is this same program in another.
    if asked.first().is_some_and(|a| a == "receiver") {
        return receiver::serve();
    }
    let benches: [(&str, fn()); 5] = [
        ("append", append::run),
        ("encode", encode::run),
        ("route", route::run),
        ("scrape", scrape::run),
        ("drain", drain::run),
    ];
    for (name, run) in benches {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            run();
        }
    }
}
