//! What every client of the broker shares: its address, waiting between attempts, its status, and exchanges
//! declared exactly as KAZOO's nodes declare them.

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

/// For the filter of log lines: the client library would show the whole body of a message that nobody wanted, and
/// whoever published it says what became of it.
pub const QUIET: &str = "lapin::returned_messages=off";
