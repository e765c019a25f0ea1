//! Answers in place of KAZOO's applications. When KAZOO's API asks, it enables hooks again and lists websockets, and it
//! advertises the applications to the cluster. Each only if the operator has said that KAZOO's own application does
//! not run.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::error::CommandError;
use super::session::Listener;
use super::zones::Zones;
use crate::kazoo::{
    self, Advertised, ENABLING_REQUEST, EnablingRequest, Message, Sender, StandInRequest, WEBSOCKETS_REQUEST,
};
use crate::model::{AccountId, Clock, Duty};
use crate::state::{State, random_id};
use crate::tasks::Stop;

/// The names of the applications.
const WEBHOOKS: &str = "webhooks";
const BLACKHOLE: &str = "blackhole";
/// The interval of advertisements. KAZOO's nodes use 5 to 15 s.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The most requests that wait for an answer. Later ones are dropped, and their callers ask again.
const MOST_WAITING: usize = 64;

/// The websocket sessions of this program, in the form of KAZOO's listing.
pub trait Websockets: Send + Sync {
    /// The sessions of some accounts. With `id`, only that session if it belongs to one of them. If no account is
    /// named, any session with that id: KAZOO's own API asks then, and has checked the rights.
    fn find(&self, accounts: &[AccountId], id: Option<&str>) -> Vec<Map<String, Value>>;
}

/// The applications in whose place this program answers.
#[derive(Clone, Default)]
pub struct StandIn {
    /// Whether it answers for `webhooks`.
    pub webhooks: bool,
    /// Answers for `blackhole` with these websockets.
    pub blackhole: Option<Arc<dyn Websockets>>,
    /// The zone that it tells the cluster it is in.
    pub zone: String,
    /// Silences the answers while KAZOO's own applications run.
    pub duty: Duty,
}

impl StandIn {
    /// The bindings of the queue for questions: exchanges and routing keys. Empty when no application is replaced.
    pub(super) fn bindings(&self) -> Vec<(&'static str, &'static str)> {
        let webhooks = self.webhooks.then_some(ENABLING_REQUEST);
        webhooks.into_iter().chain(self.blackhole.as_ref().map(|_| WEBSOCKETS_REQUEST)).collect()
    }

    fn apps(&self) -> Vec<&'static str> {
        let webhooks = self.webhooks.then_some(WEBHOOKS);
        webhooks.into_iter().chain(self.blackhole.as_ref().map(|_| BLACKHOLE)).collect()
    }
}

/// The task that answers and advertises.
pub struct StandInTask {
    stand_in: StandIn,
    zones: Zones,
    state: State,
    clock: Clock,
    asked: mpsc::Receiver<(u16, Bytes)>,
}

impl StandInTask {
    /// The task, and the listener that passes it the questions of each zone. `None` when no application is replaced.
    #[must_use]
    pub fn new(stand_in: StandIn, zones: Zones, state: State, clock: Clock) -> Option<(Listener, Self)> {
        let bindings = stand_in.bindings();
        if bindings.is_empty() {
            return None;
        }
        let (heard, asked) = mpsc::channel(MOST_WAITING);
        Some((Listener { bindings, heard }, Self { stand_in, zones, state, clock, asked }))
    }

    /// Answers and advertises until `stop` is cancelled.
    pub async fn run(mut self, stop: Stop) {
        let started_us = self.clock.now_us();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = heartbeat.tick() => self.advertise(started_us).await,
                Some((zone, body)) = self.asked.recv() => self.answer(zone, &body).await,
            }
        }
    }

    async fn advertise(&self, started_us: u64) {
        if !self.stand_in.duty.now().stands_in() {
            return;
        }
        let msg_id = random_id().to_string();
        let sender = Sender { app: "switchhook", node: self.zones.node(), msg_id: &msg_id };
        let expires_ms = u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX);
        let StandIn { zone, .. } = &self.stand_in;
        let told = Advertised { apps: &self.stand_in.apps(), zone, started_us, expires_ms };
        self.send(None, kazoo::advertise(&told, sender)).await;
    }

    async fn answer(&self, zone: u16, body: &[u8]) {
        if !self.stand_in.duty.now().stands_in() {
            // KAZOO's own application answers.
            return;
        }
        match kazoo::asked(body) {
            Some(StandInRequest::Enabling(asked)) if self.stand_in.webhooks => {
                self.answer_enabling(zone, &asked).await;
            }
            Some(StandInRequest::Websockets(asked)) => {
                let Some(websockets) = &self.stand_in.blackhole else { return };
                let found = websockets.find(&asked.accounts, asked.session.as_deref());
                let sender = Sender { app: BLACKHOLE, node: self.zones.node(), msg_id: &asked.msg_id };
                self.send(Some(zone), kazoo::websockets_answer(&asked, found, sender)).await;
            }
            _ => {
                tracing::debug!("a question to KAZOO's applications cannot be understood or answered");
            }
        }
    }

    async fn answer_enabling(&self, zone: u16, asked: &EnablingRequest) {
        let enabled = if asked.descendants {
            self.state.enable_hooks_of_tree(asked.account).await
        } else {
            self.state.enable_hooks_of(asked.account).await
        };
        match enabled {
            Ok(count) => {
                tracing::info!(account_id = %asked.account, count, "enabled hooks on KAZOO's request");
                let sender = Sender { app: WEBHOOKS, node: self.zones.node(), msg_id: &asked.msg_id };
                self.send(Some(zone), kazoo::enabling_answer(asked, sender)).await;
            }
            // No answer is sent; its absence tells the caller that enabling failed.
            Err(error) => tracing::error!(account_id = %asked.account, %error, "hooks could not be enabled"),
        }
    }

    /// Publishes in the zone of the question, or in all zones. It does not matter whether anybody listens.
    async fn send(&self, zone: Option<u16>, message: Message) {
        match self.zones.publish(zone, message).await {
            Ok(()) | Err(CommandError::NobodyListens | CommandError::NotConnected(_)) => {}
            Err(error) => tracing::warn!(%error, "a message to KAZOO could not be published"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Websockets for Nothing {
        fn find(&self, _: &[AccountId], _: Option<&str>) -> Vec<Map<String, Value>> {
            Vec::new()
        }
    }

    #[test]
    fn only_configured_applications_are_listened_for_and_advertised() {
        let nobody = StandIn::default();
        assert!(nobody.bindings().is_empty() && nobody.apps().is_empty());
        let webhooks = StandIn { webhooks: true, ..StandIn::default() };
        assert_eq!((webhooks.bindings(), webhooks.apps()), (vec![ENABLING_REQUEST], vec!["webhooks"]));
        let blackhole = StandIn { blackhole: Some(Arc::new(Nothing)), ..StandIn::default() };
        assert_eq!((blackhole.bindings(), blackhole.apps()), (vec![WEBSOCKETS_REQUEST], vec!["blackhole"]));
    }
}
