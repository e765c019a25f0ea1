//! Stores the queues' decisions about hooks, and announces disabled hooks as KAZOO does.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::commands::Zones;
use crate::ingest::Ingest;
use crate::kazoo::{self, Sender};
use crate::model::{Duty, Hook};
use crate::queues::{self, Action};
use crate::state::{State, random_id};

/// The keeper, which stores decisions, and the announcer of disabled hooks.
pub(super) struct Keeper {
    pub(super) state: State,
    pub(super) actions: mpsc::Receiver<Action>,
    pub(super) announcer: Announcer,
}

impl Keeper {
    pub(super) async fn run(self) {
        let (disabled, announced) = mpsc::channel(64);
        tokio::join!(queues::keep(self.state, self.actions, disabled), self.announcer.run(announced));
    }
}

/// Publishes `webhook_disabled`. Without a broker it only logs the event.
pub(super) struct Announcer {
    /// `None` without a broker.
    pub(super) zones: Option<Zones>,
    pub(super) ingest: Ingest,
    pub(super) node: String,
    /// Whether this node may publish now.
    pub(super) duty: Duty,
}

impl Announcer {
    async fn run(self, mut disabled: mpsc::Receiver<Arc<Hook>>) {
        while let Some(hook) = disabled.recv().await {
            if self.duty.now().is_quiet() {
                continue;
            }
            let msg_id = random_id().to_string();
            let sender = Sender { app: "webhooks", node: &self.node, msg_id: &msg_id };
            let message = kazoo::webhook_disabled(hook.account, hook.id, sender);
            if let Some(zones) = &self.zones {
                if let Err(error) = zones.publish_once(message).await {
                    tracing::warn!(hook_id = %hook.id, %error, "webhook_disabled could not be published");
                }
                continue;
            }
            let body = serde_json::Value::Object(message.body).to_string();
            if let Err(error) = self.ingest.submit(vec![body.into()], hook.account).await {
                tracing::warn!(hook_id = %hook.id, %error, "webhook_disabled could not be logged");
            }
        }
    }
}
