//! Compares the documents with the program, in both directions: every link leads somewhere, everything that a document names
//! exists, and everything that a document must name is in it.
//!
//! `SWITCHHOOK_BOOK=write cargo test --test book` writes the generated page (`docs/reference/routes.md`) again.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]

mod commands;
mod configuration;
mod documents;
mod form;
mod health;
mod links;
mod names;
mod routes;
