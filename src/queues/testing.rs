//! Hooks for the unit tests of the queues.

use crate::model::{Family, Format, Hook, Id, Trigger};

/// A plain enabled hook of account 1 for `channel_create`.
pub(super) fn hook(id: u128) -> Hook {
    let trigger = Trigger::Family(Family::ChannelCreate);
    Hook { format: Format::Json, ..Hook::new(Id(id), Id(1), trigger, "http://127.0.0.1/".to_owned()) }
}
