//! One session: the loop around the protocol. It reads and answers the client's frames, and in between writes the
//! events from the follower, a window at a time. While a client does not read, its position in the log stays where it
//! is and its memory does not grow.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::effect::{Denied, Effect, Uncommanded, Unlocated, Unverified};
use super::follower::{FollowError, Follower, Source};
use super::handle::{Live, Rechecked};
use super::hooks::Watcher;
use super::protocol::{Caller, Protocol};
use super::sessions::{Seat, session_id};
use super::socket::{Socket, Step};
use super::start::{RequestedStart, StartError};
use super::subscriptions::StartPosition;
use crate::auth::TokenBasis;
use crate::tasks::Stop;

/// The client's next frame is read only while fewer replies than this wait to be written.
const MOST_ANSWERS: usize = 64;
/// A client that was sent no more bytes than this since it was last heard must have seen the ping.
const SURELY_READ: usize = 4 << 10;

/// Delay between a change of documents and the review of the session's rights, so that many changes cost one review.
const REVIEW_AFTER: Duration = Duration::from_millis(300);

/// Close code and reason of a session; `None` when the connection just ends.
type End = Option<(CloseCode, &'static str)>;

/// A command under way; resolves to its frame and outcome.
type UnderWay = BoxFuture<'static, (Uncommanded, Result<(), String>)>;

/// One websocket session.
#[derive(Debug)]
pub(super) struct Session {
    live: Live,
    seat: Seat,
    socket: Socket,
    protocol: Protocol,
    follower: Follower,
    watcher: Watcher,
    /// Commands under way; the protocol bounds their number. They are dropped with the session, but a command that
    /// was published stays published.
    commands: FuturesUnordered<UnderWay>,
    /// What the client's rights depend on, once a token was accepted.
    standing: Option<TokenBasis>,
    /// The question whether another system still vouches for the token; at most one at a time.
    rechecks: FuturesUnordered<BoxFuture<'static, Rechecked>>,
    /// Changes of documents, on which rights may depend.
    changes: watch::Receiver<u64>,
    /// The time of the next review of the rights, after a change.
    review_at: Option<Instant>,
    began: Instant,
    /// `heard`: the last frame of any kind. `spoke`: the last frame other than a pong.
    heard: Instant,
    spoke: Instant,
}

impl Session {
    pub(super) fn new(live: Live, seat: Seat, socket: Socket, new_id: fn() -> String) -> Self {
        let id = session_id(seat.address());
        let protocol = Protocol::new(id, Arc::clone(&live.source().log_ids), live.options(), new_id);
        let follower = Follower::new(live.source().clone());
        let watcher = Watcher::new(Arc::clone(live.watch()));
        let now = Instant::now();
        Self {
            changes: live.changes(),
            live,
            seat,
            socket,
            protocol,
            follower,
            watcher,
            commands: FuturesUnordered::new(),
            standing: None,
            rechecks: FuturesUnordered::new(),
            review_at: None,
            began: now,
            heard: now,
            spoke: now,
        }
    }

    /// A token for frames that bring none.
    pub(super) fn with_token(mut self, token: Option<String>) -> Self {
        self.protocol.offer(token);
        self
    }

    /// Serves the client until one of the two sides ends the session.
    pub(super) async fn run(mut self, stop: Stop) {
        let end = self.serve(&stop).await;
        let within = self.live.options().close_timeout;
        let Self { seat, socket, follower, watcher, .. } = self;
        // Withdraws the session's interest before the closing handshake, which may take a while.
        drop((follower, watcher));
        if let Some((code, reason)) = end {
            tracing::debug!(session_id = %session_id(seat.address()), code = u16::from(code), reason, "session closed");
            socket.close(code, reason, within).await;
        }
    }

    async fn serve(&mut self, stop: &Stop) -> End {
        let (closed, gives_way) = (self.seat.closed.clone(), self.seat.gives_way.clone());
        let token_until = self.began + self.live.options().token_timeout;
        let period = self.live.options().ping_interval;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A client that does not read its replies is not heard either, so replies cannot fill the memory.
            let reads = self.socket.waiting() < MOST_ANSWERS;
            // The next window of events is taken only when the last one is written.
            let wants_events = self.socket.waiting() == 0;
            tokio::select! {
                // In this order, so that a flood of events cannot delay a close, a review or a reply.
                biased;
                () = stop.cancelled() => return Some((CloseCode::Away, "shutting down")),
                () = closed.cancelled() => return Some((CloseCode::Normal, "closed by an operator")),
                // The seat has already been given to another client, so this session ends even if a token arrives
                // now.
                () = gives_way.cancelled() => return None,
                () = sleep_until(token_until), if self.protocol.caller().is_none() => {
                    return Some((CloseCode::Policy, "no token was shown in time"));
                }
                Ok(()) = self.changes.changed(), if self.review_at.is_none() => {
                    self.review_at = Some(Instant::now() + REVIEW_AFTER);
                }
                () = sleep_until(self.review_at.unwrap_or_else(Instant::now)), if self.review_at.is_some() => {
                    if let Some(end) = self.review().await { return end }
                }
                _ = ticks.tick() => if let Some(end) = self.tick() { return end },
                Some(rechecked) = self.rechecks.next(), if !self.rechecks.is_empty() => {
                    if let Some(end) = self.rechecked(rechecked).await { return end }
                }
                Some((asked, outcome)) = self.commands.next(), if !self.commands.is_empty() => {
                    let effect = self.protocol.commanded(&asked, outcome);
                    self.go_on(effect).await;
                }
                step = self.socket.step(reads) => match step {
                    Step::Text(text) => {
                        // A right that has ended must not grant anything, not even until the next review.
                        if let Some(end) = self.review_if_changed().await { return end }
                        self.hear(&text).await;
                    }
                    Step::Other { is_own } => self.heard(is_own),
                    Step::Written => {}
                    Step::Over(code) => return code.map(|code| (code, "")),
                },
                frames = self.follower.next(&mut self.protocol.subscriptions), if wants_events => {
                    match frames {
                        Ok(frames) => frames.into_iter().for_each(|frame| self.socket.send(frame)),
                        Err(error) => return Some(reason(&error)),
                    }
                }
                frames = self.watcher.next(), if wants_events => {
                    for frame in frames {
                        self.socket.send(frame);
                    }
                }
            }
        }
    }

    fn heard(&mut self, is_own: bool) {
        self.heard = Instant::now();
        if is_own {
            self.spoke = self.heard;
        }
    }

    /// Processes a text frame.
    async fn hear(&mut self, text: &str) {
        self.heard(true);
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        // Before the frame may change the bindings: `note_position` moves all present ones.
        self.follower.note_position(&mut self.protocol.subscriptions);
        let effect = self.protocol.receive(text, now_us, self.live.now_s(), &self.live);
        self.go_on(effect).await;
    }

    /// Carries out the effects of a frame until it is answered or its command is under way.
    async fn go_on(&mut self, mut effect: Effect) {
        let reply = loop {
            effect = match effect {
                Effect::Reply(reply) => break Some(reply),
                Effect::Verify(unverified) => {
                    let (outcome, standing) = self.verify(&unverified).await;
                    let token = unverified.token.clone();
                    let effect = self.protocol.verified(unverified, outcome, &self.live);
                    // Unless the protocol refused the token because it belongs to another account.
                    if self.protocol.caller().is_some_and(|caller| caller.token == token)
                        && standing.is_some()
                    {
                        self.standing = standing;
                    }
                    effect
                }
                Effect::Locate(unlocated) => {
                    // A place to watch hooks is claimed first, because it may be refused, and the search for the
                    // position may read from the disk.
                    let position = match self.seat_to_watch(&unlocated) {
                        Ok(()) => locate(self.live.source(), unlocated.start).await,
                        Err(most) => Err(StartError::TooManyWatch(most)),
                    };
                    self.protocol.located(unlocated, position)
                }
                Effect::Command(wanted, asked) => {
                    let commanding = self.live.command(wanted);
                    self.commands.push(Box::pin(async move { (asked, commanding.await) }));
                    break None;
                }
            };
        };
        self.follower.follow(&self.protocol.subscriptions);
        self.watcher.follow(&self.protocol.subscriptions.hooks).await;
        self.seat.show(&self.protocol);
        // Last, because the client relies on its bindings from the reply on.
        if let Some(reply) = reply {
            self.socket.send(reply);
        }
    }

    fn seat_to_watch(&mut self, unlocated: &Unlocated) -> Result<(), usize> {
        match self.protocol.caller().filter(|_| unlocated.watches_hooks()) {
            Some(caller) => self.watcher.enter(self.live.tenant_of(caller.account)),
            None => Ok(()),
        }
    }

    async fn verify(&mut self, frame: &Unverified) -> (Result<Caller, Denied>, Option<TokenBasis>) {
        let Some((caller, standing)) = self.live.verify(&frame.token).await else {
            return (Err(Denied::Token), None);
        };
        if let Err(most) = self.seat.claim(caller.account, self.live.tenant_of(caller.account)) {
            return (Err(Denied::TooMany(most)), None);
        }
        let is_free = !frame.is_command() || self.live.spend(self.seat.client(), caller.account);
        if is_free { (Ok(caller), Some(standing)) } else { (Err(Denied::TooOften), None) }
    }

    async fn review_if_changed(&mut self) -> Option<End> {
        let has_changed = self.review_at.is_some() || self.changes.has_changed().unwrap_or(false);
        if has_changed { self.review().await } else { None }
    }

    /// Reviews the client's rights. Without any right the session ends; with fewer rights, some bindings end.
    async fn review(&mut self) -> Option<End> {
        self.review_at = None;
        self.changes.mark_unchanged();
        let standing = self.standing.as_ref()?;
        match self.live.role_of(standing) {
            Ok(None) => return Some(Some((CloseCode::Policy, "the token's rights have ended"))),
            Ok(Some(role)) => {
                self.follower.note_position(&mut self.protocol.subscriptions);
                if self.protocol.narrow(role, &self.live) {
                    self.follower.follow(&self.protocol.subscriptions);
                    self.watcher.follow(&self.protocol.subscriptions.hooks).await;
                    self.seat.show(&self.protocol);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot review a session's rights, will try again");
                self.review_at = Some(Instant::now() + REVIEW_AFTER);
            }
        }
        None
    }

    /// Takes the word of the system that vouches for the token.
    async fn rechecked(&mut self, rechecked: Rechecked) -> Option<End> {
        match rechecked {
            Rechecked::Good(standing) => {
                // Unless the client has shown another token meanwhile.
                if self.standing.as_ref().is_some_and(|present| present.identity() == standing.identity()) {
                    self.standing = Some(standing);
                    return self.review().await;
                }
                None
            }
            Rechecked::Ended => Some(Some((CloseCode::Policy, "the token's rights have ended"))),
            // No answer is no refusal. The next tick asks again.
            Rechecked::Unknown => None,
        }
    }

    /// Checks the connection once per ping interval, and asks whether a foreign token is still good.
    fn tick(&mut self) -> Option<End> {
        self.follower.note_position(&mut self.protocol.subscriptions);
        let options = self.live.options();
        if self.spoke.elapsed() >= options.idle_timeout {
            return Some(Some((CloseCode::Normal, "idle")));
        }
        // When many bytes are on the way, the client may not have reached the ping yet. TCP detects a dead peer.
        let must_have_seen = self.socket.unheard_bytes() <= SURELY_READ && self.socket.waiting() == 0;
        if must_have_seen && self.heard.elapsed() > options.ping_interval * 2 + Duration::from_secs(1) {
            return Some(None);
        }
        if self.protocol.is_over(self.live.now_s()) {
            return Some(Some((CloseCode::Policy, "token has expired")));
        }
        if self.socket.waiting() == 0 {
            self.socket.ping();
        }
        let is_foreign = self.standing.as_ref().is_some_and(TokenBasis::is_foreign);
        if let Some(caller) = self.protocol.caller().filter(|_| is_foreign && self.rechecks.is_empty()) {
            self.rechecks.push(self.live.recheck(caller.token.clone()));
        }
        None
    }
}

/// Finds the start of a subscription. Only a search by time may read from the disk.
async fn locate(source: &Source, start: RequestedStart) -> Result<StartPosition, StartError> {
    let (log, log_ids) = (source.log.clone(), Arc::clone(&source.log_ids));
    if !matches!(start, RequestedStart::Since(_)) {
        return start.locate(&log, &log_ids);
    }
    let found = source.tasks.spawn_blocking(move || start.locate(&log, &log_ids)).await;
    found.unwrap_or(Err(StartError::Ending))
}

fn reason(error: &FollowError) -> (CloseCode, &'static str) {
    match error {
        FollowError::BehindRetention => (CloseCode::Again, "behind retention"),
        FollowError::Read(_) => {
            tracing::error!(%error, "a session ends: the events log cannot be read");
            (CloseCode::Error, "event log cannot be read")
        }
        FollowError::Ending => (CloseCode::Away, "shutting down"),
    }
}
