//! Standing in for KAZOO's applications: enables hooks again, and tells which websockets there are, when KAZOO's API
//! asks for it, and tells the cluster that the applications run here. Each only where the operator has said that the
//! real one does not run.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::error::CommandError;
use super::session::Listener;
use super::zones::Zones;
use crate::kazoo::{self, Asked, ENABLING_ASKED, EnablingAsked, Message, Sender, WEBSOCKETS_ASKED};
use crate::model::{AccountId, Clock, Duty};
use crate::state::{State, random_id};
use crate::tasks::Stop;

/// The applications.
const WEBHOOKS: &str = "webhooks";
const BLACKHOLE: &str = "blackhole";
/// How often we tell of ourselves; KAZOO's nodes do it every 5 to 15 s.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Requests that wait to be answered; later ones are dropped, and their callers ask again.
const MOST_WAITING: usize = 64;

/// The websockets that there are here, each as KAZOO's listing shows it.
pub trait Websockets: Send + Sync {
    /// Those of some accounts; or that of an id, if it is of one of them, or no account is named: it is KAZOO's own
    /// API that asks, and has looked who may.
    fn find(&self, accounts: &[AccountId], id: Option<&str>) -> Vec<Map<String, Value>>;
}

/// For which applications this program stands in.
#[derive(Clone, Default)]
pub struct StandIn {
    /// `webhooks`.
    pub webhooks: bool,
    /// `blackhole`, with these websockets.
    pub blackhole: Option<Arc<dyn Websockets>>,
    /// Beside the real applications it is silent.
    pub duty: Duty,
}

impl StandIn {
    /// What the queue for questions is bound to: exchanges and routing keys. None: there is nobody to stand in for.
    pub(super) fn bindings(&self) -> Vec<(&'static str, &'static str)> {
        let webhooks = self.webhooks.then_some(ENABLING_ASKED);
        webhooks.into_iter().chain(self.blackhole.as_ref().map(|_| WEBSOCKETS_ASKED)).collect()
    }

    fn apps(&self) -> Vec<&'static str> {
        let webhooks = self.webhooks.then_some(WEBHOOKS);
        webhooks.into_iter().chain(self.blackhole.as_ref().map(|_| BLACKHOLE)).collect()
    }
}

/// The task that answers.
pub struct StandInTask {
    stand_in: StandIn,
    zones: Zones,
    state: State,
    clock: Clock,
    asked: mpsc::Receiver<(u16, Bytes)>,
}

impl StandInTask {
    /// The task, and what every requester's task needs to hand in what is asked in its zone; none when there is no
    /// application to stand in for.
    #[must_use]
    pub fn new(stand_in: StandIn, zones: Zones, state: State, clock: Clock) -> Option<(Listener, Self)> {
        let bindings = stand_in.bindings();
        if bindings.is_empty() {
            return None;
        }
        let (heard, asked) = mpsc::channel(MOST_WAITING);
        Some((Listener { bindings, heard }, Self { stand_in, zones, state, clock, asked }))
    }

    /// Answers, and tells of itself, until told to stop.
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
        self.tell(None, kazoo::advertise(&self.stand_in.apps(), started_us, expires_ms, sender)).await;
    }

    async fn answer(&self, zone: u16, body: &[u8]) {
        if !self.stand_in.duty.now().stands_in() {
            // The real application answers.
            return;
        }
        match kazoo::asked(body) {
            Some(Asked::Enabling(asked)) if self.stand_in.webhooks => {
                self.answer_enabling(zone, &asked).await;
            }
            Some(Asked::Websockets(asked)) => {
                let Some(websockets) = &self.stand_in.blackhole else { return };
                let found = websockets.find(&asked.accounts, asked.session.as_deref());
                let sender = Sender { app: BLACKHOLE, node: self.zones.node(), msg_id: &asked.msg_id };
                self.tell(Some(zone), kazoo::websockets_answer(&asked, found, sender)).await;
            }
            _ => {
                tracing::debug!(
                    "a question to KAZOO's applications is not understood, or cannot be answered"
                );
            }
        }
    }

    async fn answer_enabling(&self, zone: u16, asked: &EnablingAsked) {
        let enabled = if asked.descendants {
            self.state.enable_hooks_of_tree(asked.account).await
        } else {
            self.state.enable_hooks_of(asked.account).await
        };
        match enabled {
            Ok(count) => {
                tracing::info!(account_id = %asked.account, count, "hooks enabled, as KAZOO asked");
                let sender = Sender { app: WEBHOOKS, node: self.zones.node(), msg_id: &asked.msg_id };
                self.tell(Some(zone), kazoo::enabling_answer(asked, sender)).await;
            }
            // No answer: whoever asked learns by that.
            Err(error) => tracing::error!(account_id = %asked.account, %error, "hooks are not enabled"),
        }
    }

    /// Publishes, in the zone of the question or in all; whether anybody hears it is their business.
    async fn tell(&self, zone: Option<u16>, message: Message) {
        match self.zones.publish(zone, message).await {
            Ok(()) | Err(CommandError::NobodyListens | CommandError::NotConnected(_)) => {}
            Err(error) => tracing::warn!(%error, "a message to KAZOO is not published"),
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
    fn nothing_is_listened_for_and_told_that_was_not_asked_for() {
        let nobody = StandIn::default();
        assert!(nobody.bindings().is_empty() && nobody.apps().is_empty());
        let webhooks = StandIn { webhooks: true, ..StandIn::default() };
        assert_eq!((webhooks.bindings(), webhooks.apps()), (vec![ENABLING_ASKED], vec!["webhooks"]));
        let blackhole = StandIn { blackhole: Some(Arc::new(Nothing)), ..StandIn::default() };
        assert_eq!((blackhole.bindings(), blackhole.apps()), (vec![WEBSOCKETS_ASKED], vec!["blackhole"]));
    }
}
