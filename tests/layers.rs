//! The architecture as a table, checked by every test run: which room may use which.
//!
//! Dependencies point one way, along the way of an event. A step uses earlier steps and never later ones; steps meet
//! only in the rooms that connect them. Read `LAYERS` from top to bottom to learn the architecture.

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room of `src/` and the rooms it may name. Tests inside of the files keep to the same table; files of
/// tests (`*_tests.rs` and `tests/`) may also name `disk`, which every log that they open is given.
const LAYERS: &[(&str, &[&str])] = &[
    // The words everything is said in: plain values, no I/O.
    ("model", &[]),
    // Where tasks are started, so that shutdown can wait for them.
    ("tasks", &[]),
    // What tenants share, in parts.
    ("shares", &[]),
    // The file system as the log needs it. Tests replace it with a disk that loses power.
    ("disk", &[]),
    // The connections of a listener, bounded in number and time.
    ("listen", &["tasks"]),
    // Counters that the steps count with, and the page that a scrape gets.
    ("metrics", &[]),
    // KAZOO's formats, pure: what an event means, what a hook gets.
    ("kazoo", &["model"]),
    // Bytes and tags on disk, durable and in order. Knows no events.
    ("log", &["model", "disk", "tasks", "metrics"]),
    // Accounts, hooks, keys and settings: a journal, which is a log, and the index over it.
    ("state", &["model", "kazoo", "log", "disk", "tasks"]),
    // What every client of the broker shares: address, waits, status, exchanges.
    ("amqp", &[]),
    // Events come in: broker or HTTP, into the log, acknowledged after the sync.
    ("ingest", &["model", "kazoo", "log", "state", "amqp", "tasks", "metrics"]),
    // Who gets which event, in which order, and when again. Follows the log; knows nothing of how events came.
    ("queues", &["model", "kazoo", "log", "state", "tasks", "metrics"]),
    // What has become of events and deliveries, read back from the logs for the API. Writes nothing.
    ("history", &["model", "kazoo", "log", "state", "queues"]),
    // One attempt: encode, sign, guard, send. Knows no queues: jobs come in, results go out.
    ("delivery", &["model", "kazoo", "log", "state", "tasks", "shares"]),
    // Authentication: the API and the websockets let nobody in without it.
    ("auth", &["model", "state", "tasks"]),
    // A KAZOO's accounts and hooks are read, compared and taken over.
    ("onboarding", &["model", "kazoo", "log", "state", "auth", "tasks"]),
    // Websocket sessions over the same log.
    ("live", &["model", "kazoo", "log", "state", "auth", "listen", "tasks", "shares"]),
    // Channel commands, published to the broker for a client.
    ("commands", &["model", "kazoo", "log", "state", "amqp", "ingest", "tasks", "shares"]),
    // The management API. It uses the steps through their handles and makes no attempts.
    (
        "http",
        &[
            "model",
            "kazoo",
            "log",
            "state",
            "amqp",
            "ingest",
            "queues",
            "auth",
            "listen",
            "live",
            "commands",
            "tasks",
            "metrics",
            "shares",
            "onboarding",
        ],
    ),
    // Pages for people. Asks the API alone, with the token of who looks.
    ("console", &["model", "kazoo", "auth", "http"]),
];

/// The rooms that connect the others: they may use all rooms, and no room may use them.
const WIRING: &[&str] = &[
    "main",
    "lib",
    "app",
    "cli",
    "config",
    "telemetry",
    "demo",
    "offline",
    "backup",
    "fuzz",
    "import",
    "remote",
    "manage",
    "shadow",
];

/// Crates that only some rooms may name: behind these doors they can be exchanged.
const GUARDED: &[(&str, &[&str])] = &[
    ("sled", &["state/index"]),
    ("hyper_rustls", &["delivery/connect"]),
    ("reqwest", &["auth/crossbar", "telemetry/otlp", "onboarding/source"]),
    ("lapin", &["amqp", "ingest", "commands"]),
    ("prometheus_client", &["metrics/page"]),
    ("maud", &["console"]),
];

/// A file longer than this is two files.
const MOST_LINES: usize = 400;

/// A source file: its path under `src/`, without `.rs`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The room: the first folder, or the file's own name.
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap()
    }
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&src).unwrap().with_extension("");
                found.push(Source { path: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    found
}

/// Every room that a text names as `crate::room`, in imports, paths and doc links alike.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let follows = text[at + "crate::".len()..].trim_start();
        if let Some(list) = follows.strip_prefix('{') {
            named.extend(first_words(list));
        } else {
            named.insert(first_word(follows));
        }
    }
    named.remove("");
    named
}

/// The first words of a `{a::b, c::{d, e}, f}` list at its own depth.
fn first_words(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut words) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            ',' if depth == 0 => {
                words.push(first_word(&list[start..at]));
                start = at + 1;
            }
            '{' => depth += 1,
            '}' if depth == 0 => {
                words.push(first_word(&list[start..at]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    words
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether a text names a crate: `name::` not preceded by a letter.
fn names_crate(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.match_indices(&path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    }) || text.contains(&format!("use {name};"))
}

#[test]
fn arrows_between_rooms_point_one_way() {
    let table: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room();
        if WIRING.contains(&room) {
            continue;
        }
        let Some(allowed) = table.get(room) else {
            wrong.push(format!("src/{}.rs: the room '{room}' is not in the table of layers", source.path));
            continue;
        };
        for named in rooms_named(&source.text) {
            let is_room = table.contains_key(named.as_str()) || WIRING.contains(&named.as_str());
            let is_test = source.path.ends_with("_tests") || source.path.contains("/tests/");
            let for_tests = is_test && named == "disk";
            if is_room && named != room && !for_tests && !allowed.contains(&named.as_str()) {
                wrong.push(format!("src/{}.rs: {room} must not know {named}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_room_knows_only_rooms_above_it_in_the_table() {
    for (at, (room, allowed)) in LAYERS.iter().enumerate() {
        for known in *allowed {
            let above = LAYERS[..at].iter().any(|(name, _)| name == known);
            assert!(above, "{room} may know {known}, which stands below it");
        }
    }
}

#[test]
fn guarded_crates_are_named_behind_their_doors_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, doors) in GUARDED {
            let behind =
                doors.iter().any(|door| source.path == *door || source.path.starts_with(&format!("{door}/")));
            if !behind && names_crate(&source.text, name) {
                wrong.push(format!("src/{}.rs names {name}; only {} may", source.path, doors.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_short_and_opens_by_saying_what_it_is() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("src/{}.rs has {lines} lines, more than {MOST_LINES}", source.path));
        }
        if !source.text.starts_with("//! ") {
            wrong.push(format!("src/{}.rs does not open with `//!`", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_every_form_of_import() {
    let text = "use crate::log::Reader;\nuse crate::{\n  model::{Event, Id},\n  kazoo,\n};\n\
                fn f() { crate::disk::go() } // [`crate::state::State`]\npub(crate) use super::x;";
    let named: Vec<String> = rooms_named(text).into_iter().collect();
    assert_eq!(named, ["disk", "kazoo", "log", "model", "state"]);
    assert!(names_crate("use sled::Db;", "sled") && names_crate("let x = sled::open();", "sled"));
    assert!(!names_crate("use crate::sled::Db; assembled::x(); Hassled", "sled"));
}
