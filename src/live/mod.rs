//! Websocket sessions over the same log, in the protocol of KAZOO's blackhole (`docs/kazoo/websockets.md`).
//!
//! A session is a position in the log, not a buffer: what a client has not read yet waits on disk, so that a
//! slow client costs a bounded window of memory and delays nobody, and one that comes back with the id of the
//! last event it saw misses nothing. `feed` reads new events once for all sessions; a session that has fallen
//! behind reads the log by itself. The rules are in `protocol`, pure; `session` is the loop around them.

mod bucket;
mod command;
mod event;
mod feed;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handle;
mod interest;
mod listener;
mod options;
mod protocol;
mod request;
mod ring;
mod session;
mod sessions;
mod socket;
mod start;
mod subscriptions;
mod upgrade;

pub use command::{Commander, Wanted};
pub use handle::{Live, LiveTask};
pub use listener::{BindError, Listener, answer};
pub use options::{Options, TokenExpiry};
pub use sessions::{SessionView, Sessions};
pub use upgrade::{Asked, Refused};
