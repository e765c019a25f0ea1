//! What the program tells of itself: log lines on stderr, for people or for machines, and spans for a collector.
//! Secrets never reach either.

mod otlp;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::amqp;
use crate::config::{LogFormat, Telemetry};

pub use otlp::{ExportError, Exporter};

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.filter = {filter}: {reason}; for example \"info\" or \"info,switchhook::queues=debug\"")]
pub struct FilterError {
    filter: String,
    reason: String,
}

impl FilterError {
    /// What is wrong, for the log: no value of a key belongs there.
    #[must_use]
    pub fn without_value(&self) -> String {
        format!("telemetry.filter: {}", self.reason)
    }
}

/// Refuses what `start` would refuse.
pub fn check(options: &Telemetry) -> Result<(), FilterError> {
    filter(options).map(drop)
}

fn filter(options: &Telemetry) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(format!("{},{}", options.filter, amqp::QUIET))
        .map_err(|e| FilterError { filter: options.filter.clone(), reason: e.to_string() })
}

/// Starts logging; once for a process (a second call changes nothing).
pub fn start(options: &Telemetry) -> Result<(), FilterError> {
    let filter = filter(options)?;
    // Colours are for a terminal; a file or the system's journal gets plain text, and so does a person who sets
    // NO_COLOR (no-color.org) to anything but nothing.
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !no_colour;
    let lines =
        fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(true);
    // A terminal that was closed must not end a task: the complaint about the line would go there as well.
    let lines = lines.log_internal_errors(false);
    let started = match options.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    drop(started);
    Ok(())
}
