//! Announces changed accounts, hooks and users: their notices become events in the log. Notices that a crash delayed
//! are logged after the next start.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::ingest::Ingest;
use crate::state::{Notices, State};
use crate::tasks::{Stop, Tasks};

/// The wait after a failure that may pass, such as a full disk.
const AGAIN: Duration = Duration::from_secs(1);

/// The task, with its position in the notices.
pub(super) struct NoticeLogger {
    notices: Notices,
    next: u64,
    ingest: Ingest,
    tasks: Tasks,
}

impl NoticeLogger {
    pub(super) fn new(state: &State, data_dir: &Path, ingest: &Ingest, tasks: &Tasks) -> io::Result<Self> {
        let (notices, next) = state.notices(data_dir)?;
        Ok(Self { notices, next, ingest: ingest.clone(), tasks: tasks.clone() })
    }

    /// Logs the waiting notices, then new ones as they come.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut ends = self.notices.ends();
        let logging = async {
            while ends.wait_for(|end| *end > self.next).await.is_ok() {
                match self.log_some().await {
                    Ok(next) => self.next = next,
                    Err(error) => {
                        tracing::warn!(%error, "changes of documents cannot be announced yet");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(logging).await;
    }

    /// Logs some notices and returns the next position.
    async fn log_some(&self) -> anyhow::Result<u64> {
        let (notices, from) = (self.notices.clone(), self.next);
        let (events, next) = self.tasks.spawn_blocking(move || notices.read(from)).await??;
        // Logged before the position moves: a crash in between logs a notice twice, and its `Msg-ID` shows that.
        self.ingest.log_own(events).await?;
        let notices = self.notices.clone();
        self.tasks.spawn_blocking(move || notices.set_announced(next)).await??;
        Ok(next)
    }
}
