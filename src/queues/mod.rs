//! The queues decide which hooks get an event, when each delivery is tried, and when it is settled.
//!
//! `rules` has the pure decisions, `queue` the unsettled deliveries of one hook, `ledger` the results on disk. `engine` is
//! the task that owns the queues of a shard, and `handle` is the handle for other rooms. Each folder uses only those named
//! before it.

mod engine;
mod handle;
mod ledger;
mod queue;
mod rules;
#[cfg(test)]
mod testing;

pub use engine::command::{Command, RawStatus};
pub use engine::directory::Directory;
pub use engine::keeper::{Action, keep};
pub use engine::options::{MOST_IN_FLIGHT, QueueOptions, UnknownLimits};
pub use engine::permits::Permits;
pub use engine::shadow::Stance;
pub use engine::survey::{Survey, SurveyedHook};
pub use engine::unknown::{Unknown, UnknownCounts};
pub use engine::{Engine, Parts, RunError};
pub use handle::readings::{ReadingError, Readings};
pub use handle::{AskError, Queues};
pub use ledger::checkpoints::last_checkpoint;
pub use ledger::codec::DecodeRecordError;
pub use ledger::failing::LastWord;
pub use ledger::filed::Filed;
pub use ledger::logs::Logs;
pub use ledger::record::{
    AttemptRecord, CHECKPOINT_END_TAG, CHECKPOINT_TAG, Ending, HeldEvent, LedgerRecord, Outcome, QueueImage,
    Settlement,
};
pub use ledger::recover::{Recovered, recover, recover_some};
pub use ledger::recovered_queue::RecoveredQueue;
pub use ledger::revisions::revision_tag;
pub use ledger::tally::Tally;
pub use ledger::writer::{LOG_GATHERS, LedgerError, Pushed};
pub use queue::Queue;
pub use queue::kept::Budget;
pub use queue::lane::LaneKey;
pub use queue::window::{EntryState, Past, Start, Taken, WindowEntry, WindowLimits};
pub use rules::fate::{Fate, Totals};
pub use rules::partitions::{Partition, Partitions};
pub use rules::policy::{
    Class, Health, Policy, RECEIVER_GONE, TOO_MANY_FAILURES, classify, probe_delay, retry_delay,
};
pub use rules::replay::{ReplayJob, ReplayRun, ReplayTotals};
pub use rules::router::{Router, in_reach, subject_hash};
