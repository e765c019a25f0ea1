//! Switchhook: a durable, ordered webhook delivery engine for KAZOO events.

// The test disk that unit tests share with the integration tests names the crate as these do.
#[cfg(test)]
extern crate self as switchhook;

pub mod amqp;
pub mod app;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod delivery;
pub mod demo;
pub mod disk;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod history;
pub mod http;
pub mod import;
pub mod ingest;
pub mod kazoo;
pub mod listen;
pub mod live;
pub mod log;
pub mod manage;
pub mod metrics;
pub mod model;
pub mod offline;
pub mod onboarding;
pub mod queues;
pub mod remote;
pub mod shadow;
pub mod shares;
pub mod state;
pub mod tasks;
pub mod telemetry;
