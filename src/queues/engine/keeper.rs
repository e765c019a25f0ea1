//! Writes into the state what the queues decide about hooks: disabled with a reason, enabled again.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::Hook;
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Kind, State};

/// A decision of the queues.
#[derive(Debug, Clone)]
pub enum Action {
    /// The hook kept failing.
    Disable {
        /// The hook.
        hook: Arc<Hook>,
        /// Shown as `disable_reason`.
        reason: &'static str,
    },
    /// Its recovery probe was delivered.
    Enable {
        /// The hook.
        hook: Arc<Hook>,
    },
    /// A replay has ended; its document says how.
    ReplayEnded(Arc<ReplayJob>),
}

/// Carries decisions out, one after the other; passes each disabled hook on to `disabled`, whose receiver
/// publishes KAZOO's `webhook_disabled`. Ends when the engine has dropped its end.
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
        if let Err(error) = updated {
            tracing::error!(hook_id = %hook.id, %error, "hook could not be updated; it is as it was after a restart");
        } else if reason.is_some() && disabled.try_send(hook.clone()).is_err() {
            tracing::warn!(hook_id = %hook.id, "webhook_disabled notification dropped: too many are waiting");
        }
    }
}

async fn note_end(state: &State, job: &ReplayJob) {
    let doc = job.document();
    let kept = state.update(Kind::Replay, &job.id.to_string(), move |kept| kept.extend(doc)).await;
    if let Err(error) = kept {
        tracing::error!(replay_id = %job.id, %error, "replay's end could not be kept; it runs again after a restart");
    }
}
