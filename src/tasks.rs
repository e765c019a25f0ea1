//! Every task that the program starts is started here, so that shutdown can wait for all of them.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Tells a step to end; cloned into each.
pub type Stop = tokio_util::sync::CancellationToken;

/// The tracked tasks of one program.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task; its log lines carry `task = name`.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.spawn(future.instrument(tracing::debug_span!("task", name)))
    }

    /// Runs blocking work on its own thread, tracked like a task.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.spawn_blocking(work)
    }

    /// Resolves when every task has ended. Nothing may be spawned after this is called.
    pub async fn all_ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
