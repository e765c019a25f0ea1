//! The payload of an event for a hook, assembled as in KAZOO: the family's form, the hook's own filter, its
//! `custom_data`, the cluster's id. Pure: the same event and hook always give the same payload.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::channel::channel_payload;
use super::members::{Member, Payload};
use super::{NotUnderstood, Object, reading, whole};
use crate::model::{AccountId, Encoding, Event, Family, Hook, Trigger};

/// The largest body into which a compressed event may unpack.
pub const MAX_BODY_BYTES: usize = 16 << 20;

/// The parts of a payload that come neither from the event nor from the hook.
#[derive(Debug, Clone, Copy)]
pub struct Extras<'a> {
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// The nearest reseller above the event's account.
    pub reseller_id: Option<AccountId>,
}

/// Why no payload can be made.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The body is not JSON, or is nested too deeply.
    #[error("event body is not readable: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The body was stored by an earlier, more lenient version and cannot be repaired.
    #[error(transparent)]
    NotMended(#[from] NotUnderstood),
    /// The body is not UTF-8.
    #[error("event body is not UTF-8 text: {0}")]
    NotText(std::str::Utf8Error),
    /// The body is JSON but not an object.
    #[error("event body is not a JSON object")]
    NotAnObject,
    /// The callflow's event has no data to send.
    #[error("callflow event has no Data object")]
    NoData,
    /// The compressed body is damaged.
    #[error("event body is not valid gzip: {0}")]
    NotGzip(std::io::Error),
    /// The body is larger than [`MAX_BODY_BYTES`] when unpacked.
    #[error("event body unpacks to more than {0} bytes")]
    TooLarge(usize),
    /// A long name stands above many values, so that the form would be many times as large as the payload.
    #[error("the form of the payload would be many times as large as the payload")]
    FormTooLarge,
}

/// The payload of `event` for `hook`; `None` when there is nothing to send: no family, or the hook's
/// `modifiers` refuse it. For a callflow's event pass the hook of [`super::one_shot()`].
pub fn payload<'a>(
    event: &Event<'a>,
    hook: &'a Hook,
    extras: &Extras<'a>,
) -> Result<Option<Payload<'a>>, PayloadError> {
    let Some(family) = event.family else { return Ok(None) };
    let mut out = match event.encoding {
        Encoding::Plain => match of_body(event, family, hook, event.body, extras) {
            // Earlier versions stored bodies as they came. Such a body is repaired when it is delivered.
            Err(PayloadError::NotJson(_) | PayloadError::NotText(_)) => {
                of_body(event, family, hook, &stored_text(event)?, extras)?.into_owned()
            }
            made => made?,
        },
        Encoding::Gzip => of_body(event, family, hook, &stored_text(event)?, extras)?.into_owned(),
    };
    if hook.modifiers.as_ref().is_some_and(|modifiers| !passes(modifiers, &out)) {
        return Ok(None);
    }
    if let Some(custom) = &hook.custom_data {
        // These two only choose the events, as in KAZOO.
        let own = custom.iter().filter(|(key, _)| *key != "type" && *key != "action");
        out.set_all(own.map(|(key, value)| (Cow::Borrowed(key.as_str()), Member::Value(value.clone()))));
    }
    out.set(Cow::Borrowed("cluster_id"), Member::Text(Cow::Borrowed(extras.cluster_id)));
    Ok(Some(out))
}

fn of_body<'a>(
    event: &Event<'_>,
    family: Family,
    hook: &Hook,
    body: &'a [u8],
    extras: &Extras<'_>,
) -> Result<Payload<'a>, PayloadError> {
    let whole = match family {
        Family::ChannelCreate | Family::ChannelAnswer | Family::ChannelBridge | Family::ChannelDestroy => {
            return channel_payload(event, family, body, extras);
        }
        Family::Parking => whole::parking_payload(event, body)?,
        Family::Object => whole::object_payload(event, body)?,
        Family::Notifications if is_classic_fax(hook) => whole::classic_fax_payload(body)?,
        Family::Notifications => whole::notification_payload(body)?,
        Family::InboundFax | Family::OutboundFax => whole::classic_fax_payload(body)?,
        Family::Sms | Family::Mms => whole::message_payload(event, body)?,
        Family::Callflow => whole::callflow_payload(body)?,
    };
    Ok(whole.into())
}

fn is_classic_fax(hook: &Hook) -> bool {
    matches!(hook.trigger, Trigger::Family(Family::InboundFax | Family::OutboundFax))
}

/// Applies a hook's own filter on payload values: a list names all values that pass, anything else is the only one.
fn passes(modifiers: &Object, payload: &Payload<'_>) -> bool {
    modifiers.iter().all(|(key, asked)| match (payload.get(key), asked) {
        (None, _) => true,
        (Some(value), Value::Array(list)) => list.is_empty() || list.iter().any(|listed| value == listed),
        (Some(value), scalar) => value == scalar,
    })
}

/// An event's body as strict JSON: unpacked, and repaired if a version that did not repair bodies stored it.
pub fn stored_text<'a>(event: &Event<'a>) -> Result<Cow<'a, [u8]>, PayloadError> {
    match event.encoding {
        Encoding::Plain => Ok(reading(event.body)?.body),
        Encoding::Gzip => {
            let unpacked = gunzip(event.body, MAX_BODY_BYTES)?;
            Ok(reading(&unpacked)?.body.into_owned().into())
        }
    }
}

/// Unpacks a compressed body, up to `max` bytes.
pub fn gunzip(packed: &[u8], max: usize) -> Result<Vec<u8>, PayloadError> {
    let mut out = Vec::with_capacity(packed.len().saturating_mul(3).min(max));
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(packed).take(limit).read_to_end(&mut out).map_err(PayloadError::NotGzip)?;
    if out.len() > max {
        return Err(PayloadError::TooLarge(max));
    }
    Ok(out)
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
