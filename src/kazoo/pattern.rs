//! The pattern of a client's binding, read in all spellings that any version of KAZOO or its user interface sends
//! (`docs/kazoo/websockets.md#bindings`,
//! `docs/kazoo/classic.md#generations-of-websocket-frames`), and compared with the topics of events.

use super::notification_types::NOTIFICATION_TYPES;
use super::topic::{CALL_EVENTS, MESSAGE_EVENTS, OBJECT_ACTIONS, OBJECT_TYPES, Topic, TopicKind};
use super::{decode_segment, encode_segment};
use crate::model::AccountId;

/// Types of documents to which clients can subscribe: KAZOO's, and the webhooks of this program.
pub fn object_types() -> impl Iterator<Item = &'static str> {
    OBJECT_TYPES.into_iter().chain(["webhook"])
}

/// Types of notifications to which clients can subscribe.
pub fn notification_types() -> impl Iterator<Item = &'static str> {
    NOTIFICATION_TYPES.iter().map(|known| known.id)
}

/// Events of a conference, in the order of KAZOO 4.3's listing.
pub const CONFERENCE_EVENTS: [&str; 12] = [
    "undeaf-member",
    "deaf-member",
    "unmute-member",
    "mute-member",
    "start-talking",
    "stop-talking",
    "del-member",
    "add-member",
    "unlock",
    "lock",
    "conference-destroy",
    "conference-create",
];
/// Presence packages.
pub const PRESENCE_PACKAGES: [&str; 3] = ["dialog", "mwi_updates", "update"];

/// Why a binding is refused; the texts are KAZOO's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The first segment is known, but the rest is malformed. Reported before the account is checked.
    #[error("{0}")]
    Invalid(String),
    /// No event is published under this binding. Reported after the account is checked.
    #[error("no available subscriptions to requested binding")]
    Unknown,
}

/// A parsed binding. A segment of `None` matches any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    kind: TopicKind,
    segments: Vec<Option<String>>,
    /// Matches only parking events among call events.
    only_parking: bool,
}

impl Pattern {
    fn new(kind: TopicKind, segments: Vec<Option<String>>) -> Self {
        Self { kind, segments, only_parking: false }
    }

    /// Parses a client's binding.
    pub fn parse(binding: &str) -> Result<Self, PatternError> {
        let segments: Vec<&str> = binding.split('.').collect();
        match segments.as_slice() {
            ["call", rest @ ..] => call(rest),
            ["conference", rest @ ..] => conference(rest),
            ["fax", rest @ ..] => fax(rest),
            ["object", rest @ ..] => match *rest {
                [action, type_] => object(action, type_, "*"),
                _ => Err(format_error("object", rest)),
            },
            ["notification", rest @ ..] => notification(rest),
            [kind @ ("sms" | "mms"), rest @ ..] => message(kind, rest),
            ["parking", rest @ ..] => parking(rest),
            ["presence"] => Err(format_error("presence", &[])),
            ["presence", rest @ ..] => presence(rest),
            [package, _] if PRESENCE_PACKAGES.contains(package) => presence(&segments),
            // KAZOO 3's spelling, with the database, which is always the account's own.
            [action, "*", type_, id] if *action == "*" || OBJECT_ACTIONS.contains(action) => {
                object(action, type_, id)
            }
            _ => Err(PatternError::Unknown),
        }
    }

    /// Whether the binding matches an event's topic. The caller checks the event's account.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        self.kind == topic.kind
            && (!self.only_parking || topic.segments.first().is_some_and(|event| is_parking(event)))
            && self.segments.len() == topic.segments.len()
            && self
                .segments
                .iter()
                .zip(&topic.segments)
                .all(|(asked, is)| asked.as_ref().is_none_or(|asked| asked == is))
    }

    /// Whether only admins may subscribe. A notification may contain access to an account, such as the link that sets
    /// a new password, and a message may contain the code of a second factor.
    #[must_use]
    pub fn is_for_admins(&self) -> bool {
        matches!(self.kind, TopicKind::Notification | TopicKind::Message)
    }

    /// The server's form of the binding under which an event was found. `account` is `None` for all accounts.
    #[must_use]
    pub fn subscription_key(&self, account: Option<AccountId>, topic: &Topic) -> String {
        let account = account.map_or_else(|| "*".to_owned(), |account| account.to_string());
        let place = if account == "*" { "*" } else { topic.place.as_str() };
        let segment = |at: usize| self.segments.get(at).and_then(Option::as_deref).unwrap_or("*");
        let event = topic.segments.first().map_or("*", String::as_str);
        match self.kind {
            TopicKind::Call => format!("call.{account}.{event}.{}", segment(1)),
            TopicKind::ConferenceEvent => {
                format!("conference.event.{}.{account}.{}.{}", segment(0), segment(1), segment(2))
            }
            TopicKind::ConferenceCommand => format!("conference.command.{}", segment(0)),
            TopicKind::Fax => format!("fax.status.{account}.{}", segment(0)),
            TopicKind::Object => format!("{}.{place}.{}.{}", segment(0), segment(1), segment(2)),
            TopicKind::Notification => format!("notification.{account}.{}", segment(0)),
            TopicKind::Message => format!("{event}.{account}.{}.{}", segment(1), segment(2)),
            TopicKind::Presence => format!("{}.{place}.{}", segment(0), segment(1)),
        }
    }
}

