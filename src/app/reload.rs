//! Reloading the configuration of a running program: reloadable keys take effect, all others wait for the next start.
//!
//! Promise: a reload takes effect as a whole or changes nothing. Once it has ended, it applies to every new attempt;
//! attempts under way are not affected. The result is logged with the names of the keys, never with their values.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::mode::{ChangeModeError, Modes};
use super::options::{delivery_limits, queue_options, retention_limits};
use super::retention::Retention;
use crate::config::{Config, Difference, Masked};
use crate::delivery::{BuildError, Sink, Transport};
use crate::log::AppendError;
use crate::queues::{AskError, Queues};
use crate::tasks::Tasks;

/// Why a valid configuration did not take effect.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// The client of deliveries could not be rebuilt. Nothing has changed.
    #[error("{0}")]
    Delivery(#[from] BuildError),
    /// The program is ending.
    #[error("{0}")]
    Queues(#[from] AskError),
    /// The mode could not be changed.
    #[error("kazoo.mode: {0}")]
    Mode(#[from] ChangeModeError),
    /// The events log refuses its new limits.
    #[error("events log: {0}")]
    Events(#[from] AppendError),
}

/// The configuration that the program runs with.
pub(super) type Running = Arc<Mutex<Config>>;

/// Reloads the configuration. Cheap to clone; reloads happen one at a time.
#[derive(Clone)]
pub struct Reload {
    /// The configuration that the program runs with.
    running: Running,
    steps: Reloaded,
    tasks: Tasks,
}

/// The steps that use reloadable keys.
#[derive(Clone)]
pub(super) struct Reloaded {
    /// One for each shard.
    pub(super) transports: Vec<Transport>,
    pub(super) queues: Queues,
    pub(super) retention: Retention,
    pub(super) modes: Modes,
    pub(super) sink: Sink,
}

impl Reload {
    pub(super) fn new(running: Running, steps: Reloaded, tasks: Tasks) -> Self {
        Self { running, steps, tasks }
    }

    /// Applies the mode that was decided at the start.
    pub(super) async fn begin(&self) -> Result<(), ChangeModeError> {
        self.steps.modes.begin().await
    }

    /// Reads the configuration in a blocking task and applies its reloadable keys.
    pub async fn now<E: Display + Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<Config, E> + Send + 'static,
    ) {
        match self.tasks.spawn_blocking(read).await {
            Ok(Ok(config)) => self.take(&config).await,
            Ok(Err(error)) => {
                tracing::error!(%error, "the configuration cannot be used; nothing has changed");
            }
            // Only a panic ends a read without a result.
            Err(error) => tracing::error!(%error, "the configuration could not be read; nothing has changed"),
        }
    }

    async fn take(&self, new: &Config) {
        let mut running = self.running.lock().await;
        let Difference { reloadable, at_next_start } = running.difference(new);
        if reloadable.is_empty() && at_next_start.is_empty() {
            tracing::info!("configuration read again; nothing has changed");
        }
        if !reloadable.is_empty() {
            let mut next = running.clone();
            next.take_reloadable(new);
            match self.steps.take(&next).await {
                Ok(()) => {
                    *running = next;
                    tracing::info!(keys = reloadable.join(", "), "configuration reloaded");
                }
                Err(error) => tracing::error!(%error, "the configuration could not be reloaded"),
            }
        }
        if !at_next_start.is_empty() {
            let keys = at_next_start.join(", ");
            tracing::warn!(keys, "these keys take effect at the next start");
        }
    }
}

impl Reloaded {
    /// Applies the steps that can fail first, so that a failure changes nothing.
    async fn take(&self, config: &Config) -> Result<(), ReloadError> {
        for transport in &self.transports {
            transport.limit(delivery_limits(config))?;
        }
        self.sink.set(config.kazoo.shadow_sink.as_ref().map(Masked::reveal));
        self.modes.configure(config.kazoo.mode).await?;
        self.queues.reload(queue_options(config)).await?;
        let (max_age_us, max_bytes) = retention_limits(config);
        self.retention.limit(max_age_us, max_bytes).await?;
        Ok(())
    }
}
