//! Tells of changed accounts, hooks and users: their notices become events of the log. What a crash kept from being
//! told is told after the next start.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::ingest::Ingest;
use crate::state::{Notices, State};
use crate::tasks::{Stop, Tasks};

/// The wait after a failure that may pass, such as a full disk.
const AGAIN: Duration = Duration::from_secs(1);

/// The task, and from where on it tells.
pub(super) struct Teller {
    notices: Notices,
    next: u64,
    ingest: Ingest,
    tasks: Tasks,
}

impl Teller {
    pub(super) fn new(state: &State, data_dir: &Path, ingest: &Ingest, tasks: &Tasks) -> io::Result<Self> {
        let (notices, next) = state.notices(data_dir)?;
        Ok(Self { notices, next, ingest: ingest.clone(), tasks: tasks.clone() })
    }

    /// Tells what is not told, then whatever comes.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut ends = self.notices.ends();
        let telling = async {
            while ends.wait_for(|end| *end > self.next).await.is_ok() {
                match self.tell().await {
                    Ok(next) => self.next = next,
                    Err(error) => {
                        tracing::warn!(%error, "changes of documents are not told yet");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(telling).await;
    }

    /// Tells some; the next position.
    async fn tell(&self) -> anyhow::Result<u64> {
        let (notices, from) = (self.notices.clone(), self.next);
        let (told, next) = self.tasks.spawn_blocking(move || notices.read(from)).await??;
        self.ingest.tell(told).await?;
        let notices = self.notices.clone();
        self.tasks.spawn_blocking(move || notices.told(next)).await??;
        Ok(next)
    }
}
