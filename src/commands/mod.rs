//! Channel commands for clients, and questions to the switches with their answers.
//!
//! Promises: a command is published at most once and never repeated, because a call must not be transferred twice. The
//! result says what is known: published and confirmed, nobody listens, or unknown. No account reaches a channel
//! outside its own tree, whatever a client claims.

mod channels;
mod error;
mod nodes;
mod request;
mod requester;
mod session;
mod stand_in;
mod task;
mod zones;

pub use channels::{CommandOptions, Commands};
pub use error::CommandError;
pub use nodes::Delivering;
pub use request::RequesterOptions;
pub use requester::Requester;
pub use session::Listener;
pub use stand_in::{StandIn, StandInTask, Websockets};
pub use task::RequesterTask;
pub use zones::{ZoneRequesters, Zones};
