//! Log lines on stderr, for people or machines, and spans for a collector. Neither ever contains a secret.

mod lines;
mod otlp;
mod ration;

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use self::lines::Lines;
use crate::amqp;
use crate::config::{LogFormat, Telemetry};
use crate::model::Clock;

pub use lines::LostLines;
pub use otlp::{ExportError, Exporter};

/// Time for writing the last lines when the program ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// An invalid filter.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.filter = {filter}: {reason}; for example \"info\" or \"info,switchhook::queues=debug\"")]
pub struct FilterError {
    filter: String,
    reason: String,
}

impl FilterError {
    /// The fault, for the log. The value itself is left out.
    #[must_use]
    pub fn without_value(&self) -> String {
        format!("telemetry.filter: {}", self.reason)
    }
}

/// Refuses options that `start` would refuse.
pub fn check(options: &Telemetry) -> Result<(), FilterError> {
    filter(options).map(drop)
}

fn filter(options: &Telemetry) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(format!("{},{}", options.filter, amqp::QUIET))
        .map_err(|e| FilterError { filter: options.filter.clone(), reason: e.to_string() })
}

/// Logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The writer thread could not be started.
    #[error(
        "the thread that writes log lines cannot be started: {0}; allow the program more threads or address space"
    )]
    Thread(io::Error),
}

/// Kept while the program runs. Dropping it writes the last lines, if they are read in time.
#[derive(Debug)]
pub struct Logging(Lines);

impl Logging {
    /// The number of log lines that were dropped because they were not read in time.
    #[must_use]
    pub fn lost_lines(&self) -> LostLines {
        self.0.lost()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts logging once per process; a second call changes nothing. After it, panics are logged as lines, because
/// the standard library's message would wait for stderr.
pub fn start(options: &Telemetry) -> Result<Logging, StartError> {
    let filter = filter(options)?;
    let to = Lines::start(io::stderr(), options.format, Clock::system()).map_err(StartError::Thread)?;
    // Colours only on a terminal; plain text for a file or the system's journal, and for people who set NO_COLOR
    // (no-color.org) to a non-empty value.
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !no_colour;
    let lines = fmt().with_env_filter(filter).with_writer(to.clone()).with_ansi(colours).with_target(true);
    // tracing-subscriber's message about a failed line would wait for stderr.
    let lines = lines.log_internal_errors(false);
    let started = match options.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(started);
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging(to))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let trace = std::backtrace::Backtrace::capture();
    let trace = (trace.status() == std::backtrace::BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(thread = thread.name(), trace, "a defect: {panic}");
}
