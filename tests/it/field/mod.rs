//! Inputs from the field: real events, receivers, clients and machines, tested with the built program.
//!
//! Each test has the smallest input of a public report, or of a client that was run unmodified.

mod attempts;
mod broker;
mod browser;
mod clients;
mod clocks;
mod disks;
mod health;
mod idempotency;
mod manners;
mod notifications;
mod pipes;
mod reading;
mod receivers;
mod reports;
mod rows;
mod trials;
mod uris;
mod verdicts;
