//! The shards behind the handle: which of them owns a hook, and questions to one or all of them. The answers do not show how
//! many shards there are.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{RwLock, RwLockReadGuard, mpsc, oneshot};

use super::readings::ReadingError;
use crate::log::ReadError;
use crate::model::{EventOffset, HookId};
use crate::queues::engine::command::{Command, RawStatus};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};
use crate::state::LimitError;

/// The delay before partitions that move are read from the ledger again after a failure. It doubles with each failure.
const RECOVER_AGAIN: Duration = Duration::from_millis(200);
/// The longest such delay.
const RECOVER_AGAIN_MAX: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such hook.
    #[error("hook has no queue")]
    NoHook,
    /// The hook has the most replays already.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// The range contains no offset.
    #[error("range is empty: it starts at offset {from} and ends at {until}")]
    EmptyRange {
        /// Start of the range.
        from: EventOffset,
        /// End of the range.
        until: EventOffset,
    },
    /// The queues have ended.
    #[error("queues have ended")]
    Ended,
    /// The logs cannot be read.
    #[error(transparent)]
    Reading(#[from] ReadingError),
    /// The replay's document would exceed a limit of its account.
    #[error(transparent)]
    Limit(LimitError),
    /// The replay's document cannot be written or read.
    #[error("replay cannot be stored: {0}")]
    State(String),
}

impl From<ReadError> for AskError {
    fn from(error: ReadError) -> Self {
        Self::Reading(error.into())
    }
}

/// The command channels of all engines, and the partitions that they own.
#[derive(Debug, Clone)]
pub(in crate::queues) struct Shards {
    commands: Arc<[mpsc::Sender<Command>]>,
    /// By partition, the number of its shard. Locked while partitions move, so that questions wait until then.
    owners: Arc<RwLock<[usize; COUNT]>>,
}

type Owners<'a> = RwLockReadGuard<'a, [usize; COUNT]>;

impl Shards {
    /// Every shard owns its share of the partitions.
    pub(super) fn new(commands: Vec<mpsc::Sender<Command>>) -> Self {
        let mut owners = [0; COUNT];
        for shard in 0..commands.len() {
            for partition in Partitions::share(shard, commands.len()).iter() {
                set_owner(&mut owners, partition, shard);
            }
        }
        Self { commands: commands.into(), owners: Arc::new(RwLock::new(owners)) }
    }

    /// The number of shards.
    pub(super) fn count(&self) -> usize {
        self.commands.len()
    }

    async fn send(&self, shard: usize, command: Command) -> Result<(), AskError> {
        let commands = self.commands.get(shard).ok_or(AskError::Ended)?;
        commands.send(command).await.map_err(|_| AskError::Ended)
    }

