//! The integration tests: real sockets, real files, a real RabbitMQ. One binary, one file per promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]
#![expect(unreachable_pub, reason = "a test binary exports nothing; `pub` marks what tests may use")]

mod api;
mod attack;
mod audit;
mod backup;
mod broker;
mod broker_ingest;
mod commands;
mod commands_requests;
mod commands_stand_in;
mod console;
mod crash;
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken test disk should stop the test")]
mod cut_disk;
mod dead;
mod delivery;
mod disabling;
mod examples;
mod extensions;
mod fairness;
mod families;
mod field;
mod guard;
mod hook_test;
mod hostile;
mod journal_damage;
mod ledger_damage;
mod log_damage;
mod log_format;
mod log_model;
mod log_power;
mod log_salt;
mod lost_tail;
mod onboarding;
mod open_log;
mod openapi;
mod operator;
mod ordering;
mod outcomes;
mod own_documents;
mod pausing;
mod process;
mod reload;
mod replay;
mod search;
mod shards;
mod support;
mod support_works;
mod tenancy;
mod tls;
mod torture;
mod tracing;
mod websocket;
mod websocket_commands;
mod websocket_families;
mod websocket_listing;
mod websocket_resume;
mod websocket_slow;
