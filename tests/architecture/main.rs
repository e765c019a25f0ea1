//! The rules of `ARCHITECTURE.md` that a reader of the source can check: which room uses which, that no files of a room
//! use each other in a circle, and how long a file is.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers fail the test that called them; clippy exempts only #[test] functions themselves"
)]

mod circles;
mod imports;
mod layers;
