//! Which events somebody looks for: in a replay, or in a search.

use serde::{Deserialize, Serialize};

use super::{AccountId, Event, Family};

/// A choice of events by what their headers say. An empty part allows everything; of several values of one part
/// any one is enough, and all parts must be met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Families, as hooks ask for them; a fax's notification is of two.
    #[serde(rename = "hook_events", alias = "families")]
    pub families: Vec<Family>,
    /// `Event-Name`: `CHANNEL_CREATE`, `voicemail_new`, `doc_edited`.
    #[serde(rename = "event_names")]
    pub names: Vec<String>,
    /// What ordering is kept within: call, document, fax or message id.
    pub subjects: Vec<String>,
    /// `Msg-ID`.
    pub msg_ids: Vec<String>,
    /// The events' own accounts; for hooks that get those of descendants.
    #[serde(rename = "account_ids")]
    pub accounts: Vec<AccountId>,
}

impl EventFilter {
    /// Whether everything is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event is chosen; `families` are those under which hooks may ask for it.
    pub fn chooses(&self, event: &Event<'_>, mut families: impl Iterator<Item = Family>) -> bool {
        let named = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| one == text);
        (self.accounts.is_empty() || event.account.is_some_and(|account| self.accounts.contains(&account)))
            && named(&self.names, event.name)
            && named(&self.subjects, event.subject)
            && named(&self.msg_ids, event.msg_id)
            && (self.families.is_empty() || families.any(|family| self.families.contains(&family)))
    }
}
