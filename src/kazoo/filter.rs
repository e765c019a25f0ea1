//! Decides from an event's header whether a hook wants the event. The router checks accounts.

use serde_json::Value;

use super::Object;
use super::catalogue::classic_fax;
use crate::model::{Event, Family, Hook, Trigger};

/// The families under which hooks may ask for this event, besides `all`: its own, and the classic one of a fax.
pub fn families_of(event: &Event<'_>) -> impl Iterator<Item = Family> + use<> {
    let family = if event.quarantine.is_some() { None } else { event.family };
    let classic = if family == Some(Family::Notifications) { classic_fax(event.name) } else { None };
    [family, classic].into_iter().flatten()
}

/// Whether the hook wants this event, by family, `custom_data` filter and internal legs.
///
/// An `all` hook is filtered only by internal legs. A callflow event goes only to its one-shot hook.
#[must_use]
pub fn wanted(hook: &Hook, event: &Event<'_>) -> bool {
    let Some(family) = event.family.filter(|_| event.quarantine.is_none()) else { return false };
    // A callflow's event contains its own target, so it must reach nobody else: not even an `all` hook.
    if hook.one_shot || family == Family::Callflow {
        return hook.one_shot && family == Family::Callflow;
    }
    if is_channel(family) && event.internal_leg && !hook.include_internal_legs {
        return false;
    }
    match hook.trigger {
        Trigger::All => true,
        Trigger::Family(asked) if asked == family => {
            passes_custom_data(hook.custom_data.as_deref(), family, event)
        }
        Trigger::Family(asked) => families_of(event).any(|f| f == asked),
    }
}

pub(super) fn is_channel(family: Family) -> bool {
    matches!(
        family,
        Family::ChannelCreate | Family::ChannelAnswer | Family::ChannelBridge | Family::ChannelDestroy
    )
}

fn passes_custom_data(custom: Option<&Object>, family: Family, event: &Event<'_>) -> bool {
    let Some(custom) = custom else { return true };
    match family {
        Family::Object => names(custom, "action", event.name) && names(custom, "type", event.detail),
        Family::Notifications => names(custom, "type", event.name),
        _ => true,
    }
}

fn names(custom: &Object, key: &str, value: &str) -> bool {
    custom.get(key).and_then(Value::as_str).is_some_and(|asked| asked == value || asked == "all")
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
