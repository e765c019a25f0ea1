//! The events that KAZOO publishes and hooks can ask for: exchanges, binding keys, and the family of each event.

use std::sync::LazyLock;

use super::notification_types::NOTIFICATION_TYPES;
use crate::model::Family;

/// A binding of our queue at the broker. All bindings together cover exactly what hooks and subscribers can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// A topic exchange of [`EXCHANGES`].
    pub exchange: &'static str,
    /// The binding key.
    pub routing_key: String,
}

/// The exchanges of events: topic, not durable, not auto-deleted, without arguments.
pub const EXCHANGES: [&str; 7] =
    ["callevt", "configuration", "notifications", "im", "conference", "faxes", "presence"];

/// Events that subscribers can ask for and hooks cannot.
const LIVE: [(&str, &str); 8] = [
    ("callevt", "call.CHANNEL_HOLD.*"),
    ("callevt", "call.CHANNEL_UNHOLD.*"),
    ("conference", "conference.event.#"),
    ("conference", "conference.command.*"),
    ("faxes", "fax.status.#"),
    ("presence", "dialog.*.*"),
    ("presence", "mwi_updates.*.*"),
    ("presence", "update.*.*"),
];

/// Call events that hooks can ask for, with their families.
const CALL_EVENTS: [(&str, Family); 7] = [
    ("CHANNEL_CREATE", Family::ChannelCreate),
    ("CHANNEL_ANSWER", Family::ChannelAnswer),
    ("CHANNEL_BRIDGE", Family::ChannelBridge),
    ("CHANNEL_DESTROY", Family::ChannelDestroy),
    ("PARK_PARKED", Family::Parking),
    ("PARK_RETRIEVED", Family::Parking),
    ("PARK_ABANDONED", Family::Parking),
];

static BINDINGS: LazyLock<Vec<Binding>> = LazyLock::new(|| {
    let calls = CALL_EVENTS.iter().map(|(name, _)| ("callevt", format!("call.{name}.*")));
    let objects = [("configuration", "#".to_owned())];
    let notifications =
        NOTIFICATION_TYPES.iter().map(|t| ("notifications", format!("notifications.{}", t.key)));
    // Hooks can ask only for inbound messages from outside, websocket clients for all; the route may be missing.
    let messages = ["sms.inbound.#", "sms.outbound.#", "mms.inbound.#", "mms.outbound.#"];
    let messages = messages.map(|key| ("im", key.to_owned()));
    let live = LIVE.map(|(exchange, key)| (exchange, key.to_owned()));
    calls
        .chain(objects)
        .chain(notifications)
        .chain(messages)
        .chain(live)
        .map(|(exchange, routing_key)| Binding { exchange, routing_key })
        .collect()
});

/// All bindings, for all families and all subscribers.
#[must_use]
pub fn bindings() -> &'static [Binding] {
    &BINDINGS
}

/// All values that `hook` may have in a hook document, sorted: `all` and the ids of the families.
#[must_use]
pub fn hook_ids() -> Vec<&'static str> {
    let mut ids: Vec<_> = std::iter::once("all").chain(Family::ALL.map(Family::id)).collect();
    ids.sort_unstable();
    ids
}

/// The facts that decide the family of an event.
pub(super) struct Kind<'a> {
    pub(super) category: &'a str,
    pub(super) name: &'a str,
    /// `Route-Type` of a message; empty without one.
    pub(super) route: &'a str,
    /// Whether the event names a document.
    pub(super) has_document: bool,
}

/// The base family of an event; `None` when no hook can ask for the event. A fax is a notification here.
pub(super) fn family(kind: &Kind<'_>) -> Option<Family> {
    match kind.category {
        "call_event" => CALL_EVENTS.iter().find(|(name, _)| *name == kind.name).map(|(_, family)| *family),
        // Changes of a whole type come through the same exchange but do not name a document.
        "configuration" => {
            (kind.has_document && !kind.name.starts_with("doc_type_update")).then_some(Family::Object)
        }
        "notification" if kind.name == "webhook" => Some(Family::Callflow),
        "notification" => {
            NOTIFICATION_TYPES.iter().any(|t| t.id == kind.name).then_some(Family::Notifications)
        }
        "sms" => offnet(kind).then_some(Family::Sms),
        "mms" => offnet(kind).then_some(Family::Mms),
        _ => None,
    }
}

fn offnet(kind: &Kind<'_>) -> bool {
    kind.name == "inbound" && (kind.route.is_empty() || kind.route.eq_ignore_ascii_case("offnet"))
}

/// The classic fax family to which a notification also belongs.
pub(super) fn classic_fax(notification: &str) -> Option<Family> {
    match notification {
        "inbound_fax" | "inbound_fax_error" => Some(Family::InboundFax),
        "outbound_fax" | "outbound_fax_error" => Some(Family::OutboundFax),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_bound_once() {
        let bindings = bindings();
        assert_eq!(bindings.len(), 7 + 1 + 38 + 4 + 8);
        let mut seen: Vec<_> = bindings.iter().map(|b| (b.exchange, b.routing_key.as_str())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), bindings.len());
        for expected in [
            ("callevt", "call.CHANNEL_BRIDGE.*"),
            ("callevt", "call.PARK_ABANDONED.*"),
            ("configuration", "#"),
            ("notifications", "notifications.account.zone_change"),
            ("notifications", "notifications.webhook.callflow"),
            ("im", "mms.outbound.#"),
        ] {
            assert!(seen.contains(&expected), "{expected:?}");
        }
        assert!(bindings.iter().all(|b| EXCHANGES.contains(&b.exchange)));
    }

    #[test]
    fn hook_ids_are_sorted_and_complete() {
        let ids = hook_ids();
        assert_eq!(ids.len(), 13);
        assert_eq!(ids.first(), Some(&"all"));
        assert!(ids.is_sorted());
    }

    #[test]
    fn an_event_has_the_family_that_hooks_name() {
        let of = |category, name, route, has_document| family(&Kind { category, name, route, has_document });
        assert_eq!(of("call_event", "CHANNEL_ANSWER", "", false), Some(Family::ChannelAnswer));
        assert_eq!(of("call_event", "CHANNEL_HOLD", "", false), None);
        assert_eq!(of("configuration", "doc_created", "", true), Some(Family::Object));
        assert_eq!(of("configuration", "doc_created", "", false), None);
        assert_eq!(of("configuration", "doc_type_update", "", true), None);
        assert_eq!(of("notification", "inbound_fax_error", "", false), Some(Family::Notifications));
        assert_eq!(of("notification", "webhook", "", false), Some(Family::Callflow));
        assert_eq!(of("notification", "voicemail_deleted", "", false), None);
        assert_eq!(of("sms", "inbound", "OffNet", false), Some(Family::Sms));
        assert_eq!(of("sms", "inbound", "onnet", false), None);
        assert_eq!(of("mms", "inbound", "", false), Some(Family::Mms));
        assert_eq!(of("mms", "outbound", "offnet", false), None);
    }
}
