//! Prints what the queues do: a hook is disabled, probed, enabled again, and catches up.

use std::collections::HashMap;
use std::time::Duration;

use super::say;
use crate::model::{HookId, QueueState};
use crate::queues::Queues;
use crate::state::State;

/// Watches every hook's queue and prints what changes.
pub(super) async fn tell(state: &State, queues: &Queues) {
    let mut seen: HashMap<HookId, bool> = HashMap::new();
    let mut behind: HashMap<HookId, bool> = HashMap::new();
    loop {
        for hook in state.all_hooks() {
            let Ok(Some(status)) = queues.status(hook.id).await else { continue };
            let disabled = status.state == QueueState::AutoDisabled;
            let waiting = status.waiting;
            match (seen.insert(hook.id, disabled).unwrap_or(false), disabled) {
                (false, true) => {
                    let reason = status.disable_reason.unwrap_or_default();
                    say("queue", &format!("{} is DISABLED: {reason}. {waiting} wait in order", hook.name));
                    behind.insert(hook.id, true);
                }
                (true, false) => {
                    say(
                        "queue",
                        &format!("{} is ENABLED again by its probe; {waiting} to catch up", hook.name),
                    );
                }
                (true, true) => {
                    say("queue", &format!("{} is disabled; {waiting} wait, none is lost", hook.name));
                }
                (false, false) if waiting == 0 && behind.remove(&hook.id).is_some() => {
                    say("queue", &format!("{} has CAUGHT UP, in order", hook.name));
                }
                (false, false) => {}
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
