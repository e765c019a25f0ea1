//! Blocking reads of the logs for requests: bounded in total and for each account.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::account_reads::{AccountRead, AccountReads};
use crate::log::ReadError;
use crate::model::AccountId;
use crate::tasks::Tasks;

/// The reads of the logs at a time. Further ones wait for their turn.
const AT_ONCE: usize = 8;

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadingError {
    /// Too many reads of the account wait.
    #[error("too many reads of this account are waiting already; try again later")]
    Busy,
    /// The program is ending.
    #[error("queues have ended")]
    Ended,
    /// A log cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

/// Makes blocking reads. Clones share the same limits.
#[derive(Debug, Clone)]
pub struct Readings {
    turns: Arc<Semaphore>,
    of_accounts: Arc<AccountReads>,
    tasks: Tasks,
}

impl Readings {
    /// Shutdown waits for these reads through `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), of_accounts: Arc::default(), tasks }
    }

    /// Waits until the account may make a read that can take long. The account counts as reading while the value exists.
    pub async fn account_read(&self, account: AccountId) -> Result<AccountRead, ReadingError> {
        self.of_accounts.take(account).await.ok_or(ReadingError::Busy)
    }

    /// Makes a read in a blocking task when it is its turn.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadingError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ReadingError::Ended)?;
        let work = move || {
            // Held until the work ends, even if the caller is gone by then.
            let _turn = turn;
            work()
        };
        Ok(self.tasks.spawn_blocking(work).await.map_err(|_| ReadingError::Ended)??)
    }

    /// The tasks of the program.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}
