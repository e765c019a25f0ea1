//! Shows clients what webhooks do: the bindings `webhook.attempt.*` and `webhook.queue.*`, and `webhook.event.*` for events
//! of every kind as they are logged.
//!
//! Unlike the events of other bindings, news have no position in a log: a client gets the changes from its subscription on, and reads the
//! state before them from the API. One task looks for changes for all sessions, and only while a session watches. A
//! client that reads too slowly gets a frame saying that it missed news; nothing waits for it.

mod binding;
mod scopes;
mod source;
mod watch;
mod watcher;

pub(super) use binding::{HookBinding, HookBindings};
pub use scopes::Scopes;
pub use source::{HookQueue, HookSource};
pub(super) use watch::{Watch, WatchState, WatchTask};
pub(super) use watcher::Watcher;
