//! Channel commands: published to the broker for a client, and questions to the switches with their answers.
//!
//! A command is published once and never again by itself: a call must not be transferred twice. What comes of
//! it is told as it is: published and confirmed, nobody listens, or nobody knows. No account reaches a channel
//! outside of its own tree, whoever claims what.

mod channels;
mod error;
mod nodes;
mod request;
mod requester;
mod session;
mod stand_in;
mod task;
mod zones;

pub use channels::{Commands, Options};
pub use error::CommandError;
pub use request::RequesterOptions;
pub use requester::Requester;
pub use session::Listener;
pub use stand_in::{StandIn, StandInTask, Websockets};
pub use task::RequesterTask;
pub use zones::{ZoneRequesters, Zones};
