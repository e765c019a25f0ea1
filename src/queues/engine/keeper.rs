//! The keeper: the task that writes the engines' decisions to the state. A hook is disabled with a reason, or enabled again; a
//! replay has ended.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::Hook;
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Kind, State};

/// A decision of an engine.
#[derive(Debug, Clone)]
pub enum Action {
    /// The hook kept failing.
    Disable {
        /// The hook.
        hook: Arc<Hook>,
        /// The `disable_reason` of its document.
        reason: &'static str,
    },
    /// The hook's recovery probe was delivered.
    Enable {
        /// The hook.
        hook: Arc<Hook>,
    },
    /// A replay has ended; the job says how.
    ReplayEnded(Arc<ReplayJob>),
}

/// Writes decisions, one after the other. Each hook that was disabled is passed on to `disabled`, whose receiver publishes
/// KAZOO's `webhook_disabled`. Ends when all engines have ended.
pub async fn keep(state: State, mut actions: mpsc::Receiver<Action>, disabled: mpsc::Sender<Arc<Hook>>) {
    while let Some(action) = actions.recv().await {
        let (hook, reason) = match &action {
            Action::Disable { hook, reason } => (hook, Some(*reason)),
            Action::Enable { hook } => (hook, None),
            Action::ReplayEnded(job) => {
                note_end(&state, job).await;
                continue;
            }
        };
        let updated = match reason {
            Some(reason) => state.disable_hook(hook.id, reason).await,
            None => state.enable_hook(hook.id).await,
        };
        // A hook that was deleted meanwhile, or a journal without room. The ledger still has the failures.
        if let Err(error) = updated {
            tracing::error!(hook_id = %hook.id, %error, "hook could not be updated; after a restart it is as it was before");
        } else if reason.is_some() && disabled.try_send(hook.clone()).is_err() {
            // Dropped rather than waited for: the decisions of other hooks must not wait for the broker.
            tracing::warn!(hook_id = %hook.id, "webhook_disabled notification dropped: too many are waiting");
        }
    }
}

async fn note_end(state: &State, job: &ReplayJob) {
    let doc = job.document();
    // The document may have been changed meanwhile, so only the fields of the job are written.
    let written = state.update(Kind::Replay, &job.id.to_string(), move |document| document.extend(doc)).await;
    if let Err(error) = written {
        tracing::error!(replay_id = %job.id, %error, "end of a replay could not be written; the replay runs again after a restart");
    }
}
