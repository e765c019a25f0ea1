//! What webhooks do, for clients that watch them: the bindings `webhook.attempt.*` and `webhook.queue.*`.
//!
//! Unlike events these are not positions in a log: a client is told what changes from its subscription on, and asks the
//! API for the rest. One task looks for all sessions together and only while somebody watches. A client that reads too
//! slowly is told that it missed something; nothing waits for it.

mod binding;
mod scopes;
mod source;
mod watch;
mod watcher;

pub(super) use binding::{HookBinding, HookBindings};
pub use scopes::Scopes;
pub use source::{HookQueue, HookSource};
pub(super) use watch::{Seen, Watch, WatchTask};
pub(super) use watcher::Watcher;
