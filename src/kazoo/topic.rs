//! The topic of an event, with which subscribers' patterns are compared: its place in the grammar of KAZOO's routing
//! keys (`docs/kazoo/amqp.md#keys-of-events`, `docs/kazoo/websockets.md#bindings`). The event's header is enough;
//! only for conference events that came without a routing key the body must be read.

use super::notification_types::NOTIFICATION_TYPES;
use super::{account_database, encode_segment, facts};
use crate::model::Event;

/// Call events to which clients can subscribe, in KAZOO's order.
pub const CALL_EVENTS: [&str; 9] = [
    "CHANNEL_CREATE",
    "CHANNEL_ANSWER",
    "CHANNEL_DESTROY",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_BRIDGE",
    "PARK_PARKED",
    "PARK_RETRIEVED",
    "PARK_ABANDONED",
];
/// Events of a text or picture message.
pub const MESSAGE_EVENTS: [&str; 2] = ["inbound", "outbound"];
/// KAZOO's types of documents to whose changes clients can subscribe.
pub(super) const OBJECT_TYPES: [&str; 10] = [
    "account",
    "callflow",
    "device",
    "faxbox",
    "media",
    "user",
    "vmbox",
    "fax",
    "mailbox_message",
    "call_recording",
];
/// Events of a document.
pub const OBJECT_ACTIONS: [&str; 3] = ["doc_created", "doc_edited", "doc_deleted"];

/// Kinds of topics, with their segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// Event, call.
    Call,
    /// Event, conference, call (the conference again for events of the room).
    ConferenceEvent,
    /// Conference.
    ConferenceCommand,
    /// Fax.
    Fax,
    /// Action, type, document.
    Object,
    /// Package, call or user.
    Presence,
    /// Type.
    Notification,
    /// `sms` or `mms`, event, message.
    Message,
}

/// The topic of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// The kind.
    pub kind: TopicKind,
    /// The segments with which patterns are compared, encoded as in routing keys.
    pub segments: Vec<String>,
    /// The full routing key: from the broker, or built in the same way. For calls always built, with the account.
    pub routing_key: String,
    /// The database of an object, the encoded realm of a presence, the account of the rest.
    pub place: String,
}

impl Topic {
    /// The topic of an event; `None` when clients cannot subscribe to the event.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Option<Self> {
        if event.quarantine.is_some() {
            return None;
        }
        match (event.category, event.name) {
            ("call_event", name) if CALL_EVENTS.contains(&name) => Some(call(event)),
            ("conference", "event") => Some(conference(event)),
            ("conference", "command") => Some(command(event)),
            ("fax", "status") => Some(fax(event)),
            ("configuration", action) if OBJECT_ACTIONS.contains(&action) => Some(object(event)),
            ("notification", name) => notification(event, name),
            ("sms" | "mms", name) if MESSAGE_EVENTS.contains(&name) => Some(message(event)),
            ("presence", "dialog_update") => Some(presence(event, "dialog")),
            ("presence", "mwi_update") => Some(presence(event, "mwi_updates")),
            ("presence", "update") => Some(presence(event, "update")),
            _ => None,
        }
    }
}

fn account(event: &Event<'_>) -> String {
    event.account.map_or_else(|| "undefined".to_owned(), |account| account.to_string())
}

fn call(event: &Event<'_>) -> Topic {
    let (account, call) = (account(event), encode_segment(event.subject));
    Topic {
        kind: TopicKind::Call,
        routing_key: format!("call.{account}.{}.{call}", event.name),
        segments: vec![event.name.to_owned(), call],
        place: account,
    }
}

fn conference(event: &Event<'_>) -> Topic {
    let (account, conference) = (account(event), event.subject);
    let last = event.routing_key.strip_prefix("conference.event.").and_then(|key| key.rsplit('.').next());
    let call = last.map_or_else(
        || {
            let call = facts(event.body).ok().and_then(|facts| facts.call_id);
            encode_segment(call.as_deref().unwrap_or(conference))
        },
        str::to_owned,
    );
    Topic {
        kind: TopicKind::ConferenceEvent,
        routing_key: own_key(event)
            .unwrap_or_else(|| format!("conference.event.{}.{account}.{conference}.{call}", event.detail)),
        segments: vec![event.detail.to_owned(), conference.to_owned(), call],
        place: account,
    }
}

fn command(event: &Event<'_>) -> Topic {
    Topic {
        kind: TopicKind::ConferenceCommand,
        routing_key: own_key(event).unwrap_or_else(|| format!("conference.command.{}", event.subject)),
        segments: vec![event.subject.to_owned()],
        place: account(event),
    }
}

fn fax(event: &Event<'_>) -> Topic {
    let (account, fax) = (account(event), encode_segment(event.subject));
    Topic {
        kind: TopicKind::Fax,
        routing_key: own_key(event).unwrap_or_else(|| format!("fax.status.{account}.{fax}")),
        segments: vec![fax],
        place: account,
    }
}

fn object(event: &Event<'_>) -> Topic {
    let id = encode_segment(event.subject);
    let database = event
        .routing_key
        .split('.')
        .nth(1)
        .map_or_else(|| event.account.map_or_else(|| "accounts".to_owned(), account_database), str::to_owned);
    Topic {
        kind: TopicKind::Object,
        routing_key: own_key(event)
            .unwrap_or_else(|| format!("{}.{database}.{}.{id}", event.name, event.detail)),
        segments: vec![event.name.to_owned(), event.detail.to_owned(), id],
        place: database,
    }
}

fn presence(event: &Event<'_>, package: &str) -> Topic {
    let (realm, id) = (encode_segment(event.detail), encode_segment(event.subject));
    Topic {
        kind: TopicKind::Presence,
        routing_key: own_key(event).unwrap_or_else(|| format!("{package}.{realm}.{id}")),
        segments: vec![package.to_owned(), id],
        place: realm,
    }
}

fn notification(event: &Event<'_>, name: &str) -> Option<Topic> {
    let known = NOTIFICATION_TYPES.iter().find(|known| known.id == name)?;
    Some(Topic {
        kind: TopicKind::Notification,
        routing_key: own_key(event).unwrap_or_else(|| format!("notifications.{}", known.key)),
        segments: vec![name.to_owned()],
        place: account(event),
    })
}

fn message(event: &Event<'_>) -> Topic {
    let (category, id) = (event.category, encode_segment(event.subject));
    Topic {
        kind: TopicKind::Message,
        routing_key: own_key(event).unwrap_or_else(|| format!("{category}.{}.offnet.{id}", event.name)),
        segments: vec![category.to_owned(), event.name.to_owned(), id],
        place: account(event),
    }
}

fn own_key(event: &Event<'_>) -> Option<String> {
    (!event.routing_key.is_empty()).then(|| event.routing_key.to_owned())
}

#[cfg(test)]
#[path = "topic_tests.rs"]
mod tests;
