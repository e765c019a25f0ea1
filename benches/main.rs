//! All benchmarks in one program: `cargo bench`, or `cargo bench -- drain` for one of them. The harness is plain: each
//! bench prints one line per figure. `benches/README.md` has the results, with the machine.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::exit,
    reason = "a benchmark ends with a message where a program must not, prints, and reads the clock"
)]

mod api;
mod append;
mod bytes_on_disk;
mod clocked;
mod drain;
mod encode;
mod fan_out;
mod figures;
mod https;
mod ingest;
mod isolation;
mod latency;
mod process;
mod program;
mod receiver;
mod replay;
mod route;
mod scrape;
mod steady;
mod waiting;

/// Starts a broker, as the tests do.
#[path = "../tests/it/support"]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "shared with the tests, which use more of it"
)]
mod support {
    pub(crate) mod broker;
    mod port;
    pub(crate) mod publisher;
    mod wait;
}

/// The program's allocator. The bare loops use it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A call event of `account` as KAZOO's switch publishes it: about 1.1 KB.
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

/// The number of events of a large bench: `--events=N` of the command line.
pub(crate) fn asked_events(usual: u64) -> u64 {
    asked_number("events").unwrap_or(usual)
}

/// The number of `--name=N` in the command line.
pub(crate) fn asked_number(name: &str) -> Option<u64> {
    std::env::args()
        .find_map(|arg| arg.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    // This process is measured. Receivers and clients are the same program in another process.
    match asked.first().map(String::as_str) {
        Some("receiver") => return receiver::serve(),
        Some("https-receiver") => return https::serve(&asked[1..]),
        Some("websocket-clients") => return fan_out::clients::serve(&asked[1..]),
        _ => {}
    }
    let benches: [(&str, fn()); 14] = [
        ("append", append::run),
        ("encode", encode::run),
        ("route", route::run),
        ("scrape", scrape::run),
        ("drain", drain::run),
        ("https", https::run),
        ("fan-out", fan_out::run),
        ("ingest", ingest::run),
        ("latency", latency::run),
        ("steady", steady::run),
        ("isolation", isolation::run),
        ("bytes", bytes_on_disk::run),
        ("replay", replay::run),
        ("waiting", waiting::run),
    ];
    for (name, run) in benches {
        if asked.is_empty() || asked.iter().any(|a| a == name) {
            run();
        }
    }
}
