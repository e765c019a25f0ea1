//! What every client of the broker shares: the address, the waits between attempts, the connection's status, and the
//! declarations of KAZOO's exchanges.

mod address;
mod exchange;
mod greeting;
mod status;
mod waits;

pub use address::{Address, Identity, InvalidUri, Tls, check_uri, several};
pub use exchange::{SetupError, declare_exchange, exchange_remedy};
pub use greeting::{ServerVersion, server_version};
pub use status::{BrokerStatus, QueueReport, Status};
pub use waits::Waits;

/// A directive for the filter of log lines. The client library would log the whole body of a message that the broker
/// returned as unroutable; the publisher reports such messages itself.
pub const QUIET: &str = "lapin::returned_messages=off";
