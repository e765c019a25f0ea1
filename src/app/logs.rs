//! Opens the logs, each with the type of its offsets.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::disk::OsDisk;
use crate::log::{self, Appender, LogOptions, OpenedLog, ReaderOf, Writer};
use crate::model::Clock;

/// A log with the offsets `O`, open.
pub(super) struct Log<O> {
    pub(super) writer: Writer,
    pub(super) appender: Appender,
    pub(super) reader: ReaderOf<O>,
}

/// Opens a log. The caller says whose log it is, by the type of its offsets.
pub(super) fn open_log<O>(dir: &Path, options: LogOptions, clock: &Clock) -> anyhow::Result<Log<O>> {
    let opened = log::open(Arc::new(OsDisk), dir, options, clock.clone())
        .with_context(|| format!("log {}", dir.display()))?;
    let OpenedLog { writer, appender, reader, .. } = opened;
    tracing::debug!(dir = %dir.display(), end = reader.end(), "log open");
    Ok(Log { writer, appender, reader: ReaderOf::new(reader) })
}
