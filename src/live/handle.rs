//! The handle of the live websocket service: admits clients and lists their sessions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use warp::http::StatusCode;
use warp::http::header::HeaderMap;

use super::command::{ChannelCommand, Commander};
use super::feed::{Feed, Shared};
use super::follower::Source;
use super::hooks::{HookSource, Watch, WatchState, WatchTask};
use super::options::LiveOptions;
use super::protocol::{Accounts, Caller};
use super::session::Session;
use super::sessions::{NoSeat, Sessions};
use super::socket::Socket;
use super::upgrade::{Refused, UpgradeRequest, switching};
use crate::auth::{self, Auth, Purpose, Role, TokenBasis, TokenError};
use crate::log::ReaderOf;
use crate::model::{AccountId, Clock, EventOffset};
use crate::state::{IndexError, State, random_id};
use crate::tasks::{Pulse, Stop, Tasks, pulse};

/// Concurrent reads of the log for sessions that are behind.
const MOST_READS: usize = 4;

/// Admits websocket clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    auth: Auth,
    clock: Clock,
    options: LiveOptions,
    source: Source,
    watch: Arc<Watch>,
    sessions: Sessions,
    commander: Arc<dyn Commander>,
    /// Ends every session.
    stop: Stop,
}

/// The task behind the handle.
#[derive(Debug)]
pub struct LiveTask {
    feed: Feed,
    watch: WatchTask,
    pulse: Pulse,
    stop: Stop,
}

/// What the service stands on.
#[derive(Debug)]
pub struct Parts {
    /// Accounts and hooks.
    pub state: State,
    /// Who may do what.
    pub auth: Auth,
    /// Executes the clients' commands.
    pub commander: Arc<dyn Commander>,
    /// Says what webhooks do.
    pub hooks: Arc<dyn HookSource>,
}

impl Live {
    /// Creates the service over an events log. Sessions get no events before the task runs.
    #[must_use]
    pub fn new(
        parts: Parts,
        log: ReaderOf<EventOffset>,
        clock: Clock,
        tasks: Tasks,
        options: LiveOptions,
    ) -> (Self, LiveTask) {
        let Parts { state, auth, commander, hooks } = parts;
        let (pulse, beat) = pulse();
        let shared = Arc::new(Shared::new(options.shared_bytes, log.clone()));
        let feed = Feed { shared: Arc::clone(&shared), tasks: tasks.clone(), beat };
        let stop = Stop::new();
        let watch = Arc::new(Watch::new());
        let watching = WatchTask {
            watch: Arc::clone(&watch),
            source: hooks,
            events: log.subscribe(),
            documents: state.applied(),
            seen: WatchState::default(),
        };
        let source = Source {
            shared,
            log,
            log_ids: Arc::new(state.settings().log_ids.clone()),
            tasks,
            reads: Arc::new(Semaphore::new(MOST_READS)),
            window_bytes: options.window_bytes,
        };
        let sessions = Sessions::new(&options);
        let inner =
            Inner { state, auth, clock, options, source, watch, sessions, commander, stop: stop.clone() };
        (Self(Arc::new(inner)), LiveTask { feed, watch: watching, pulse, stop })
    }

    /// The present sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The tenant of an account; `None` for the master account.
    pub(super) fn tenant_of(&self, account: AccountId) -> Option<AccountId> {
        let is_master = account == self.0.state.settings().master;
        (!is_master).then(|| self.0.state.tenant_of(account))
    }

    /// Accepts an upgrade request and returns the headers of the 101. The session begins once they are sent.
    pub fn enter(&self, asked: &UpgradeRequest<'_>, remote: SocketAddr) -> Result<HeaderMap, Refused> {
        self.enter_with(asked, remote, None)
    }

