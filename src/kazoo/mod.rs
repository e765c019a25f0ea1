//! KAZOO's wire formats: the facts in an event, the hooks and subscribers that want it, the payloads they get, and
//! the rules for hook documents. Everything here is pure: no I/O, no clock, and no panic, whatever the bytes.

mod attempt_row;
mod catalogue;
mod channel;
mod channels;
mod database;
mod definitions;
mod disabled;
mod document;
mod extensions;
mod facts;
mod filter;
mod form;
mod json;
mod lenient;
mod live;
mod members;
mod message;
mod nodes;
mod normalize;
mod notification_types;
mod one_shot;
mod own_document;
mod pattern;
mod payload;
mod reading;
mod routing_key;
mod samples;
mod sent;
mod stand_in;
mod topic;
mod uri;
mod validate;
mod whole;
mod wire;

pub use attempt_row::{ATTEMPT_FIELDS, AttemptParts, attempt_row, timings};
pub use catalogue::{Binding, EXCHANGES, bindings, hook_ids};
pub use channels::{
    Action, ActionError, AnswerError, Channel, Command, Flow, account_channels, account_query, call_channels,
    call_query, flow_in, is_call_id,
};
pub use database::{account_database, database_account};
pub use definitions::definitions;
pub use disabled::webhook_disabled;
pub use document::{DocumentError, MASKED_SECRET, hook_from_document, public_document};
pub use extensions::OWN_FIELDS;
pub use facts::{Facts, NotUnderstood, facts};
pub use filter::{families_of, wanted};
pub use form::{MOST_TIMES as FORM_MOST_TIMES, form};
pub use live::live_data;
pub use members::Payload;
pub use message::{Message, ReplyAddress, Sender, reply_address};
pub use nodes::{Advertisement, advertisement};
pub use normalize::normalize;
pub use one_shot::{OneShotError, one_shot};
pub use own_document::{OwnDocument, document_routing_key, own_document_event};
pub use pattern::{
    CONFERENCE_EVENTS, PRESENCE_PACKAGES, Pattern, PatternError, notification_types, object_types,
};
pub use payload::{Extras, MAX_BODY_BYTES, PayloadError, gunzip, payload, stored_text};
pub use reading::{MOST_DEPTH, Reading, account_before_break, reading};
pub use routing_key::{decode_segment, encode_segment};
pub use samples::{sample_events, sample_payload, sample_record, samples};
pub use sent::{AsSent, RequestParts, USER_AGENT, request_headers, sent_document, with_secrets_of};
pub use stand_in::{
    Advertised, ENABLING_REQUEST, EnablingRequest, StandInRequest, WEBSOCKETS_REQUEST, WebsocketsRequest,
    advertise, asked, enabling_answer, websockets_answer,
};
pub use topic::{CALL_EVENTS, MESSAGE_EVENTS, OBJECT_ACTIONS, Topic, TopicKind};
pub use uri::{RequestUri, UnusableUri, uri_is_acceptable, why_refused};
pub use validate::{FieldErrors, Rules, validate_hook};
pub use wire::{WireRequest, wire_request};

/// A JSON object.
type Object = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod properties;
