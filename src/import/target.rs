//! The target of an import: a data directory that no program uses, or a running program.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::app::Stopped;
use crate::config::Config;
use crate::model::{AccountId, Clock};
use crate::onboarding::{self, Here as _, LogEnds, Outcome, Plan, Reading, Rules, Snapshot};
use crate::remote::Remote;
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
        let opened = opened.context(
            "to import into the program that uses this data_dir, give its address: --into http://127.0.0.1:8000",
        );
        Ok(Self::Stopped(Box::new(opened?)))
    }

    pub(super) async fn remote(address: &str, key: &str) -> anyhow::Result<Self> {
        let remote = Remote::log_in(address, key).await?;
        let mut shown = Snapshot { master: remote.account, ..Snapshot::default() };
        let query = [("paginate", "false".to_owned()), ("is_chunked", "true".to_owned())];
        let answer = remote.get("admin/import", &query).await?;
        for row in answer.as_array().into_iter().flatten() {
            let kind: Kind = serde_json::from_value(row.get("kind").cloned().unwrap_or_default())?;
            let (Some(id), Some(doc)) =
                (row.get("id").and_then(Value::as_str), row.get("document").and_then(Value::as_object))
            else {
                continue;
            };
            shown.documents.insert((kind, id.to_owned()), doc.clone());
        }
        Ok(Self::Running(Box::new(remote), shown))
    }

    pub(super) fn master(&self) -> AccountId {
        match self {
            Self::Stopped(stopped) => stopped.state.settings().master,
            Self::Running(_, shown) => shown.master,
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

    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Stopped(stopped) => stopped.close().await,
            Self::Running(..) => Ok(()),
        }
    }
}
