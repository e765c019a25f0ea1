//! The API as a client written for KAZOO sees it: one file per resource.

mod accounts;
mod attempts;
mod defects;
mod envelope;
mod errors;
mod lists;
mod log_in;
mod validation;
