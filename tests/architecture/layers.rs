//! The architecture as a table: which room of `src/` may use which others. Every test run checks it.
//!
//! Dependencies point in one direction, from the later steps of an event's way to the earlier ones. Only the rooms of
//! `WIRING` connect the steps. Read `LAYERS` from top to bottom to learn the architecture.

use std::collections::BTreeSet;

use crate::imports::{Source, Tests, sources};

/// Each room of `src/` and the rooms that it may use. The table holds for tests inside the files too. Files of tests
/// (`*_tests.rs` and `tests/`) may also use `disk`, because opening a log needs one.
const LAYERS: &[(&str, &[&str])] = &[
    // The words of the glossary as plain values. No I/O.
    ("model", &[]),
    // Starts every task, so that shutdown can wait for all of them.
    ("tasks", &[]),
    // Divides shared resources among tenants.
    ("shares", &[]),
    // The part of the file system that the log needs. Tests replace it with a disk that loses power.
    ("disk", &[]),
    // The connections of a listener, bounded in number and time.
    ("listen", &["tasks"]),
    // The counters of the steps, and the page of `/metrics`.
    ("metrics", &[]),
    // KAZOO's formats, pure: what an event means, and what is sent to a hook.
    ("kazoo", &["model"]),
    // Bytes and tags on disk, durable and in order. Knows nothing about events.
    ("log", &["model", "disk", "tasks", "metrics"]),
    // Accounts, hooks, keys and settings: a journal, which is a log, and the index over it.
    ("state", &["model", "kazoo", "log", "disk", "tasks"]),
    // What every client of the broker shares: address, waits, status, exchanges.
    ("amqp", &[]),
    // Events from the broker or HTTP into the log; acknowledged after the sync.
    ("ingest", &["model", "kazoo", "log", "state", "amqp", "tasks", "metrics"]),
    // Which hook gets which event, in which order, and when again. Reads the log; does not know where events come from.
    ("queues", &["model", "kazoo", "log", "state", "tasks", "metrics"]),
    // The results of events and deliveries, read from the logs for the API. Writes nothing.
    ("history", &["model", "kazoo", "log", "state", "queues"]),
    // One attempt: encode, sign, guard, send. Knows no queues: jobs come in, results go out.
    ("delivery", &["model", "kazoo", "log", "state", "tasks", "shares"]),
    // Authentication and rights, for the API and the websockets.
    ("auth", &["model", "state", "tasks"]),
    // Reads and compares the accounts and hooks of a KAZOO, and imports them.
    ("onboarding", &["model", "kazoo", "log", "state", "auth", "tasks"]),
    // Websocket sessions over the log.
    ("live", &["model", "kazoo", "log", "state", "auth", "listen", "tasks", "shares"]),
    // Questions and commands to switches, published to the broker for a client.
    ("commands", &["model", "kazoo", "log", "state", "amqp", "ingest", "tasks", "shares"]),
    // The API. It uses the steps through their handles, and makes no attempts.
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
    // Pages for people. Uses only the API, with the token of the visitor.
    ("console", &["model", "kazoo", "auth", "http"]),
];

/// The rooms that connect the others. They may use all rooms; no other room may use them.
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

/// Crates that only these files may name, so that the crate can be replaced there.
const GUARDED: &[(&str, &[&str])] = &[
    ("sled", &["state/index"]),
    ("hyper_rustls", &["delivery/connect"]),
    ("reqwest", &["auth/crossbar", "telemetry/otlp", "onboarding/source"]),
    ("lapin", &["amqp", "ingest", "commands"]),
    ("prometheus_client", &["metrics/page"]),
    ("maud", &["console"]),
];

/// The longest allowed file. A longer one has more than one idea.
const MOST_LINES: usize = 400;

/// The faults of one file: rooms that its room must not use, and crates that only other files may name.
fn faults(source: &Source) -> Vec<String> {
    let names = source.names(Tests::Read);
    let mut wrong = Vec::new();
    let paths = || names.used.iter().chain(&names.exported);
    for (name, doors) in GUARDED {
        let is_door =
            doors.iter().any(|door| source.path == *door || source.path.starts_with(&format!("{door}/")));
        if !is_door && paths().any(|path| path.first().is_some_and(|first| first == name)) {
            wrong.push(format!("src/{}.rs names {name}; only {} may", source.path, doors.join(", ")));
        }
    }
    let room = source.room();
    if WIRING.contains(&room) {
        return wrong;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == room) else {
        wrong.push(format!("src/{}.rs: the room '{room}' is not in the table of layers", source.path));
        return wrong;
    };
    let rooms = LAYERS.iter().map(|(name, _)| *name).chain(WIRING.iter().copied());
    let rooms: BTreeSet<&str> = rooms.filter(|name| *name != room).collect();
    let from_root =
        paths().chain(&names.linked).filter(|path| path.first().is_some_and(|first| first == "crate"));
    let named: BTreeSet<&str> = from_root.filter_map(|path| path.get(1)).map(String::as_str).collect();
    let is_test = source.path.ends_with("_tests") || source.path.contains("/tests/");
    for other in named.intersection(&rooms) {
        let may_use = allowed.contains(other) || is_test && *other == "disk";
        if !may_use {
            wrong.push(format!("src/{}.rs: {room} must not use {other}", source.path));
        }
    }
    wrong
}

#[test]
fn rooms_and_guarded_crates_are_used_only_where_the_tables_allow_it() {
    let wrong: Vec<String> = sources("").iter().flat_map(faults).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_forbidden_room_and_a_guarded_crate_are_reported() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let wrong = |path, text| faults(&source(path, text));
    assert_eq!(
        wrong("log/reader", "use crate::queues::Queues;"),
        ["src/log/reader.rs: log must not use queues"]
    );
    assert_eq!(
        wrong("log/reader", "fn f() { g!(super::super::state::x()) }"),
        ["src/log/reader.rs: log must not use state"]
    );
    assert_eq!(wrong("new/file", ""), ["src/new/file.rs: the room 'new' is not in the table of layers"]);
    assert_eq!(wrong("app/build", "use sled::Db;"), ["src/app/build.rs names sled; only state/index may"]);
    assert!(wrong("state/index", "use sled::Db;").is_empty());
    assert!(
        wrong("log/reader", "use crate::sled::Db; use super::queues; use crate::{model, disk::Disk};")
            .is_empty()
    );
    assert!(wrong("kazoo/uri_tests", "use crate::disk::Disk;").is_empty());
}

#[test]
fn a_room_may_use_only_rooms_above_it_in_the_table() {
    for (at, (room, allowed)) in LAYERS.iter().enumerate() {
        for known in *allowed {
            let above = LAYERS[..at].iter().any(|(name, _)| name == known);
            assert!(above, "{room} may use {known}, which is below it in the table");
        }
    }
}

#[test]
fn every_file_is_short_and_begins_with_its_purpose() {
    let mut wrong = Vec::new();
    for source in sources("") {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("src/{}.rs has {lines} lines, more than {MOST_LINES}", source.path));
        }
        if !source.text.starts_with("//! ") {
            wrong.push(format!("src/{}.rs does not begin with `//!`", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
