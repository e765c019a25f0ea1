//! What the operator endpoints ask of the program, as one small trait.

use serde_json::Value;

use super::ports::Answer;
use crate::amqp::BrokerStatus;
use crate::log::{LogStats, SegmentRange};
use crate::model::{Actor, Border, Mode};
use crate::queues::{Survey, UnknownCounts};

/// One of the program's logs.
#[derive(Debug, Clone)]
pub struct LogStatus {
    /// `events`, `ledger`, `journal`.
    pub name: &'static str,
    /// In numbers.
    pub stats: LogStats,
}

/// One of the brokers at one moment.
#[derive(Debug, Clone)]
pub struct BrokerSeen {
    /// The name of its zone; empty when zones have none.
    pub zone: String,
    /// Host and port.
    pub broker: String,
    /// How it stands with it.
    pub status: BrokerStatus,
}

/// The program at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// When it was started, microseconds since 1970.
    pub started_us: u64,
    /// Its logs.
    pub logs: Vec<LogStatus>,
    /// Where they lie.
    pub data_dir: String,
    /// Free bytes there; `None` when the file system does not say.
    pub free_bytes: Option<u64>,
    /// The brokers, in the order of the configuration.
    pub brokers: Vec<BrokerSeen>,
    /// Events of accounts that are not known.
    pub unknown: UnknownCounts,
}

/// What an order to apply retention came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The log.
    pub name: &'static str,
    /// Its oldest offset before and after; or why nothing was dropped.
    pub first: Result<(u64, u64), String>,
}

/// Which event is the first of the system that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeStart {
    /// The next one; in a handover, the first that waits.
    Here,
    /// The one at this offset.
    Offset(u64),
    /// The first one received at this time or later, microseconds since 1970.
    TimeUs(u64),
}

/// Why the mode is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeRefusal {
    /// It cannot follow the one before; the text says what can.
    #[error("{0}")]
    Impossible(String),
    /// It could not be changed just now.
    #[error("{0}")]
    Unavailable(String),
}

/// The mode at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeStatus {
    /// The mode.
    pub mode: Mode,
    /// What the configuration says.
    pub configured: Mode,
    /// When it was changed last, microseconds since 1970; `None`: never.
    pub since_us: Option<u64>,
    /// Whose events are from which offset on.
    pub borders: Vec<Border>,
    /// The first event that waits until it is said whose it is, and how many wait.
    pub held: Option<(u64, u64)>,
}

/// What went through the program within one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// When it began, microseconds since 1970.
    pub at_us: u64,
    /// Events that came in.
    pub received: u64,
    /// Deliveries that were made.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// What went through the program within the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour {
    /// Its minutes, oldest first; none before the program was started.
    pub minutes: Vec<Flow>,
    /// The last 60 seconds.
    pub last: Flow,
}

/// One key of the configuration in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `key` or `section.key`.
    pub key: String,
    /// Its value without secrets; null where nothing is set.
    pub value: Value,
    /// Whether it differs from the default.
    pub changed: bool,
    /// Whether a running program takes a new value.
    pub reloadable: bool,
}

/// Who asks for a page that needs no token of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// The operator's tools: they see which accounts, hooks and addresses a number or a reason is about.
    Known,
    /// Anybody: they see totals, and that something is wrong.
    Stranger,
}

/// The program, for its operator.
pub trait Operator: Send + Sync {
    /// The page of a scrape.
    fn metrics(&self, to: Visitor) -> Answer<'_, String>;
    /// Everything but queues and health; quick.
    fn status(&self) -> Answer<'_, Status>;
    /// All queues; the error is for the log.
    fn survey(&self) -> Answer<'_, Result<Survey, String>>;
    /// What went through the program within the last hour.
    fn hour(&self) -> Hour;
    /// The segments of a log, oldest first; `None`: there is no such log.
    fn segments(&self, log: &str) -> Option<Vec<SegmentRange>>;
    /// The configuration in force, every key, without secrets.
    fn configuration(&self) -> Answer<'_, Vec<Setting>>;
    /// Applies retention to every log that has some.
    fn retain(&self) -> Answer<'_, Vec<Retained>>;
    /// What becomes of deliveries beside a running KAZOO.
    fn mode(&self) -> Answer<'_, ModeStatus>;
    /// Changes that, durably; it holds when this is answered.
    fn change_mode(
        &self,
        to: Mode,
        start: ModeStart,
        by: Option<Actor>,
    ) -> Answer<'_, Result<ModeStatus, ModeRefusal>>;
}
