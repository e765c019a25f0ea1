//! The queues: which hooks an event is for, in which order and when it is tried, and what became of it.
//!
//! The pure parts (`queue`, `lane`, `policy`, `router`, `record`, `recover`) decide; `engine` is the one task
//! that owns their state; `handle` is what others hold.

mod accounts;
mod adopt;
mod attempt_record;
mod attempts;
mod checkpoint;
mod codec;
mod command;
mod damaged;
mod dead;
mod deliveries;
mod directory;
mod dispatch;
mod engine;
mod entry;
mod fate;
mod filed;
mod handle;
mod hooks;
mod hosts;
mod invariants;
mod keeper;
mod kept;
mod lane;
mod ledger;
mod moves;
mod occupancy;
mod options;
mod over_share;
mod pace;
mod permits;
#[cfg(test)]
mod permits_tests;
mod places;
mod policy;
mod queue;
#[cfg(test)]
mod queue_model;
mod recent;
mod record;
mod recorded;
mod recover;
mod refill;
mod reload;
mod replay;
mod replays;
mod results;
mod revisions;
mod route;
mod router;
mod search;
mod shadow;
#[cfg(test)]
mod simulation;
mod slot;
mod spilled;
mod survey;
mod tally;
#[cfg(test)]
mod testing;
mod tier;
mod trial;
mod unknown;
mod verdict;

pub use attempts::AttemptReader;
pub use codec::DecodeRecordError;
pub use command::{Command, RawStatus};
pub use directory::Directory;
pub use engine::{Engine, Parts, RunError};
pub use entry::{Entry, EntryState, Limits, Past, Start, Taken};
pub use fate::{Fate, Totals};
pub use handle::{AskError, Queues};
pub use keeper::{Action, keep};
pub use kept::Budget;
pub use lane::LaneKey;
pub use ledger::LedgerError;
pub use options::{MOST_IN_FLIGHT, Options, UnknownLimits};
pub use policy::{
    Class, Health, Policy, RECEIVER_GONE, TOO_MANY_FAILURES, classify, probe_delay_ms, retry_delay_ms,
};
pub use queue::Queue;
pub use record::{
    AttemptRecord, CHECKPOINT_END_TAG, CHECKPOINT_TAG, Ending, HeldEvent, LedgerRecord, Outcome, QueueImage,
    Settlement,
};
pub use recover::{Recovered, RecoveredQueue, last_checkpoint, recover};
pub use replay::{ReplayJob, ReplayRun};
pub use router::{Router, in_reach, subject_hash};
pub use shadow::Stance;
pub use survey::{Survey, SurveyedHook};
pub use tally::Tally;
pub use unknown::{Unknown, UnknownCounts};