    /// Asks the shard that owns a hook.
    pub(super) async fn ask<T>(
        &self,
        hook: HookId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, AskError> {
        let (answer, asked) = oneshot::channel();
        let owners = self.owners.read().await;
        self.send(owner(&owners, hook), command(answer)).await?;
        // The shard answers commands in their order, so a later move does not affect this one.
        drop(owners);
        asked.await.map_err(|_| AskError::Ended)
    }

    /// Asks every shard. The answers are in the order of the shards.
    pub(super) async fn ask_all<T>(
        &self,
        command: impl Fn(oneshot::Sender<T>) -> Command,
    ) -> Result<Vec<T>, AskError> {
        let mut all = Vec::with_capacity(self.count());
        let owners = self.owners.read().await;
        for shard in 0..self.count() {
            let (answer, asked) = oneshot::channel();
            self.send(shard, command(answer)).await?;
            all.push(asked);
        }
        drop(owners);
        try_join_all(all).await.map_err(|_| AskError::Ended)
    }

    /// The states of these hooks' queues, in the order of the hooks.
    pub(super) async fn statuses(&self, hooks: &[HookId]) -> Result<Vec<Option<RawStatus>>, AskError> {
        let owners = self.owners.read().await;
        let mut asked = Vec::with_capacity(self.count());
        for shard in 0..self.count() {
            let own = hooks.iter().enumerate().filter(|(_, hook)| owner(&owners, **hook) == shard);
            let (places, ids): (Vec<usize>, Vec<HookId>) = own.map(|(at, hook)| (at, *hook)).unzip();
            if ids.is_empty() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            self.send(shard, Command::Statuses(ids, answer)).await?;
            asked.push((places, answered));
        }
        drop(owners);
        let mut all = vec![None; hooks.len()];
        for (places, answered) in asked {
            let statuses = answered.await.map_err(|_| AskError::Ended)?;
            for (at, status) in places.into_iter().zip(statuses) {
                if let Some(place) = all.get_mut(at) {
                    *place = status;
                }
            }
        }
        Ok(all)
    }

    /// Moves partitions to a shard: their present owners give them up, `recover` reads them from the ledger, and the shard takes
    /// them over. Returns the partitions that have moved. All questions wait meanwhile.
    ///
    /// Partitions that have been given up have no owner until they are taken over. So a failure of `recover` is logged, and
    /// `recover` is tried again until it succeeds or the program stops. The caller must not drop this future in between.
    pub(super) async fn move_to<F>(
        &self,
        set: Partitions,
        to: usize,
        recover: impl Fn(Partitions) -> F,
    ) -> Result<Partitions, AskError>
    where
        F: Future<Output = Result<Recovered, ReadingError>>,
    {
        // Held to the end: no question may reach a shard that has given up the hook, or the new one before it has the
        // hook.
        let mut owners = self.owners.write().await;
        let moved: Partitions =
            set.iter().filter(|partition| owners.get(partition.index()) != Some(&to)).collect();
        for shard in (0..self.count()).filter(|shard| *shard != to) {
            let own = moved.iter().filter(|partition| owners.get(partition.index()) == Some(&shard));
            let (answer, given_up) = oneshot::channel();
            self.send(shard, Command::Lose(own.collect(), answer)).await?;
            given_up.await.map_err(|_| AskError::Ended)?;
        }
        let recovered = self.recovered(moved, to, recover).await?;
        let (answer, taken_over) = oneshot::channel();
        self.send(to, Command::Gain(moved, Box::new(recovered), answer)).await?;
        taken_over.await.map_err(|_| AskError::Ended)?;
        for partition in moved.iter() {
            set_owner(&mut owners, partition, to);
        }
        Ok(moved)
    }

    /// What the ledger says of partitions that nobody owns, for the shard `to`; tried until it is known.
    async fn recovered<F>(
        &self,
        set: Partitions,
        to: usize,
        recover: impl Fn(Partitions) -> F,
    ) -> Result<Recovered, AskError>
    where
        F: Future<Output = Result<Recovered, ReadingError>>,
    {
        let mut wait = RECOVER_AGAIN;
        loop {
            let error = match recover(set).await {
                Ok(recovered) => return Ok(recovered),
                Err(ReadingError::Ended) => return Err(AskError::Ended),
                Err(error) => error,
            };
            tracing::error!(
                partitions = %set, %error,
                "moving partitions cannot be read from the ledger; their hooks get nothing until they can"
            );
            if self.commands.get(to).is_none_or(mpsc::Sender::is_closed) {
                return Err(AskError::Ended);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RECOVER_AGAIN_MAX);
        }
    }
}

fn owner(owners: &Owners<'_>, hook: HookId) -> usize {
    owners.get(Partition::of(hook).index()).copied().unwrap_or(0)
}

fn set_owner(owners: &mut [usize; COUNT], partition: Partition, shard: usize) {
    if let Some(place) = owners.get_mut(partition.index()) {
        *place = shard;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// An engine that does what it is told; the partitions that it has in the end.
    async fn engine(mut commands: mpsc::Receiver<Command>, mut owned: Partitions) -> Partitions {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Lose(set, answer) => {
                    owned = owned.without(set);
                    answer.send(()).unwrap();
                }
                Command::Gain(set, _, answer) => {
                    owned = owned.with(set);
                    answer.send(()).unwrap();
                }
                Command::Status(_, answer) => answer.send(None).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        owned
    }

    #[tokio::test]
    async fn partitions_that_cannot_be_read_while_they_move_are_read_again_until_they_have_an_owner() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(4)).unzip();
        let shards = Shards::new(senders);
        let failures = Cell::new(0);
        let recover = |_| {
            failures.set(failures.get() + 1);
            let is_read = failures.get() > 2;
            async move { if is_read { Ok(Recovered::default()) } else { Err(ReadingError::Busy) } }
        };
        let engines = receivers
            .into_iter()
            .enumerate()
            .map(|(at, commands)| engine(commands, Partitions::share(at, 2)));
        let moving = async {
            let moved = shards.move_to(Partitions::ALL, 1, recover).await;
            assert!(shards.ask(HookId(1), |answer| Command::Status(HookId(1), answer)).await.is_ok());
            drop(shards);
            moved
        };
        let (moved, owned) = tokio::join!(moving, futures_util::future::join_all(engines));
        assert_eq!((moved.unwrap(), failures.get()), (Partitions::share(0, 2), 3));
        assert_eq!(owned, [Partitions::NONE, Partitions::ALL]);
    }

    #[tokio::test]
    async fn a_move_ends_when_the_program_stops_while_partitions_cannot_be_read() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel(4)).unzip();
        let shards = Shards::new(senders);
        let recover = async |_| Err(ReadingError::Busy);
        let mut receivers = receivers.into_iter();
        let from = receivers.next().unwrap();
        // The shard that the partitions go to has ended.
        drop(receivers);
        let moving = async {
            let moved = shards.move_to(Partitions::ALL, 1, recover).await;
            drop(shards);
            moved
        };
        let (moved, _) = tokio::join!(moving, engine(from, Partitions::share(0, 2)));
        assert!(matches!(moved, Err(AskError::Ended)), "{moved:?}");
    }
}
