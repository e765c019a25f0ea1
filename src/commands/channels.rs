//! Channels of an account: listing, reading and commanding them. The owner of a channel is known from the broker's
//! events or from the switches, never from the client.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::error::CommandError;
use super::zones::Zones;
use crate::ingest::Ingest;
use crate::kazoo::{self, Action, Channel, Command, Flow, Message, Sender};
use crate::model::AccountId;
use crate::shares::Shares;
use crate::state::{State, random_id};

/// Our application name in messages.
const APP: &str = "switchhook";
/// The part of the requests under way that one tenant may have: three quarters.
const TENANT_PART: (usize, usize) = (3, 4);

/// Settings of channel commands.
#[derive(Debug, Clone, Copy)]
pub struct CommandOptions {
    /// Whether a flow of one module is also published as the equivalent action, because no open-source KAZOO consumes
    /// flows (`docs/kazoo/amqp.md#flows-for-a-channel`).
    pub flow_as_action: bool,
}

/// Lists, reads and commands channels. A cheap handle.
#[derive(Debug, Clone)]
pub struct Commands {
    zones: Zones,
    ingest: Ingest,
    state: State,
    options: CommandOptions,
    /// The requests that each tenant has under way.
    shares: Arc<Shares<AccountId>>,
}

impl Commands {
    /// Publishes through `zones` for the accounts of `state`. `ingest` knows the accounts of recent calls.
    #[must_use]
    pub fn new(zones: Zones, ingest: Ingest, state: State, options: CommandOptions) -> Self {
        let shares = Arc::new(Shares::new(zones.max_in_flight() * TENANT_PART.0 / TENANT_PART.1));
        Self { zones, ingest, state, options, shares }
    }

    /// A permit for one request of the account's tenant.
    fn share(&self, account: AccountId) -> Result<OwnedSemaphorePermit, CommandError> {
        let tenant = self.state.tenant_of(account);
        self.shares.try_one(tenant).ok_or(CommandError::Busy(self.shares.each()))
    }

    /// The channels of one account on all switches that answer, by call id.
    pub async fn list(&self, account: AccountId) -> Result<Vec<Map<String, Value>>, CommandError> {
        let _share = self.share(account)?;
        let question = self.message(|sender| kazoo::account_query(account, sender));
        let answers = self.zones.ask(None, question, kazoo::account_channels).await?;
        let own = answers.into_iter().flatten().filter(|channel| channel.account == Some(account));
        let by_id: BTreeMap<String, Map<String, Value>> =
            own.map(|channel| (channel.call_id, channel.shown)).collect();
        Ok(by_id.into_values().collect())
    }

    /// Reads one channel in the account's tree.
    pub async fn read(&self, account: AccountId, call_id: &str) -> Result<Map<String, Value>, CommandError> {
        if !kazoo::is_call_id(call_id) {
            return Err(CommandError::Unknown);
        }
        let _share = self.share(account)?;
        Ok(self.find(account, call_id).await?.shown)
    }

    /// Sends a command to one channel in the account's tree. Returns when the broker has the command in a queue. The
    /// effect shows in the channel's later events.
    pub async fn command(
        &self,
        account: AccountId,
        call_id: &str,
        command: &Command,
    ) -> Result<(), CommandError> {
        if !kazoo::is_call_id(call_id) {
            return Err(CommandError::Unknown);
        }
        let _share = self.share(account)?;
        let needs_bridge = matches!(command, Command::Action(action) if action.needs_bridge());
        if needs_bridge {
            if !self.find(account, call_id).await?.bridged {
                return Err(CommandError::NotBridged);
            }
        } else {
            self.allow(account, call_id).await?;
        }
        match command {
            Command::Action(action) => self.act(call_id, action).await?,
            Command::Flow(flow) => self.flow(call_id, flow).await?,
        }
        let name = if let Command::Action(action) = command { action.name() } else { "metaflow" };
        tracing::info!(account_id = %account, call_id, command = name, "published a command for a channel");
        Ok(())
    }

    async fn act(&self, call_id: &str, action: &Action) -> Result<(), CommandError> {
        let message = self.message(|sender| action.message(call_id, sender));
        self.zones.publish(self.zone_of(call_id), message).await
    }

    /// Publishes the flow and, if there is one, the equivalent action. One of them having a listener is enough.
    async fn flow(&self, call_id: &str, flow: &Flow) -> Result<(), CommandError> {
        let message = self.message(|sender| flow.message(call_id, sender));
        let published = self.zones.publish(self.zone_of(call_id), message).await;
        let action = flow.as_action().filter(|_| self.options.flow_as_action);
        match (published, action) {
            (Err(CommandError::NobodyListens), Some(action)) => self.act(call_id, &action).await,
            (Ok(()), Some(action)) => match self.act(call_id, &action).await {
                Err(CommandError::NobodyListens) => Ok(()),
                acted => acted,
            },
            (published, _) => published,
        }
    }

    /// Checks that the channel belongs to the account's tree, using the events of the call, otherwise the switches.
    async fn allow(&self, account: AccountId, call_id: &str) -> Result<(), CommandError> {
        match self.ingest.call(call_id).filter(|known| known.certain) {
            Some(known) if self.state.is_ancestor_or_self(account, known.account) => Ok(()),
            Some(_) => Err(CommandError::Unknown),
            None => self.find(account, call_id).await.map(drop),
        }
    }

    /// Asks the switches for a channel. If several have a channel with this id, all must be in the account's tree.
    async fn find(&self, account: AccountId, call_id: &str) -> Result<Channel, CommandError> {
        let question = self.message(|sender| kazoo::call_query(call_id, sender));
        let answers = self.zones.ask(self.zone_of(call_id), question, kazoo::call_channels).await?;
        let mut found: Vec<Channel> =
            answers.into_iter().flatten().filter(|channel| channel.call_id == call_id).collect();
        let is_own = |channel: &Channel| {
            channel.account.is_some_and(|owner| self.state.is_ancestor_or_self(account, owner))
        };
        // One channel of another account is enough to refuse: the command would reach every channel with this id.
        if found.iter().all(is_own) {
            found.pop().ok_or(CommandError::Unknown)
        } else {
            Err(CommandError::Unknown)
        }
    }

    /// The zone that the events of a call came from.
    fn zone_of(&self, call_id: &str) -> Option<u16> {
        self.ingest.call(call_id)?.zone
    }

    fn message(&self, make: impl FnOnce(Sender<'_>) -> Message) -> Message {
        let msg_id = random_id().to_string();
        make(Sender { app: APP, node: self.zones.node(), msg_id: &msg_id })
    }
}
