//! Every task that the program starts is started here, so that shutdown can wait for all of them; so is every thread
//! that the program cannot do without.

use std::future::Future;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
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

    /// Starts a thread that gets its work later: whether it can be had is known at once. `prepare` runs in it first,
    /// and what that makes is handed to the work.
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
            // An error: there is no work, because something else could not be started.
            if let Ok(work) = given.recv() {
                work(made);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(thread).map_err(failed)?;
        let ended = || Err(io::Error::other("it ended at once"));
        is_ready.recv().unwrap_or_else(|_| ended()).map_err(failed)?;
        Ok(Thread { work })
    }

    /// Resolves when every task has ended. Nothing may be spawned after this is called.
    pub async fn all_ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

type Work<P> = Box<dyn FnOnce(P) + Send>;

/// A thread that is there and waits for its work. Dropped without any, it ends.
#[derive(Debug)]
pub struct Thread<P> {
    work: SyncSender<Work<P>>,
}

impl<P> Thread<P> {
    /// Gives it its work. An error instead of the result: the work panicked.
    pub fn run<T: Send + 'static>(self, work: impl FnOnce(P) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let work = move |made| {
            // Nobody may wait for it any more.
            drop(done.send(work(made)));
        };
        // The thread waits for nothing else.
        drop(self.work.send(Box::new(work)));
        result
    }
}

/// A thread that the program cannot do without cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "the thread \"{name}\" cannot be started: {error}; allow the program more threads, address space or open files"
)]
pub struct ThreadError {
    /// What it is for.
    pub name: &'static str,
    /// What the system says.
    pub error: io::Error,
}

/// Asks a step for a sign of life; cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// The step's end of it.
#[derive(Debug)]
pub struct Beat(mpsc::Receiver<oneshot::Sender<()>>);

/// A sign of life that was asked for. Dropped, it is withheld.
#[derive(Debug)]
pub struct Sign(oneshot::Sender<()>);

impl Sign {
    /// Gives it. Whoever asked may have gone.
    pub fn give(self) {
        let _gone = self.0.send(());
    }

    /// Whether somebody still waits for it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }
}

/// Both ends.
#[must_use]
pub fn pulse() -> (Pulse, Beat) {
    let (ask, asked) = mpsc::channel(16);
    (Pulse(ask), Beat(asked))
}

impl Pulse {
    /// Whether the step answers within this time.
    pub async fn is_felt(&self, within: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let ask = async { self.0.send(answer).await.is_ok() && answered.await.is_ok() };
        tokio::time::timeout(within, ask).await.unwrap_or(false)
    }
}

impl Beat {
    /// Resolves when a sign of life was asked for, and gives it. Never when nobody can ask any more.
    pub async fn given(&mut self) {
        self.asked().await.give();
    }

    /// Resolves when a sign of life was asked for, which is then given by what this returns, or withheld. Never when
    /// nobody can ask any more.
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
    async fn a_step_that_does_not_answer_or_is_gone_gives_no_sign_of_life() {
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
    async fn a_thread_gets_its_work_with_what_it_prepared_and_is_waited_for() {
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
