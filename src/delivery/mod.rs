//! Making attempts: one HTTP request each, guarded, signed, bounded in time and size. The only module that
//! knows the HTTP client.

mod guard;
mod pool;
mod request;
mod send;
mod sign;

pub use pool::{BuildError, Delivery, Options};
