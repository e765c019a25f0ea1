//! The shards behind the handle: who owns a hook, and how all of them are asked at once. Nothing that is asked shows how
//! many there are.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::{RwLock, RwLockReadGuard, mpsc, oneshot};

use super::readings::ReadingError;
use crate::log::ReadError;
use crate::model::HookId;
use crate::queues::engine::command::{Command, RawStatus};
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};
use crate::state::LimitError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such hook.
    #[error("hook has no queue")]
    NoHook,
    /// The hook has as many replays as it may.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// The range has no offsets in it.
    #[error("range is empty: it starts at offset {from} and ends at {until}")]
    EmptyRange {
        /// First offset.
        from: u64,
        /// End of the range.
        until: u64,
    },
    /// The queues have ended.
    #[error("queues have ended")]
    Ended,
    /// The logs cannot be read.
    #[error(transparent)]
    Reading(#[from] ReadingError),
    /// The replay's document would break a limit of its account.
    #[error(transparent)]
    Limit(LimitError),
    /// The state cannot keep the replay.
    #[error("replay cannot be kept: {0}")]
    State(String),
}

impl From<ReadError> for AskError {
    fn from(error: ReadError) -> Self {
        Self::Reading(error.into())
    }
}

/// The command channels of all engines, and which of them owns which partitions.
#[derive(Debug, Clone)]
pub(in crate::queues) struct Shards {
    commands: Arc<[mpsc::Sender<Command>]>,
    /// By partition, the number of its shard. Locked while partitions move: questions wait until they have moved.
    owners: Arc<RwLock<[usize; COUNT]>>,
}

type Owners<'a> = RwLockReadGuard<'a, [usize; COUNT]>;

impl Shards {
    /// Every shard owns its share.
    pub(super) fn new(commands: Vec<mpsc::Sender<Command>>) -> Self {
        let mut owners = [0; COUNT];
        for shard in 0..commands.len() {
            for partition in Partitions::share(shard, commands.len()).iter() {
                set_owner(&mut owners, partition, shard);
            }
        }
        Self { commands: commands.into(), owners: Arc::new(RwLock::new(owners)) }
    }

    /// How many there are.
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
        // It is answered before anything that is asked later: partitions may move from here on.
        drop(owners);
        asked.await.map_err(|_| AskError::Ended)
    }

    /// Asks every shard; the answers in the order of the shards.
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

    /// The queues of these hooks, in their order.
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

    /// Moves partitions to a shard: each of the others gives up what it has of them, `taken` reads what the ledger says of
    /// them then, and the shard takes it. Everything that is asked meanwhile waits.
    pub(super) async fn move_to<F>(
        &self,
        set: Partitions,
        to: usize,
        taken: impl FnOnce(Partitions) -> F,
    ) -> Result<Partitions, AskError>
    where
        F: Future<Output = Result<(Command, oneshot::Receiver<()>), AskError>>,
    {
        let mut owners = self.owners.write().await;
        let moved: Partitions =
            set.iter().filter(|partition| owners.get(partition.index()) != Some(&to)).collect();
        for shard in (0..self.count()).filter(|shard| *shard != to) {
            let own = moved.iter().filter(|partition| owners.get(partition.index()) == Some(&shard));
            let (answer, given_up) = oneshot::channel();
            self.send(shard, Command::Lose(own.collect(), answer)).await?;
            given_up.await.map_err(|_| AskError::Ended)?;
        }
        let (gain, taken) = taken(moved).await?;
        self.send(to, gain).await?;
        taken.await.map_err(|_| AskError::Ended)?;
        for partition in moved.iter() {
            set_owner(&mut owners, partition, to);
        }
        Ok(moved)
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
