//! Builds the websocket sessions from the configuration.

use std::sync::Arc;
use std::time::Duration;

use super::broker::host_name;
use super::hook_source::HooksOfQueues;
use super::open_files::open_files;
use super::ports::ChannelsPort;
use crate::auth::Auth;
use crate::config::{Config, TokenExpiry};
use crate::listen::ConnectionLimits;
use crate::live::{self, Listener, Live, LiveTask};
use crate::log::ReaderOf;
use crate::model::{Clock, EventOffset};
use crate::state::State;
use crate::tasks::Tasks;

/// The handle, the task, and the listener on KAZOO's port.
pub(super) struct Built {
    pub(super) handle: Live,
    pub(super) task: LiveTask,
    pub(super) listener: Listener,
}

/// Binds the port. No client is served before the tasks run.
pub(super) fn build(
    config: &Config,
    parts: live::Parts,
    events: &ReaderOf<EventOffset>,
    clock: &Clock,
    tasks: &Tasks,
) -> Result<Built, live::BindError> {
    let (handle, task) = Live::new(parts, events.clone(), clock.clone(), tasks.clone(), options(config));
    let listener = Listener::bind(handle.clone())?;
    Ok(Built { handle, task, listener })
}

/// What the websockets stand on.
pub(super) fn parts(state: &State, auth: &Auth, channels: ChannelsPort, hooks: HooksOfQueues) -> live::Parts {
    let (commander, hooks) = (Arc::new(channels), Arc::new(hooks));
    live::Parts { state: state.clone(), auth: auth.clone(), commander, hooks }
}

/// The configured number of sessions, but at most half of the files that this process may have open. The logs, the API
/// and the receivers need the rest.
fn max_sessions(asked: usize, open_files: Option<u64>) -> usize {
    let most = open_files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    match asked {
        // The configuration sets no limit.
        0 if most == usize::MAX => 0,
        0 => most,
        asked => asked.min(most),
    }
}

/// The connection limits of either listener: at most an eighth of the open files each.
pub(super) fn connections(config: &Config) -> ConnectionLimits {
    let (h, open_files) = (&config.http, open_files().unwrap_or(u64::MAX));
    let most = usize::try_from(open_files / 8).unwrap_or(usize::MAX).max(1);
    ConnectionLimits {
        max_connections: h.max_connections.min(most),
        idle_timeout: Duration::from_millis(h.idle_timeout_ms),
        write_timeout: Duration::from_millis(h.write_timeout_ms),
    }
}

fn options(config: &Config) -> live::LiveOptions {
    let w = &config.websocket;
    let max_sessions = max_sessions(w.max_sessions, open_files());
    if max_sessions != w.max_sessions {
        tracing::warn!(
            max_sessions,
            "fewer websocket sessions than configured: only half of the allowed open files are used for sessions"
        );
    }
    live::LiveOptions {
        listen: w.listen,
        proxies: config.http.trusted_proxies.clone().into(),
        connections: connections(config),
        max_sessions,
        max_per_account: w.max_sessions_per_account,
        max_per_ip: w.max_sessions_per_ip,
        max_without_token: w.max_sessions_without_token,
        token_timeout: Duration::from_millis(w.token_timeout_ms),
        max_bindings: w.max_bindings,
        max_commands: w.max_commands,
        max_frame_bytes: w.max_frame_bytes,
        frame_burst: w.frame_burst,
        frames_per_second: w.frames_per_second,
        window_bytes: w.window_bytes,
        shared_bytes: w.shared_bytes,
        ping_interval: Duration::from_millis(w.ping_interval_ms),
        idle_timeout: Duration::from_millis(w.idle_timeout_ms),
        token_expiry: match w.token_expiry {
            TokenExpiry::Ignore => live::TokenExpiry::Ignore,
            TokenExpiry::Refuse => live::TokenExpiry::Refuse,
            TokenExpiry::Close => live::TokenExpiry::Close,
        },
        host: host_name(),
        ..live::LiveOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::max_sessions;

    #[test]
    fn sessions_leave_half_of_the_open_files_for_the_rest() {
        assert_eq!(max_sessions(10_000, None), 10_000);
        assert_eq!(max_sessions(10_000, Some(1 << 20)), 10_000);
        assert_eq!(max_sessions(10_000, Some(1024)), 512);
        assert_eq!(max_sessions(0, Some(1024)), 512);
        assert_eq!(max_sessions(0, None), 0);
    }
}
