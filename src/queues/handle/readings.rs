//! Readings of the logs beside the tasks: bounded in total, and for each account.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::places::{Place, Places};
use crate::log::ReadError;
use crate::model::AccountId;
use crate::tasks::Tasks;

/// Readings of the logs at a time; more of them wait for their turn.
const AT_ONCE: usize = 8;

/// Why a reading brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// The account has too many readings waiting.
    #[error("too many readings of the account wait already")]
    Busy,
    /// The program is ending.
    #[error("queues have ended")]
    Ended,
    /// A log cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

/// Where blocking readings are made. Clones share the same limits.
#[derive(Debug, Clone)]
pub struct Readings {
    turns: Arc<Semaphore>,
    places: Arc<Places>,
    tasks: Tasks,
}

impl Readings {
    /// Readings that shutdown waits for through `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), places: Arc::default(), tasks }
    }

    /// A place among the account's own for a reading that takes long. Waits for one; refused when too many wait.
    pub async fn place(&self, account: AccountId) -> Result<Place, ReadingError> {
        self.places.take(account).await.ok_or(ReadingError::Busy)
    }

    /// Makes a reading on a thread of its own, when it is its turn.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadingError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ReadingError::Ended)?;
        let work = move || {
            // Held to the end of the work, even when the caller has gone away meanwhile.
            let _turn = turn;
            work()
        };
        Ok(self.tasks.spawn_blocking(work).await.map_err(|_| ReadingError::Ended)??)
    }

    /// Where tasks are started.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}
