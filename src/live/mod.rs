//! Websocket sessions over the events log, in the protocol of KAZOO's blackhole (`docs/kazoo/websockets.md`).
//!
//! A session is a position in the log, not a buffer: events that a client has not read yet stay on disk. A slow
//! client therefore costs a bounded window of memory and delays nobody, and a client that reconnects with the id of
//! the last event it saw misses nothing. `feed` reads new events once for all sessions; a session that has fallen
//! behind reads the log itself. The rules are in `protocol`, which is pure; `session` is the loop around it.

mod bucket;
mod command;
mod effect;
mod event;
mod feed;
mod follower;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handle;
mod hooks;
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

pub use command::{ChannelCommand, Commander};
pub use handle::{Live, LiveTask, Parts};
pub use hooks::{HookQueue, HookSource, Scopes};
pub use listener::{BindError, Listener, answer};
pub use options::{LiveOptions, TokenExpiry};
pub use sessions::{SessionView, Sessions};
pub use upgrade::{Refused, UpgradeRequest};