    /// The same for a client whose token is known already. It applies to frames without a token.
    pub fn enter_with(
        &self,
        asked: &UpgradeRequest<'_>,
        remote: SocketAddr,
        token: Option<String>,
    ) -> Result<HeaderMap, Refused> {
        if asked.names_protocol() {
            return Err(Refused(StatusCode::BAD_REQUEST));
        }
        let client = self.client(remote.ip(), asked.headers);
        let seat =
            self.0.sessions.enter(remote, client, self.0.clock.now_us()).map_err(|full| match full {
                NoSeat::Address => Refused(StatusCode::TOO_MANY_REQUESTS),
                NoSeat::Total => Refused(StatusCode::SERVICE_UNAVAILABLE),
            })?;
        let accept = asked.accept_key()?;
        let upgrade = asked.upgrade.clone().ok_or(Refused(StatusCode::BAD_REQUEST))?;
        let (live, stop) = (self.clone(), self.0.stop.clone());
        // In a task of its own, because the upgrade is complete only after the 101 has been sent.
        let serving = async move {
            let upgraded = stop.run_until_cancelled(upgrade).await;
            if let Some(Ok(upgraded)) = upgraded
                && let Some(socket) = Socket::new(upgraded, live.options().max_frame_bytes).await
            {
                Session::new(live, seat, socket, new_id).with_token(token).run(stop).await;
            }
        };
        drop(self.0.source.tasks.spawn("session", serving));
        Ok(switching(accept))
    }

    /// The address of the client behind a connection with these headers; a trusted proxy may name another than its
    /// own.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.0.options.proxies.client(peer, headers)
    }

    pub(super) fn options(&self) -> &LiveOptions {
        &self.0.options
    }

    pub(super) fn source(&self) -> &Source {
        &self.0.source
    }

    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.0.watch
    }

    pub(super) fn now_s(&self) -> u64 {
        self.0.clock.now_us() / 1_000_000
    }

    /// The holder of a token, and what their rights depend on.
    pub(super) async fn verify(&self, token: &str) -> Option<(Caller, TokenBasis)> {
        let caller = self.0.auth.verify(token).await.ok()?;
        let standing = caller.standing().clone();
        let auth::Caller { account, role, token, expires_s, .. } = caller;
        Some((Caller { account, role, token, expires_s }, standing))
    }

    /// Asks again about a token that another system vouches for.
    pub(super) fn recheck(&self, token: String) -> BoxFuture<'static, Rechecked> {
        let auth = self.0.auth.clone();
        Box::pin(async move {
            match auth.verify(&token).await {
                Ok(caller) => Rechecked::Good(caller.standing().clone()),
                Err(TokenError::Unavailable(_)) => Rechecked::Unknown,
                Err(_) => Rechecked::Ended,
            }
        })
    }

    /// The present role of a token's holder; `None` when the rights have ended.
    pub(super) fn role_of(&self, standing: &TokenBasis) -> Result<Option<Role>, IndexError> {
        self.0.auth.role_of(standing)
    }

    /// Changes with every change of a document, on which rights may depend.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.state.applied()
    }

    /// Charges a command to the bucket that the account's API requests use too; false when the bucket is empty.
    pub(super) fn spend(&self, address: IpAddr, account: AccountId) -> bool {
        self.0.auth.spend(Some(address), Purpose::Of(account), 1).is_ok()
    }

    pub(super) fn command(&self, wanted: ChannelCommand) -> BoxFuture<'static, Result<(), String>> {
        self.0.commander.command(wanted)
    }
}

/// What became of a token that another system vouches for.
#[derive(Debug)]
pub(super) enum Rechecked {
    /// It is good, with these rights.
    Good(TokenBasis),
    /// It is not.
    Ended,
    /// The other system does not answer.
    Unknown,
}

impl Accounts for Live {
    fn covers(&self, caller: &Caller, account: AccountId) -> bool {
        self.0.auth.covers(caller.account, caller.role, account)
    }

    fn is_master(&self, caller: &Caller) -> bool {
        caller.role == Role::Admin && self.0.state.settings().master == caller.account
    }
}

fn new_id() -> String {
    random_id().to_string()
}

impl LiveTask {
    /// A handle to check that the task is alive and sessions get new events.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Follows the log until `stop`, then closes every session with 1001.
    pub async fn run(self, stop: Stop) {
        tokio::join!(self.feed.run(stop.clone()), self.watch.run(stop));
        self.stop.cancel();
    }
}
