//! The two changes of a hook that the program makes itself: disabling it with a reason, and enabling it again. People
//! can enable hooks in bulk.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted, is_enabled};
use super::handle::State;
use super::write::WriteError;
use crate::model::{AccountId, HookId};

impl State {
    /// Disables a hook that is enabled, with a reason. Returns the document as stored.
    pub async fn disable_hook(&self, hook: HookId, reason: &str) -> Result<Map<String, Value>, WriteError> {
        let reason = reason.to_owned();
        let disable = move |doc: &mut Map<String, Value>| {
            // Checked in the owner task: a person may have disabled the hook meanwhile, and then this must not
            // look like a failure.
            if !is_deleted(doc) && is_enabled(doc) {
                doc.insert("enabled".into(), false.into());
                doc.insert("pvt_disabled_message".into(), reason.into());
            }
        };
        self.update(Kind::Hook, &hook.to_string(), disable).await
    }

    /// Enables all hooks of an account that the program disabled. Returns their number.
    pub async fn enable_hooks_of(&self, account: AccountId) -> Result<usize, WriteError> {
        let mut count = 0;
        for doc in self.hooks_of(account)?.iter().filter(|doc| is_auto_disabled(doc)) {
            let id = doc.get("_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let Some(id) = id else { continue };
            // One write for each hook: the owner task checks the stored document again, because a person may have
            // disabled the hook since it was read.
            match self.enable_hook(id).await {
                Ok(_) => count += 1,
                // The hook was deleted meanwhile.
                Err(WriteError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Enables the hooks that the program disabled in an account and in all accounts below it. Returns their number.
    pub async fn enable_hooks_of_tree(&self, account: AccountId) -> Result<usize, WriteError> {
        let mut count = 0;
        for account in self.descendants(account).iter().map(|below| below.id).chain([account]) {
            count += self.enable_hooks_of(account).await?;
        }
        Ok(count)
    }

    /// Enables a hook that the program disabled. A hook that a person disabled stays disabled.
    pub async fn enable_hook(&self, hook: HookId) -> Result<Map<String, Value>, WriteError> {
        self.update(Kind::Hook, &hook.to_string(), enable).await
    }
}

fn enable(doc: &mut Map<String, Value>) {
    if is_auto_disabled(doc) {
        doc.insert("enabled".into(), true.into());
        doc.shift_remove("pvt_disabled_message");
    }
}

/// Whether a hook that is enabled skips earlier events. True for one that a person disabled, unless its `resume` is
/// `held`. A hook that the program disabled continues where it stopped.
#[must_use]
pub fn starts_from_now(stored: &Map<String, Value>, doc: &Map<String, Value>) -> bool {
    let is_off = |doc: &Map<String, Value>| doc.get("enabled").is_some_and(|v| *v == false || *v == "false");
    let held = doc.get("resume").is_some_and(|v| *v == "held");
    is_off(stored) && !is_auto_disabled(stored) && !is_off(doc) && !held
}

/// Whether the program disabled the hook: it is off and has a reason.
#[must_use]
pub fn is_auto_disabled(doc: &Map<String, Value>) -> bool {
    !is_deleted(doc) && !is_enabled(doc) && doc.contains_key("pvt_disabled_message")
}
