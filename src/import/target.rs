//! The target of an import: a data directory that no program uses, or a running program.

use anyhow::Context as _;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::app::{DataDirError, Stopped};
use crate::config::Config;
use crate::model::{AccountId, Clock, Mode};
use crate::onboarding::{self, Here as _, LogEnds, Outcome, Plan, Reading, Rules, Snapshot};
use crate::remote::{Remote, local};
use crate::state::{Kind, Mirror, MirroredBy, TreeError};

/// The target that documents are compared with and written to.
pub(super) enum Target {
    /// A data directory.
    Stopped(Box<Stopped>),
    /// The API of a running program, and the documents that it had at the beginning.
    Running(Box<Remote>, Snapshot),
}

impl Target {
    pub(super) async fn stopped(config: &Config, master: AccountId) -> anyhow::Result<Self> {
        let opened = Stopped::open(config, Clock::system(), Some(master)).await;
        let opened = opened.map_err(|error| {
            if !matches!(error.downcast_ref(), Some(DataDirError::InUse(_))) {
                return error;
            }
            let address = local(config.http.listen);
            error.context(format!(
                "to import into the program that uses this data_dir, give its address: --into {address}"
            ))
        });
        Ok(Self::Stopped(Box::new(opened?)))
    }

    pub(super) async fn remote(address: &str, key: &str) -> anyhow::Result<Self> {
        let remote = Remote::log_in(address, key).await?;
        let mut shown = Snapshot::of(remote.account);
        let take = |row: Map<String, Value>| {
            let kind = row.get("kind").and_then(|kind| Kind::deserialize(kind).ok());
            let (id, doc) = (row.get("id").and_then(Value::as_str), row.get("document"));
            if let (Some(kind), Some(id), Some(doc)) = (kind, id, doc.and_then(Value::as_object)) {
                shown.put(kind, id, doc);
            }
            Ok(())
        };
        remote.each_row("admin/import", &[], take).await?;
        Ok(Self::Running(Box::new(remote), shown))
    }

    pub(super) fn master(&self) -> AccountId {
        match self {
            Self::Stopped(stopped) => stopped.state.settings().master,
            Self::Running(_, shown) => shown.master(),
        }
    }

    pub(super) fn plan(&self, reading: &Reading, rules: &Rules) -> anyhow::Result<Plan> {
        Ok(match self {
            Self::Stopped(stopped) => onboarding::plan(reading, &stopped.state, rules)?,
            Self::Running(_, shown) => onboarding::plan(reading, shown, rules)?,
        })
    }

    /// The number of imported documents of a kind.
    pub(super) fn mirrored(&self, kind: Kind) -> anyhow::Result<usize> {
        Ok(match self {
            Self::Stopped(stopped) => stopped.state.mirrored(kind)?.len(),
            Self::Running(_, shown) => shown.mirrored(kind)?.len(),
        })
    }

    pub(super) async fn put(&self, changes: Vec<Mirror>) -> anyhow::Result<Outcome> {
        match self {
            Self::Stopped(stopped) => {
                let places = LogEnds { events: stopped.events_end, ledger: stopped.ledger_end };
                Ok(onboarding::put(&stopped.state, MirroredBy::Import, changes, &places).await?)
            }
            Self::Running(remote, _) => {
                let answer = remote.post("admin/import", &json!({"changes": changes})).await?;
                serde_json::from_value(answer).context("the program's response to the changes")
            }
        }
    }

    /// Deletes a document. Returns the reason if it stays.
    pub(super) async fn delete(&self, kind: Kind, id: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Stopped(stopped) => match stopped.state.mirror_gone(kind, id, MirroredBy::Import).await {
                Ok(()) => Ok(None),
                Err(TreeError::HasDescendants(_)) => Ok(Some("it has child accounts here".to_owned())),
                Err(error) => Err(error.into()),
            },
            Self::Running(remote, _) => {
                let answer = remote.post("admin/import", &json!({"gone": {"kind": kind, "id": id}})).await?;
                let outcome: Outcome = serde_json::from_value(answer)?;
                Ok(outcome.refused.into_iter().next().map(|odd| odd.text))
            }
        }
    }

    /// The mode of the program: in which it runs, or will start.
    pub(super) async fn mode(&self, config: &Config) -> anyhow::Result<Mode> {
        match self {
            Self::Stopped(stopped) => stopped.mode(config),
            Self::Running(remote, _) => {
                let answer = remote.get("admin/mode", &[]).await?;
                let mode = answer.get("mode").map(Mode::deserialize).context("the program names no mode")?;
                Ok(mode?)
            }
        }
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Stopped(stopped) => stopped.close().await,
            Self::Running(..) => Ok(()),
        }
    }
}
