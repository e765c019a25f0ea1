//! A filter of events, for replays and searches.

use serde::{Deserialize, Serialize};

use super::{AccountId, Event, Family};

/// A filter on the headers of events. An event passes when it matches all fields; it matches a field when the field
/// is empty or contains its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// Families under which hooks can ask for the event; a fax notification has two.
    #[serde(rename = "hook_events", alias = "families")]
    pub families: Vec<Family>,
    /// `Event-Name`: `CHANNEL_CREATE`, `voicemail_new`, `doc_edited`.
    #[serde(rename = "event_names")]
    pub names: Vec<String>,
    /// Subjects: id of the call, document, fax or message.
    pub subjects: Vec<String>,
    /// `Msg-ID`.
    pub msg_ids: Vec<String>,
    /// Accounts of the events; for hooks that include descendants.
    #[serde(rename = "account_ids")]
    pub accounts: Vec<AccountId>,
}

impl EventFilter {
    /// Whether every event passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event passes; `families` are those under which hooks may ask for it.
    pub fn chooses(&self, event: &Event<'_>, mut families: impl Iterator<Item = Family>) -> bool {
        let named = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| one == text);
        (self.accounts.is_empty() || event.account.is_some_and(|account| self.accounts.contains(&account)))
            && named(&self.names, event.name)
            && named(&self.subjects, event.subject)
            && named(&self.msg_ids, event.msg_id)
            && (self.families.is_empty() || families.any(|family| self.families.contains(&family)))
    }
}
