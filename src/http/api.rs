//! What the API uses: the state, the steps behind it, and the limits.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::intake::Intake;
use super::memory::Memory;
use super::operator::Operator;
use super::options::ApiOptions;
use super::ports::{Channels, Events, Health, Queues, Tester};
use super::tenants::Tenants;
use crate::auth::Auth;
use crate::live::Live;
use crate::model::{Actor, Clock};
use crate::state::State;

/// Everything that the API uses. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub(super) state: State,
    pub(super) auth: Auth,
    pub(super) queues: Arc<dyn Queues>,
    pub(super) events: Arc<dyn Events>,
    pub(super) tester: Arc<dyn Tester>,
    pub(super) health: Arc<dyn Health>,
    pub(super) operator: Arc<dyn Operator>,
    pub(super) channels: Arc<dyn Channels>,
    pub(super) live: Live,
    pub(super) clock: Clock,
    pub(super) options: Arc<ApiOptions>,
    pub(super) memory: Memory,
    pub(super) tenants: Tenants,
    pub(super) intake: Arc<Intake>,
    /// The node's name in responses.
    pub(super) node: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The steps behind the API.
#[derive(Clone)]
pub struct Ports {
    /// The queues of all hooks.
    pub queues: Arc<dyn Queues>,
    /// The way in for events.
    pub events: Arc<dyn Events>,
    /// Tests of hooks.
    pub tester: Arc<dyn Tester>,
    /// The program's health.
    pub health: Arc<dyn Health>,
    /// The program, for operators.
    pub operator: Arc<dyn Operator>,
    /// Channels and commands for them.
    pub channels: Arc<dyn Channels>,
    /// The websocket sessions.
    pub live: Live,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

impl Api {
    /// The same API, whose changes the audit trail attributes to `actor`.
    pub(super) fn acting_for(&self, actor: Actor) -> Self {
        let state = self.state.acting_for(actor);
        Self { auth: self.auth.over(state.clone()), state, ..self.clone() }
    }

    /// Creates the API over a state and the steps behind it.
    #[must_use]
    pub fn new(state: State, auth: Auth, ports: Ports, clock: Clock, options: ApiOptions) -> Self {
        let node = node_id(&options.node);
        let Ports { queues, events, health, operator, channels, tester, live } = ports;
        let memory = Memory::new(options.body_memory_bytes);
        let connections = options.connections.max_connections;
        let tenants = Tenants::new(connections, options.body_memory_bytes, options.max_body_bytes);
        let intake = Arc::new(Intake::new(options.events));
        Self {
            state,
            auth,
            queues,
            events,
            tester,
            health,
            operator,
            channels,
            live,
            clock,
            options: Arc::new(options),
            memory,
            tenants,
            intake,
            node,
        }
    }
}

/// The node's name in responses: a hash of its real name.
fn node_id(name: &str) -> String {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}
