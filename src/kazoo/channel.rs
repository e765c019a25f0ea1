//! The payload of the four channel families, made from the event's text without a tree of all of it: only
//! the variables that receivers see become values.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::Object;
use super::lenient::{Text, lenient_object, other_types_are_empty};
use super::payload::{Extras, PayloadError};
use crate::model::{Event, Family};

lenient_object! {
    /// The members of a call event that receivers see.
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

/// Channel variables: those that become members of the payload, and those that are shown as they are.
#[derive(Debug, Default)]
struct ChannelVars<'a> {
    any: bool,
    account_id: Text<'a>,
    authorizing_id: Text<'a>,
    authorizing_type: Text<'a>,
    call_forward: Text<'a>,
    owner_id: Text<'a>,
    shown: Object,
}

impl ChannelVars<'_> {
    fn text(&self, name: &str) -> Text<'_> {
        self.shown.get(name).map(Text::from_value).unwrap_or_default()
    }
}

/// Variables that are never shown as such: KAZOO's default list, without those that [`ChannelVars`] takes.
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
        let mut vars = ChannelVars::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
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
                shown => {
                    let value = map.next_value::<Value>()?;
                    if !value.is_null() {
                        vars.shown.insert(shown.to_owned(), value);
                    }
                }
            }
        }
        Ok(vars)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ChannelVars<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VarsVisitor)
    }
}

/// The payload of a channel event.
pub(super) fn channel_payload(
    event: &Event<'_>,
    family: Family,
    body: &[u8],
    extras: &Extras<'_>,
) -> Result<Object, PayloadError> {
    let text = std::str::from_utf8(body).map_err(PayloadError::NotText)?;
    let channel: Channel<'_> = serde_json::from_str(text)?;
    let mut out = Object::with_capacity(32);
    let vars = channel.vars;
    let local = vars.text("Global-Resource").flag() != Some(true);
    let local_resource = if local { vars.text("Resource-ID").into_value() } else { None };
    let emergency = vars.text("Emergency-Resource").flag() == Some(true);
    let original_number = vars.text("Original-Number").into_value();

    let account = event.account.map(|id| Value::String(id.to_string())).or(vars.account_id.into_value());
    put(&mut out, "account_id", account);
    put(&mut out, "authorizing_id", vars.authorizing_id.into_value());
    put(&mut out, "authorizing_type", vars.authorizing_type.into_value());
    put(&mut out, "call_direction", channel.call_direction.into_value());
    put(&mut out, "call_forwarded", vars.call_forward.flag().map(Value::Bool));
    put(&mut out, "call_id", channel.call_id.into_value());
    put(&mut out, "callee_id_name", channel.callee_id_name.into_value());
    put(&mut out, "callee_id_number", channel.callee_id_number.into_value());
    put(&mut out, "caller_id_name", channel.caller_id_name.into_value());
    put(&mut out, "caller_id_number", channel.caller_id_number.into_value());
    put(&mut out, "custom_channel_vars", vars.any.then_some(Value::Object(vars.shown)));
    put(&mut out, "custom_application_vars", non_empty(channel.application_vars));
    put(&mut out, "emergency_resource_used", Some(emergency.into()));
    put(&mut out, "from", channel.from.into_value());
    put(&mut out, "inception", channel.inception.into_value());
    put(&mut out, "is_internal_leg", Some((channel.is_loopback.flag() == Some(true)).into()));
    put(&mut out, "local_resource_used", Some(local.into()));
    put(&mut out, "local_resource_id", local_resource);
    put(&mut out, "other_leg_call_id", channel.other_leg_call_id.into_value());
    put(&mut out, "owner_id", vars.owner_id.into_value());
    put(&mut out, "request", channel.request.into_value());
    put(&mut out, "reseller_id", extras.reseller_id.map(|id| Value::String(id.to_string())));
    put(&mut out, "timestamp", channel.timestamp.integer().map(Value::from));
    put(&mut out, "to", channel.to.into_value());
    match family {
        Family::ChannelBridge => {
            put(&mut out, "original_number", original_number);
            put(&mut out, "other_leg_destination_number", channel.other_leg_number.into_value());
        }
        Family::ChannelDestroy => {
            put(&mut out, "hangup_cause", channel.hangup_cause.into_value());
            put(&mut out, "hangup_code", channel.hangup_code.into_value());
            put(&mut out, "duration_seconds", channel.duration.integer().map(Value::from));
            put(&mut out, "ringing_seconds", channel.ringing.integer().map(Value::from));
            put(&mut out, "billing_seconds", channel.billing.integer().map(Value::from));
        }
        _ => {}
    }
    put(&mut out, "hook_event", Some(family.id().into()));
    Ok(out)
}

fn non_empty(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if !map.is_empty() => Some(Value::Object(map)),
        _ => None,
    }
}

/// Inserts what is there.
pub(super) fn put(out: &mut Object, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value);
    }
}
