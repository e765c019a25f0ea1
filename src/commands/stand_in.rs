//! Standing in for KAZOO's webhooks application: enables hooks again when KAZOO's API asks for it, and tells the
//! cluster that the application runs here. Only where the operator has said that the real one does not run.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::error::CommandError;
use super::requester::Requester;
use crate::kazoo::{self, Message, Sender};
use crate::model::{AccountId, Clock};
use crate::state::{State, WriteError, random_id};
use crate::tasks::Stop;

/// The application.
const APP: &str = "webhooks";
/// How often we tell of ourselves; KAZOO's nodes do it every 5 to 15 s.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Requests that wait to be answered; later ones are dropped, and their callers ask again.
const MOST_WAITING: usize = 64;

/// The task that answers.
pub struct StandInTask {
    requester: Requester,
    state: State,
    clock: Clock,
    asked: mpsc::Receiver<Bytes>,
}

impl StandInTask {
    /// The task, and where the requester's task hands in what is asked.
    pub(super) fn new(requester: Requester, state: State, clock: Clock) -> (mpsc::Sender<Bytes>, Self) {
        let (sender, asked) = mpsc::channel(MOST_WAITING);
        (sender, Self { requester, state, clock, asked })
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
                Some(body) = self.asked.recv() => self.answer(&body).await,
            }
        }
    }

    async fn advertise(&self, started_us: u64) {
        let msg_id = random_id().to_string();
        let sender = Sender { app: APP, node: self.requester.node(), msg_id: &msg_id };
        let expires_ms = u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX);
        self.tell(kazoo::advertise(APP, started_us, expires_ms, sender)).await;
    }

    async fn answer(&self, body: &[u8]) {
        let Some(asked) = kazoo::enabling_asked(body) else {
            tracing::debug!("a request to the webhooks application is not understood, or cannot be answered");
            return;
        };
        match self.enable(asked.account, asked.descendants).await {
            Ok(count) => {
                tracing::info!(account_id = %asked.account, count, "hooks enabled, as KAZOO asked");
                let sender = Sender { app: APP, node: self.requester.node(), msg_id: &asked.msg_id };
                self.tell(kazoo::enabling_answer(&asked, sender)).await;
            }
            // No answer: whoever asked learns by that.
            Err(error) => tracing::error!(account_id = %asked.account, %error, "hooks are not enabled"),
        }
    }

    async fn enable(&self, account: AccountId, descendants: bool) -> Result<usize, WriteError> {
        let below = if descendants { self.state.descendants(account) } else { Vec::new() };
        let mut count = 0;
        for account in below.iter().map(|below| below.id).chain([account]) {
            count += self.state.enable_hooks_of(account).await?;
        }
        Ok(count)
    }

    /// Publishes; whether anybody hears it is their business.
    async fn tell(&self, message: Message) {
        match self.requester.publish(message).await {
            Ok(()) | Err(CommandError::NobodyListens | CommandError::NotConnected(_)) => {}
            Err(error) => tracing::warn!(%error, "a message to KAZOO is not published"),
        }
    }
}
