//! Commands: questions and orders to the engine, each with the channel for its answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::options::QueueOptions;
use super::shadow::Stance;
use super::survey::Survey;
use crate::model::{EventOffset, HookId, QueueStatus, ReplayId, ReplayStatus, WaitingPart, WaitingQuery};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::Partitions;
use crate::queues::rules::replay::ReplayJob;

/// A question or an order.
#[derive(Debug)]
pub enum Command {
    /// How a hook's queue stands.
    Status(HookId, oneshot::Sender<Option<RawStatus>>),
    /// How the queues of these hooks stand, in the same order. `None`: the hook has no queue.
    Statuses(Vec<HookId>, oneshot::Sender<Vec<Option<RawStatus>>>),
    /// The unsettled deliveries of a hook. `None`: the hook has no queue.
    Waiting(WaitingQuery, oneshot::Sender<Option<WaitingPart>>),
    /// How all queues stand.
    Survey(oneshot::Sender<Survey>),
    /// Begin a replay, whose document is on disk already, for all of its range or for these offsets. False: there is no such
    /// hook.
    Replay(Arc<ReplayJob>, Option<Arc<BTreeSet<EventOffset>>>, oneshot::Sender<bool>),
    /// The progress of a hook's replays that have not ended.
    Replays(HookId, oneshot::Sender<Vec<ReplayStatus>>),
    /// Whether a hook may have one more replay; if not, how many it has.
    OneMoreReplay(HookId, oneshot::Sender<Result<(), usize>>),
    /// Pause a replay or let it continue, as its document says already.
    Hold(Arc<ReplayJob>, oneshot::Sender<Option<ReplayStatus>>),
    /// Cancel a replay. The job in the answer has the end in it.
    Cancel(HookId, ReplayId, oneshot::Sender<Option<(ReplayStatus, Arc<ReplayJob>)>>),
    /// Route no event that comes after this. Answers the offset of the first event that waits.
    HoldEvents(oneshot::Sender<EventOffset>),
    /// Change what holds beside a KAZOO.
    Stance(Stance, oneshot::Sender<()>),
    /// These hooks have ended replays with dead deliveries, as their documents say. Hooks of other shards are left out.
    DeadOfReplays(Vec<HookId>, oneshot::Sender<()>),
    /// Probe a disabled hook now. False: the hook is not probed.
    Probe(HookId, oneshot::Sender<bool>),
    /// Give partitions up. Answered when a checkpoint of them is on disk and the engine has nothing of them any more.
    Lose(Partitions, oneshot::Sender<()>),
    /// Take partitions that nobody owns, with what the ledger says of them.
    Gain(Partitions, Box<Recovered>, oneshot::Sender<()>),
    /// Forget the recent failures of hooks. Answers how many hooks had some.
    ResetFailures(Vec<HookId>, oneshot::Sender<usize>),
    /// Take other limits and policies. They apply when this is answered.
    Reload(Box<QueueOptions>, oneshot::Sender<()>),
}

/// The status of a queue without the age of its oldest event, whose time has to be read from the log.
#[derive(Debug, Clone)]
pub struct RawStatus {
    /// Everything but `oldest_waiting_age_ms`.
    pub status: QueueStatus,
    /// The oldest unsettled delivery in the window.
    pub oldest: Option<EventOffset>,
}
