//! Makes attempts. Each is one HTTP request: checked by the address guard, signed, and bounded in time and size. No
//! other module knows the HTTP client.

mod attempt;
mod client;
mod connect;
mod fault;
mod guard;
mod headers;
mod idle;
mod inbox;
mod names;
mod pool;
mod request;
mod room;
mod send;
mod shadow;
mod shortages;
mod sign;
mod spans;
mod stopwatch;
mod tester;
mod transport;
mod trust;

pub use client::BuildError;
pub use idle::IdleLimits;
pub use pool::{Channels, Delivery, DeliveryOptions};
pub use shadow::Sink;
pub use shortages::{Shortage, Shortages};
pub use sign::signature;
pub use tester::Tester;
pub use transport::{Transport, TransportLimits};
