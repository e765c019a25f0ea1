//! What the API asks of the engine, and the engine's answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::options::Options;
use super::shadow::Stance;
use super::survey::Survey;
use crate::model::{HookId, Id, QueueStatus, ReplayStatus};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::Partitions;
use crate::queues::rules::replay::ReplayJob;

/// A question or an order; answers go back through its channel.
#[derive(Debug)]
pub enum Command {
    /// A hook's queue.
    Status(HookId, oneshot::Sender<Option<RawStatus>>),
    /// The queues of these hooks, in their order; `None`: it has none.
    Statuses(Vec<HookId>, oneshot::Sender<Vec<Option<RawStatus>>>),
    /// All queues.
    Survey(oneshot::Sender<Survey>),
    /// Begin a replay (whose document is durable already).
    Replay(Arc<ReplayJob>, Option<Arc<BTreeSet<u64>>>, oneshot::Sender<bool>),
    /// Progress of the replays under way of a hook.
    Replays(HookId, oneshot::Sender<Vec<ReplayStatus>>),
    /// Whether a hook may have one more replay; if not, how many it has.
    OneMoreReplay(HookId, oneshot::Sender<Result<(), usize>>),
    /// A replay is held back or goes on; its document says so already.
    Hold(Arc<ReplayJob>, oneshot::Sender<Option<ReplayStatus>>),
    /// End a replay; the job says how it ended.
    Cancel(HookId, Id, oneshot::Sender<Option<(ReplayStatus, Arc<ReplayJob>)>>),
    /// Route no event that comes after this; answers the first one that waits.
    HoldEvents(oneshot::Sender<u64>),
    /// What holds beside a KAZOO from now on.
    Stance(Stance, oneshot::Sender<()>),
    /// Makes a disabled hook's probe now; whether it has one.
    Probe(HookId, oneshot::Sender<bool>),
    /// Give partitions up; answered when a checkpoint of them is on disk and nothing of them is left.
    Lose(Partitions, oneshot::Sender<()>),
    /// Take partitions that nobody owns, as the ledger has them.
    Gain(Partitions, Box<Recovered>, oneshot::Sender<()>),
    /// Forget the recent failures of hooks; how many had some.
    ResetFailures(Vec<HookId>, oneshot::Sender<usize>),
    /// Other limits and policies; they hold when this is answered.
    Reload(Box<Options>, oneshot::Sender<()>),
}

/// A status whose oldest event's time is still to be read from the log.
#[derive(Debug, Clone)]
pub struct RawStatus {
    /// Everything but `oldest_waiting_age_ms`.
    pub status: QueueStatus,
    /// The oldest unsettled delivery in the window.
    pub oldest: Option<u64>,
}
