//! The two changes of a hook that the program makes by itself, and people in bulk: off with a reason, on again.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted};
use super::handle::State;
use super::write::WriteError;
use crate::model::{AccountId, HookId};

impl State {
    /// Disables an enabled hook for a reason; leaves any other as it is. Answers the document as stored.
    pub async fn disable_hook(&self, hook: HookId, reason: &str) -> Result<Map<String, Value>, WriteError> {
        let reason = reason.to_owned();
        let disable = move |doc: &mut Map<String, Value>| {
            if !is_deleted(doc) && is_enabled(doc) {
                doc.insert("enabled".into(), false.into());
                doc.insert("pvt_disabled_message".into(), reason.into());
            }
        };
        self.update(Kind::Hook, &hook.to_string(), disable).await
    }

    /// Enables every hook of an account that the program disabled; how many.
    pub async fn enable_hooks_of(&self, account: AccountId) -> Result<usize, WriteError> {
        let mut count = 0;
        for doc in self.hooks_of(account)?.iter().filter(|doc| is_auto_disabled(doc)) {
            let id = doc.get("_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let Some(id) = id else { continue };
            match self.enable_hook(id).await {
                Ok(_) => count += 1,
                // Removed meanwhile.
                Err(WriteError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// The same for an account and all accounts below it.
    pub async fn enable_hooks_of_tree(&self, account: AccountId) -> Result<usize, WriteError> {
        let mut count = 0;
        for account in self.descendants(account).iter().map(|below| below.id).chain([account]) {
            count += self.enable_hooks_of(account).await?;
        }
        Ok(count)
    }

    /// Enables a hook that the program disabled; leaves one that a person disabled as it is.
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

/// Whether the program disabled the hook: off, with a reason.
#[must_use]
pub fn is_auto_disabled(doc: &Map<String, Value>) -> bool {
    !is_deleted(doc) && !is_enabled(doc) && doc.contains_key("pvt_disabled_message")
}

/// On unless it says otherwise; legacy documents may say it as a text.
fn is_enabled(doc: &Map<String, Value>) -> bool {
    !doc.get("enabled").is_some_and(|v| *v == false || *v == "false")
}
