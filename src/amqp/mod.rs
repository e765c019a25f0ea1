//! What every client of the broker shares: its address, waiting between attempts, its status, and exchanges
//! declared exactly as KAZOO's nodes declare them.

mod address;
mod exchange;
mod status;
mod waits;

pub use address::{Address, InvalidUri, check_uri};
pub use exchange::{SetupError, declare_exchange, exchange_remedy};
pub use status::{BrokerStatus, Status};
pub use waits::Waits;
