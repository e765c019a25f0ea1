//! The threads that read the log beside the engine.

use tokio::sync::mpsc;

use super::log_read::{ReadDone, ReadRun};
use crate::tasks::Tasks;

/// Starts threads, and receives what they read.
#[derive(Debug)]
pub(super) struct ReadThreads {
    tasks: Tasks,
    answers: mpsc::Sender<ReadDone>,
    done: mpsc::Receiver<ReadDone>,
}

impl ReadThreads {
    /// Threads are started by `tasks`.
    pub(super) fn new(tasks: Tasks) -> Self {
        let (answers, done) = mpsc::channel(64);
        Self { tasks, answers, done }
    }

    /// Makes reads one after the other in a thread.
    pub(super) fn start(&self, run: ReadRun) {
        let answers = self.answers.clone();
        // The handle is not needed: each read answers through the channel, which closes when the engine has ended.
        drop(self.tasks.spawn_blocking(move || run.make(|done| answers.blocking_send(done).is_ok())));
    }

    /// The next read that has ended. Loses nothing when it is cancelled.
    pub(super) async fn done(&mut self) -> Option<ReadDone> {
        self.done.recv().await
    }
}
