//! Answers operators: the page of metrics, the status, the queues, the segments.

use std::path::PathBuf;
use std::sync::Arc;

use super::broker::Watched;
use super::flow::Flows;
use super::mode::Modes;
use super::reload::Running;
use super::retention::Retention;
use super::scrape;
use crate::config;
use crate::disk::{Disk, OsDisk};
use crate::http::{
    self, Answer, Hour, LogStatus, ModeRefusal, ModeStart, ModeStatus, Retained, Setting, Status, Visitor,
};
use crate::ingest::Ingest;
use crate::live::Sessions;
use crate::log::{Reader, SegmentRange};
use crate::model::{Actor, Mode};
use crate::onboarding::sync::SyncWatch;
use crate::queues::{Queues, Survey};
use crate::telemetry::LostLines;

/// What the operators' endpoints read. Cheap to clone.
#[derive(Clone)]
pub(super) struct Operator {
    pub(super) data_dir: Arc<PathBuf>,
    pub(super) started_us: u64,
    /// All logs with their names.
    pub(super) logs: Vec<(&'static str, Reader)>,
    pub(super) ingest: Ingest,
    pub(super) queues: Queues,
    pub(super) flows: Flows,
    pub(super) sessions: Sessions,
    pub(super) brokers: Vec<Watched>,
    pub(super) retention: Retention,
    /// The most hooks that have their own time series in the metrics.
    pub(super) hook_series: usize,
    pub(super) lost_lines: LostLines,
    pub(super) modes: Modes,
    pub(super) running: Running,
    pub(super) synced: Option<SyncWatch>,
}

impl Operator {
    pub(super) fn free_bytes(&self) -> Option<u64> {
        OsDisk.free_bytes(&self.data_dir).ok()
    }

    fn now(&self) -> Status {
        let logs = self.logs.iter().map(|(name, log)| LogStatus { name, stats: log.stats() });
        Status {
            started_us: self.started_us,
            logs: logs.collect(),
            data_dir: self.data_dir.display().to_string(),
            free_bytes: self.free_bytes(),
            brokers: self.brokers.iter().map(Watched::seen).collect(),
            unknown: self.queues.unknown_counts(),
            sync: self.synced.as_ref().map(SyncWatch::now),
        }
    }
}

impl http::Operator for Operator {
    fn metrics(&self, to: Visitor) -> Answer<'_, String> {
        Box::pin(async move {
            let survey = self.queues.survey().await.inspect_err(|error| {
                tracing::warn!(%error, "the queues do not answer; the metrics are incomplete");
            });
            scrape::page(self, survey.ok(), to).into_text()
        })
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(std::future::ready(self.now()))
    }

    fn survey(&self) -> Answer<'_, Result<Survey, String>> {
        Box::pin(async move { self.queues.survey().await.map_err(|error| error.to_string()) })
    }

    fn hour(&self) -> Hour {
        self.flows.hour()
    }

    fn segments(&self, log: &str) -> Option<Vec<SegmentRange>> {
        self.logs.iter().find(|(name, _)| *name == log).map(|(_, log)| log.segments())
    }

    fn configuration(&self) -> Answer<'_, Vec<Setting>> {
        Box::pin(async move {
            let settings = self.running.lock().await.settings().into_iter();
            let shown = settings.map(|config::Setting { key, value, changed, reloadable }| Setting {
                key,
                value,
                changed,
                reloadable,
            });
            shown.collect()
        })
    }

    fn retain(&self) -> Answer<'_, Vec<Retained>> {
        Box::pin(self.retention.now())
    }

    fn mode(&self) -> Answer<'_, ModeStatus> {
        Box::pin(self.modes.status())
    }

    fn change_mode(
        &self,
        to: Mode,
        start: ModeStart,
        by: Option<Actor>,
    ) -> Answer<'_, Result<ModeStatus, ModeRefusal>> {
        Box::pin(self.modes.change(to, start, by))
    }
}
