//! The port for operators' endpoints.

use serde_json::Value;

use super::ports::Answer;
use crate::amqp::BrokerStatus;
use crate::log::{LogStats, SegmentRange};
use crate::model::{Actor, Border, EventOffset, Mode};
use crate::onboarding::sync::SyncStatus;
use crate::queues::{Survey, UnknownCounts};

/// One of the program's logs.
#[derive(Debug, Clone)]
pub struct LogStatus {
    /// `events`, `ledger`, `journal`.
    pub name: &'static str,
    /// Its statistics.
    pub stats: LogStats,
}

/// The state of one broker.
#[derive(Debug, Clone)]
pub struct BrokerSeen {
    /// The name of its zone; empty without zones.
    pub zone: String,
    /// Host and port.
    pub broker: String,
    /// The state of the connection.
    pub status: BrokerStatus,
}

/// The state of the program.
#[derive(Debug, Clone)]
pub struct Status {
    /// When it was started, in microseconds since 1970.
    pub started_us: u64,
    /// Its logs.
    pub logs: Vec<LogStatus>,
    /// The directory of the logs.
    pub data_dir: String,
    /// Free bytes on its disk; `None` if the file system does not report them.
    pub free_bytes: Option<u64>,
    /// The brokers, in the order of the configuration.
    pub brokers: Vec<BrokerSeen>,
    /// Events of unknown accounts.
    pub unknown: UnknownCounts,
    /// The sync with a KAZOO, if there is one.
    pub sync: Option<SyncStatus>,
}

/// The result of applying retention to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The log.
    pub name: &'static str,
    /// Its oldest offset before and after, or the reason of a failure.
    pub first: Result<(u64, u64), String>,
}

/// The first event of the system that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeStart {
    /// The next event; in a handover, the first one that waits.
    Here,
    /// The event at this offset.
    Offset(EventOffset),
    /// The first event received at this time or later, in microseconds since 1970.
    TimeUs(u64),
}

/// Why the mode was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeRefusal {
    /// The new mode cannot follow the present one. The text says which can.
    #[error("{0}")]
    Impossible(String),
    /// The change failed.
    #[error("{0}")]
    Unavailable(String),
}

/// The events that wait in a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The first of them.
    pub from: EventOffset,
    /// Their number.
    pub count: u64,
}

/// The present mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeStatus {
    /// The mode.
    pub mode: Mode,
    /// The mode in the configuration.
    pub configured: Mode,
    /// When the mode was last changed, in microseconds since 1970; `None`: never.
    pub since_us: Option<u64>,
    /// The offsets at which the owner of events changes.
    pub borders: Vec<Border>,
    /// In a handover, the events that wait for a decision.
    pub held: Option<Held>,
}

/// The flow of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// The start of the minute, in microseconds since 1970.
    pub at_us: u64,
    /// Events received.
    pub received: u64,
    /// Successful deliveries.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// The flow of the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour {
    /// Its minutes, oldest first, without those before the program's start.
    pub minutes: Vec<Flow>,
    /// The last 60 seconds.
    pub last: Flow,
}

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `key` or `section.key`.
    pub key: String,
    /// Its value without secrets; null if it is not set.
    pub value: Value,
    /// Whether it differs from the default.
    pub changed: bool,
    /// Whether a running program can reload it.
    pub reloadable: bool,
}

/// The visitor of a page that needs no account's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// An operator's tool: it sees accounts, hooks, addresses and reasons.
    Known,
    /// Anybody else: they see totals, and names of faults.
    Stranger,
}

/// The program, for operators.
pub trait Operator: Send + Sync {
    /// The page of metrics.
    fn metrics(&self, to: Visitor) -> Answer<'_, String>;
    /// The state without queues and health. Fast.
    fn status(&self) -> Answer<'_, Status>;
    /// The state of all queues. The error is for the log.
    fn survey(&self) -> Answer<'_, Result<Survey, String>>;
    /// The flow of the last hour.
    fn hour(&self) -> Hour;
    /// The segments of a log, oldest first; `None` for an unknown log.
    fn segments(&self, log: &str) -> Option<Vec<SegmentRange>>;
    /// The present configuration, every key, without secrets.
    fn configuration(&self) -> Answer<'_, Vec<Setting>>;
    /// Applies retention to every log that has it.
    fn retain(&self) -> Answer<'_, Vec<Retained>>;
    /// The mode of deliveries beside a running KAZOO.
    fn mode(&self) -> Answer<'_, ModeStatus>;
    /// Changes the mode. The change is durable and in effect when this returns.
    fn change_mode(
        &self,
        to: Mode,
        start: ModeStart,
        by: Option<Actor>,
    ) -> Answer<'_, Result<ModeStatus, ModeRefusal>>;
}
