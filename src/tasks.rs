//! Starts all tasks of the program and its essential threads, so that shutdown can wait for all of them.

use std::future::Future;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Tells tasks to end; each gets a clone.
pub type Stop = tokio_util::sync::CancellationToken;

/// The tracked tasks of the program.
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

    /// Starts a thread that gets its work later, so that a failure to start is known at once. `prepare` runs in the
    /// thread first; its result is passed to the work.
    pub fn thread<P: 'static>(
        &self,
        name: &'static str,
        prepare: impl FnOnce() -> io::Result<P> + Send + 'static,
    ) -> Result<Thread<P>, ThreadError> {
        let tracked = self.0.token();
        let (work, given) = sync_channel::<Work<P>>(1);
        let (prepared, is_ready) = sync_channel(1);
        let failed = |error| ThreadError { name, error };
        let thread = move || {
            let _tracked = tracked;
            let made = match prepare() {
                Ok(made) => made,
                Err(error) => {
                    let _asked = prepared.send(Err(error));
                    return;
                }
            };
            let _asked = prepared.send(Ok(()));
            // On an error no work will come, because something else could not be started.
            if let Ok(work) = given.recv() {
                work(made);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(thread).map_err(failed)?;
        let ended = || Err(io::Error::other("it ended at once"));
        is_ready.recv().unwrap_or_else(|_| ended()).map_err(failed)?;
        Ok(Thread { work })
    }

    /// Resolves when every task has ended. Nothing may be spawned after this call.
    pub async fn all_ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

type Work<P> = Box<dyn FnOnce(P) + Send>;

/// A running thread that waits for its work. The thread ends when this is dropped.
#[derive(Debug)]
pub struct Thread<P> {
    work: SyncSender<Work<P>>,
}

impl<P> Thread<P> {
    /// Passes the work to the thread. The receiver gets the result, or an error if the work panicked.
    pub fn run<T: Send + 'static>(self, work: impl FnOnce(P) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let work = move |made| {
            // The caller may no longer wait for the result.
            drop(done.send(work(made)));
        };
        // Cannot fail: the thread waits for its work until this sender is dropped.
        drop(self.work.send(Box::new(work)));
        result
    }
}

/// An essential thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "the thread \"{name}\" cannot be started: {error}; allow the program more threads, address space or open files"
)]
pub struct ThreadError {
    /// Purpose of the thread.
    pub name: &'static str,
    /// Error of the operating system.
    pub error: io::Error,
}

/// Asks a task for a sign of life; cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// The end of a `Pulse` in the task.
#[derive(Debug)]
pub struct Beat(mpsc::Receiver<oneshot::Sender<()>>);

/// A requested sign of life. Dropping it withholds the sign.
#[derive(Debug)]
pub struct Sign(oneshot::Sender<()>);

impl Sign {
    /// Gives the sign of life; no error when nobody waits for it any more.
    pub fn give(self) {
        let _gone = self.0.send(());
    }

    /// Whether somebody still waits for the sign.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }
}

/// Creates both ends.
#[must_use]
pub fn pulse() -> (Pulse, Beat) {
    let (ask, asked) = mpsc::channel(16);
    (Pulse(ask), Beat(asked))
}

impl Pulse {
    /// Whether the task answers within this time.
    pub async fn is_felt(&self, within: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let ask = async { self.0.send(answer).await.is_ok() && answered.await.is_ok() };
        tokio::time::timeout(within, ask).await.unwrap_or(false)
    }
}

impl Beat {
    /// Waits for a request and gives a sign of life. Never resolves once nobody can ask any more.
    pub async fn given(&mut self) {
        self.asked().await.give();
    }

    /// Waits for a request and returns the sign, which the caller can give or withhold. Never resolves once nobody
    /// can ask any more.
    pub async fn asked(&mut self) -> Sign {
        match self.0.recv().await {
            Some(answer) => Sign(answer),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_task_that_is_stuck_or_has_ended_gives_no_sign_of_life() {
        let (pulse, mut beat) = pulse();
        assert!(!pulse.is_felt(SOON).await, "nobody answers yet");
        let tasks = Tasks::new();
        let step = tasks.spawn("step", async move {
            tokio::time::timeout(LONG, async {
                loop {
                    beat.given().await;
                }
            })
            .await
            .is_ok()
        });
        assert!(pulse.is_felt(LONG).await);
        step.abort();
        assert!(step.await.is_err());
        assert!(!pulse.is_felt(LONG).await);
    }

    #[tokio::test]
    async fn a_thread_passes_what_it_prepared_to_its_work_and_shutdown_waits_for_it() {
        let tasks = Tasks::new();
        let thread = tasks.thread("seven", || Ok(7)).unwrap();
        let unused = tasks.thread("unused", || Ok(())).unwrap();
        assert_eq!(thread.run(|n| n + 1).await, Ok(8));
        drop(unused);
        tokio::time::timeout(LONG, tasks.all_ended()).await.unwrap();
        let refused = tasks.thread("eight", || Err::<(), _>(io::Error::other("no files")));
        assert!(refused.unwrap_err().to_string().contains("\"eight\" cannot be started: no files"));
    }

    #[tokio::test]
    async fn work_that_panics_has_no_result() {
        let thread = Tasks::new().thread("panics", || Ok(())).unwrap();
        let result = thread.run(|()| assert_eq!(1, 2, "on purpose"));
        assert!(result.await.is_err());
    }
}
