//! A configuration that is read anew while the program runs: what may change takes effect, all else waits for the
//! next start.
//!
//! A reload takes effect or changes nothing. When it has ended it holds for every attempt that begins; what is under
//! way is left as it is. What came of it is told in the log, with the names of the keys and never with a value.

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

/// Why a configuration that could be read did not take effect.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// Nothing has changed.
    #[error("{0}")]
    Delivery(#[from] BuildError),
    /// The program is ending.
    #[error("{0}")]
    Queues(#[from] AskError),
    /// The mode stays as it was.
    #[error("kazoo.mode: {0}")]
    Mode(#[from] ChangeModeError),
    /// Likewise.
    #[error("events log: {0}")]
    Events(#[from] AppendError),
}

/// What the program runs with.
pub(super) type Running = Arc<Mutex<Config>>;

/// Reads the configuration anew for a running program. Cheap to clone; one reload is made at a time.
#[derive(Clone)]
pub struct Reload {
    /// What the program runs with.
    running: Running,
    steps: Reloaded,
    tasks: Tasks,
}

/// What works by keys that may change.
#[derive(Clone)]
pub(super) struct Reloaded {
    pub(super) transport: Transport,
    pub(super) queues: Queues,
    pub(super) retention: Retention,
    pub(super) modes: Modes,
    pub(super) sink: Sink,
}

impl Reload {
    pub(super) fn new(running: Running, steps: Reloaded, tasks: Tasks) -> Self {
        Self { running, steps, tasks }
    }

    /// Lets the mode that the start has decided take effect.
    pub(super) async fn begin(&self) -> Result<(), ChangeModeError> {
        self.steps.modes.begin().await
    }

    /// Reads the configuration, beside the tasks, and takes from it what may change.
    pub async fn now<E: Display + Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<Config, E> + Send + 'static,
    ) {
        match self.tasks.spawn_blocking(read).await {
            Ok(Ok(config)) => self.take(&config).await,
            Ok(Err(error)) => {
                tracing::error!(%error, "configuration cannot be used; nothing has changed");
            }
            // Only a defect ends a read without an answer.
            Err(error) => tracing::error!(%error, "configuration is not read; nothing has changed"),
        }
    }

    async fn take(&self, new: &Config) {
        let mut running = self.running.lock().await;
        let Difference { reloadable, at_next_start } = running.difference(new);
        if reloadable.is_empty() && at_next_start.is_empty() {
            tracing::info!("configuration read anew; it is what the program runs with");
        }
        if !reloadable.is_empty() {
            let mut next = running.clone();
            next.take_reloadable(new);
            match self.steps.take(&next).await {
                Ok(()) => {
                    *running = next;
                    tracing::info!(keys = reloadable.join(", "), "configuration reloaded");
                }
                Err(error) => tracing::error!(%error, "configuration is not reloaded"),
            }
        }
        if !at_next_start.is_empty() {
            let keys = at_next_start.join(", ");
            tracing::warn!(keys, "these keys take effect with the next start");
        }
    }
}

impl Reloaded {
    /// First what can fail while the program works.
    async fn take(&self, config: &Config) -> Result<(), ReloadError> {
        self.transport.limit(delivery_limits(config))?;
        self.sink.set(config.kazoo.shadow_sink.as_ref().map(Masked::reveal));
        self.modes.configure(config.kazoo.mode).await?;
        self.queues.reload(queue_options(config)).await?;
        let (max_age_us, max_bytes) = retention_limits(config);
        self.retention.limit(max_age_us, max_bytes).await?;
        Ok(())
    }
}
