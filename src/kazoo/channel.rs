//! The payload of the four channel families. It is built from the event's text without parsing into a tree and, where
//! no text is escaped, without a copy.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::lenient::{NUMBER, Text, lenient_object, other_types_are_empty};
use super::members::{FEW, Member, Payload};
use super::payload::{Extras, PayloadError};
use crate::model::{Event, Family};

lenient_object! {
    /// The members of a call event that go into the payload.
    struct Channel<'a> {
        call_direction: Text<'a> = "Call-Direction",
        call_id: Text<'a> = "Call-ID",
        callee_id_name: Text<'a> = "Callee-ID-Name",
        callee_id_number: Text<'a> = "Callee-ID-Number",
        caller_id_name: Text<'a> = "Caller-ID-Name",
        caller_id_number: Text<'a> = "Caller-ID-Number",
        vars: ChannelVars<'a> = "Custom-Channel-Vars",
        application_vars: Value = "Custom-Application-Vars",
        from: Text<'a> = "From",
        inception: Text<'a> = "Inception",
        is_loopback: Text<'a> = "Channel-Is-Loopback",
        other_leg_call_id: Text<'a> = "Other-Leg-Call-ID",
        request: Text<'a> = "Request",
        timestamp: Text<'a> = "Timestamp",
        to: Text<'a> = "To",
        other_leg_number: Text<'a> = "Other-Leg-Destination-Number",
        hangup_cause: Text<'a> = "Hangup-Cause",
        hangup_code: Text<'a> = "Hangup-Code",
        duration: Text<'a> = "Duration-Seconds",
        ringing: Text<'a> = "Ringing-Seconds",
        billing: Text<'a> = "Billing-Seconds",
    }
}

/// Channel variables: those that become members of the payload, and those that are passed on unchanged.
#[derive(Debug, Default)]
struct ChannelVars<'a> {
    any: bool,
    account_id: Text<'a>,
    authorizing_id: Text<'a>,
    authorizing_type: Text<'a>,
    call_forward: Text<'a>,
    owner_id: Text<'a>,
    shown: Payload<'a>,
}

/// Variables that are never passed on: KAZOO's default list, without those that [`ChannelVars`] uses.
fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "Account-Name"
            | "Account-Realm"
            | "Auto-Answer"
            | "Call-Waiting-Disabled"
            | "Confirm-Cancel-Timeout"
            | "Confirm-File"
            | "Confirm-Key"
            | "Fax-Enabled"
            | "Loopback-Bowout"
            | "Media-Encryption-Enforce-Security"
            | "Media-Webrtc"
            | "Presence-ID"
            | "RTCP-MUX"
            | "Realm"
            | "Require-Ignore-Early-Media"
            | "Retain-CID"
            | "SIP-Invite-Domain"
            | "Simplify-Loopback"
            | "Username"
    )
}

struct VarsVisitor;

impl<'de> Visitor<'de> for VarsVisitor {
    type Value = ChannelVars<'de>;

    other_types_are_empty!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut vars, mut more) = (ChannelVars::default(), Vec::new());
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.or_empty() == NUMBER {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            vars.any = true;
            match key.or_empty() {
                "Account-ID" => vars.account_id = map.next_value()?,
                "Authorizing-ID" => vars.authorizing_id = map.next_value()?,
                "Authorizing-Type" => vars.authorizing_type = map.next_value()?,
                "Call-Forward" => vars.call_forward = map.next_value()?,
                "Owner-ID" => vars.owner_id = map.next_value()?,
                reserved if is_reserved(reserved) => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => {
                    let member = map.next_value::<Member<'de>>()?;
                    if vars.shown.len() < FEW {
                        vars.shown.set(key.into_cow(), member);
                    } else {
                        more.push((key.into_cow(), member));
                    }
                }
            }
        }
        vars.shown.set_all(more);
        vars.shown.drop_nulls();
        Ok(vars)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ChannelVars<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VarsVisitor)
    }
}

/// The payload of a channel event.
pub(super) fn channel_payload<'a>(
    event: &Event<'_>,
    family: Family,
    body: &'a [u8],
    extras: &Extras<'_>,
) -> Result<Payload<'a>, PayloadError> {
    let text = std::str::from_utf8(body).map_err(PayloadError::NotText)?;
    let channel: Channel<'a> = serde_json::from_str(text)?;
    let mut out = Payload::with_capacity(36);
    let vars = channel.vars;
    let local = vars.shown.text("Global-Resource").flag() != Some(true);
    let local_resource = if local { vars.shown.text("Resource-ID").into_owned() } else { None };
    let emergency = vars.shown.text("Emergency-Resource").flag() == Some(true);
    let original_number = vars.shown.text("Original-Number").into_owned();

    let account = event.account.map(|id| Cow::Owned(id.to_string())).or(vars.account_id.into_text());
    out.put("account_id", account);
    out.put("authorizing_id", vars.authorizing_id.into_text());
    out.put("authorizing_type", vars.authorizing_type.into_text());
    out.put("call_direction", channel.call_direction.into_text());
    out.put("call_forwarded", vars.call_forward.flag().map(Value::Bool));
    out.put("call_id", channel.call_id.into_text());
    out.put("callee_id_name", channel.callee_id_name.into_text());
    out.put("callee_id_number", channel.callee_id_number.into_text());
    out.put("caller_id_name", channel.caller_id_name.into_text());
    out.put("caller_id_number", channel.caller_id_number.into_text());
    out.put("custom_channel_vars", vars.any.then_some(Member::Members(vars.shown)));
    out.put("custom_application_vars", non_empty(channel.application_vars));
    out.put("emergency_resource_used", Some(Value::Bool(emergency)));
    out.put("from", channel.from.into_text());
    out.put("inception", channel.inception.into_text());
    out.put("is_internal_leg", Some(Value::Bool(channel.is_loopback.flag() == Some(true))));
    out.put("local_resource_used", Some(Value::Bool(local)));
    out.put("local_resource_id", local_resource);
    out.put("other_leg_call_id", channel.other_leg_call_id.into_text());
    out.put("owner_id", vars.owner_id.into_text());
    out.put("request", channel.request.into_text());
    out.put("reseller_id", extras.reseller_id.map(|id| Value::from(id.to_string())));
    out.put("timestamp", channel.timestamp.number());
    out.put("to", channel.to.into_text());
    match family {
        Family::ChannelBridge => {
            out.put("original_number", original_number);
            out.put("other_leg_destination_number", channel.other_leg_number.into_text());
        }
        Family::ChannelDestroy => {
            out.put("hangup_cause", channel.hangup_cause.into_text());
            out.put("hangup_code", channel.hangup_code.into_text());
            out.put("duration_seconds", channel.duration.number());
            out.put("ringing_seconds", channel.ringing.number());
            out.put("billing_seconds", channel.billing.number());
        }
        _ => {}
    }
    out.put("hook_event", Some(Cow::Borrowed(family.id())));
    Ok(out)
}

fn non_empty(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if !map.is_empty() => Some(Value::Object(map)),
        _ => None,
    }
}