fn format_error(module: &str, rest: &[&str]) -> PatternError {
    PatternError::Invalid(format!("invalid format for {module} subscription : {}", rest.join(", ")))
}

fn not_supported(event: &str) -> PatternError {
    PatternError::Invalid(format!("event {event} not supported"))
}

fn is_any(segment: &str) -> bool {
    segment == "*" || segment == "#"
}

/// A name, which is not encoded.
fn name(segment: &str) -> Option<String> {
    (!is_any(segment)).then(|| segment.to_owned())
}

/// An id, which the client may have encoded or not.
fn id(segment: &str) -> Option<String> {
    (!is_any(segment)).then(|| encode_segment(&decode_segment(segment)))
}

fn call(rest: &[&str]) -> Result<Pattern, PatternError> {
    let [event, call] = *rest else { return Err(format_error("call", rest)) };
    if event != "*" && !CALL_EVENTS.contains(&event) {
        return Err(not_supported(event));
    }
    Ok(Pattern::new(TopicKind::Call, vec![name(event), id(call)]))
}

/// Parking events are call events. These bindings ask for nothing else.
fn parking(rest: &[&str]) -> Result<Pattern, PatternError> {
    let [event, call] = *rest else { return Err(format_error("parking", rest)) };
    if event != "*" && !(CALL_EVENTS.contains(&event) && is_parking(event)) {
        return Err(not_supported(event));
    }
    let segments = vec![name(event), id(call)];
    Ok(Pattern { only_parking: true, ..Pattern::new(TopicKind::Call, segments) })
}

fn is_parking(event: &str) -> bool {
    event.starts_with("PARK_")
}

fn notification(rest: &[&str]) -> Result<Pattern, PatternError> {
    let [type_] = *rest else { return Err(format_error("notification", rest)) };
    if type_ != "*" && !notification_types().any(|known| known == type_) {
        return Err(not_supported(type_));
    }
    Ok(Pattern::new(TopicKind::Notification, vec![name(type_)]))
}

fn message(kind: &str, rest: &[&str]) -> Result<Pattern, PatternError> {
    let [event, message] = *rest else { return Err(format_error(kind, rest)) };
    if event != "*" && !MESSAGE_EVENTS.contains(&event) {
        return Err(not_supported(event));
    }
    Ok(Pattern::new(TopicKind::Message, vec![name(kind), name(event), id(message)]))
}

fn conference(rest: &[&str]) -> Result<Pattern, PatternError> {
    let is_event = |text: &str| text == "*" || CONFERENCE_EVENTS.contains(&text);
    match *rest {
        ["command", conference] => {
            let segments = vec![Some(conference_id(conference)?)];
            Ok(Pattern::new(TopicKind::ConferenceCommand, segments))
        }
        // KAZOO 3 and pre-releases of 4.0; then 4.1 to 5.
        ["event", conference] => conference_event("*", conference, "*"),
        ["event", conference, call] => conference_event("*", conference, call),
        // Monster UI's conference viewer.
        ["event", event, conference, call] if conference != "*" && is_event(event) => {
            conference_event(event, conference, call)
        }
        // KAZOO 4.3.
        ["event", conference, "*", event] => {
            let conference = conference_id(conference)?;
            if !is_event(event) {
                return Err(PatternError::Invalid(format!("Unsupported conference event {event}")));
            }
            conference_event(event, &conference, "*")
        }
        _ => Err(format_error("conference", rest)),
    }
}

fn conference_event(event: &str, conference: &str, call: &str) -> Result<Pattern, PatternError> {
    let segments = vec![name(event), Some(conference_id(conference)?), id(call)];
    Ok(Pattern::new(TopicKind::ConferenceEvent, segments))
}

fn conference_id(segment: &str) -> Result<String, PatternError> {
    name(segment).ok_or_else(|| PatternError::Invalid("ConferenceId required".to_owned()))
}

fn fax(rest: &[&str]) -> Result<Pattern, PatternError> {
    match *rest {
        ["status", fax] => Ok(Pattern::new(TopicKind::Fax, vec![id(fax)])),
        ["object", action] => {
            let segments = vec![name(action), Some("fax".to_owned()), None];
            Ok(Pattern::new(TopicKind::Object, segments))
        }
        _ => Err(format_error("fax", rest)),
    }
}

fn object(action: &str, type_: &str, document: &str) -> Result<Pattern, PatternError> {
    let is_action = action == "*" || OBJECT_ACTIONS.contains(&action);
    let is_type = type_ == "*" || object_types().any(|known| known == type_);
    if !is_action || !is_type {
        return Err(not_supported(&format!("{action}.{type_}")));
    }
    Ok(Pattern::new(TopicKind::Object, vec![name(action), name(type_), id(document)]))
}

fn presence(rest: &[&str]) -> Result<Pattern, PatternError> {
    match *rest {
        [package, ..] if !PRESENCE_PACKAGES.contains(&package) => Err(not_supported(package)),
        [package, last] => Ok(Pattern::new(TopicKind::Presence, vec![name(package), id(last)])),
        _ => Err(PatternError::Unknown),
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
