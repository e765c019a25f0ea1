//! The switches' answers about channels: a list of short rows, or one channel with all its details.

use serde_json::Value;

use crate::kazoo::{Object, normalize};
use crate::model::AccountId;

/// Fields about the switch that customers must not see (`docs/kazoo/amqp.md#questions-about-channels`).
const HIDDEN: [&str; 20] = [
    "account_id",
    "bridge_id",
    "context",
    "dialplan",
    "handling_locally",
    "node",
    "precedence",
    "profile",
    "realm",
    "app_name",
    "app_version",
    "event_category",
    "event_name",
    "msg_id",
    "server_id",
    "switch_hostname",
    "switch_nodename",
    "switch_url",
    "media_node",
    "fetch_id",
];

/// A channel in a switch's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// The call's id.
    pub call_id: String,
    /// The channel's account, if the switch knows it.
    pub account: Option<AccountId>,
    /// Whether the channel is bridged to another leg.
    pub bridged: bool,
    /// The fields that the API shows.
    pub shown: Object,
}

/// Why an answer is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not a JSON object.
    #[error("it is not a JSON object: {0}")]
    NotJson(String),
    /// The answer is to another kind of question.
    #[error("it is a '{0}'")]
    OtherKind(String),
    /// `Channels` is missing or has the wrong type.
    #[error("its Channels are not a {0}")]
    NoChannels(&'static str),
}

/// The channels in a `query_account_channels_resp`; malformed elements are left out.
pub fn account_channels(body: &[u8]) -> Result<Vec<Channel>, AnswerError> {
    let Some(Value::Array(rows)) = channels(body, "query_account_channels_resp")? else {
        return Err(AnswerError::NoChannels("list"));
    };
    Ok(rows.into_iter().filter_map(|row| channel(None, row)).collect())
}

/// The channels in a `query_channels_resp`; malformed members are left out.
pub fn call_channels(body: &[u8]) -> Result<Vec<Channel>, AnswerError> {
    let Some(Value::Object(calls)) = channels(body, "query_channels_resp")? else {
        return Err(AnswerError::NoChannels("object"));
    };
    Ok(calls.into_iter().filter_map(|(call_id, row)| channel(Some(call_id), row)).collect())
}

fn channels(body: &[u8], kind: &str) -> Result<Option<Value>, AnswerError> {
    let mut answer: Object =
        serde_json::from_slice(body).map_err(|error| AnswerError::NotJson(error.to_string()))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    if (text("Event-Category"), text("Event-Name")) != ("call_event", kind) {
        let other = format!("{}.{}", text("Event-Category"), text("Event-Name"));
        return Err(AnswerError::OtherKind(other.chars().take(80).collect()));
    }
    Ok(answer.remove("Channels"))
}

fn channel(call_id: Option<String>, row: Value) -> Option<Channel> {
    let Value::Object(row) = row else { return None };
    let mut shown = normalize(row);
    let text = |key: &str| shown.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let call_id = call_id.or_else(|| text("uuid").map(str::to_owned))?;
    let account = text("account_id").and_then(|id| id.parse().ok());
    let bridged = text("other_leg").or_else(|| text("other_leg_call_id")).is_some();
    shown.retain(|key, _| !HIDDEN.contains(&key.as_str()));
    Some(Channel { call_id, account, bridged, shown })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(name: &str, channels: &Value) -> Vec<u8> {
        json!({"Event-Category": "call_event", "Event-Name": name, "Channels": channels, "Node": "e@h"})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn rows_have_no_fields_about_the_switch() {
        let row = json!({"uuid": "c1", "account_id": AccountId(7), "other_leg": "c2", "switch_url": "sip:x",
                         "fetch_id": "f", "answered": true, "realm": "r", "destination": "1002"});
        let body = answer("query_account_channels_resp", &json!([row, 7, {"no": "uuid"}]));
        let channels = account_channels(&body).unwrap();
        assert_eq!(channels.len(), 1);
        assert_eq!((channels[0].call_id.as_str(), channels[0].account), ("c1", Some(AccountId(7))));
        assert!(channels[0].bridged);
        let shown = json!({"uuid": "c1", "other_leg": "c2", "answered": true, "destination": "1002"});
        assert_eq!(Value::Object(channels[0].shown.clone()), shown);
    }

    #[test]
    fn the_keys_of_a_single_channel_are_normalised() {
        let call = json!({"Account-ID": AccountId(7), "Call-ID": "c1", "Other-Leg-Call-ID": "", "Answered": true,
                          "Custom-Channel-Vars": {"Owner-ID": "o", "Realm": "r"}, "Media-Node": "m"});
        let body = answer("query_channels_resp", &json!({"c1": call, "c2": null}));
        let channels = call_channels(&body).unwrap();
        assert_eq!(channels.len(), 1);
        assert_eq!((channels[0].account, channels[0].bridged), (Some(AccountId(7)), false));
        let shown = json!({"call_id": "c1", "other_leg_call_id": "", "answered": true,
                           "custom_channel_vars": {"owner_id": "o", "realm": "r"}});
        assert_eq!(Value::Object(channels[0].shown.clone()), shown);
    }

    #[test]
    fn an_invalid_answer_is_an_error_with_its_reason() {
        for (body, expected) in [
            (b"{".to_vec(), "not a JSON object"),
            (b"[]".to_vec(), "not a JSON object"),
            (b"\xff".to_vec(), "not a JSON object"),
            (answer("query_channels_resp", &json!([])), "it is a 'call_event.query_channels_resp'"),
            (answer("query_account_channels_resp", &json!({})), "its Channels are not a list"),
            (b"{}".to_vec(), "it is a '.'"),
        ] {
            let why = account_channels(&body).unwrap_err().to_string();
            assert!(why.contains(expected), "'{why}' for '{expected}'");
        }
        assert_eq!(
            call_channels(&answer("query_channels_resp", &json!(null))),
            Err(AnswerError::NoChannels("object"))
        );
    }
}
