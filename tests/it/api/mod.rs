//! The management API from outside, as a client written for KAZOO meets it: one file per resource.

mod accounts;
mod attempts;
mod defects;
mod envelope;
mod errors;
mod lists;
mod log_in;
mod validation;
