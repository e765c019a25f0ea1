//! The data of an event for subscribers: the event without the fields of the transport, normalised
//! (`docs/kazoo/websockets.md#the-data-of-an-event`).

use super::normalize;
use super::payload::PayloadError;
use super::whole::object;

/// Fields of the transport, which are left out.
const TRANSPORT: [&str; 14] = [
    "Access-Group",
    "Defer-Response",
    "Destination-Server",
    "Geo-Location",
    "System-Log-ID",
    "Node",
    "Server-Queue-ID",
    "Raw-Headers",
    "Server-ID",
    "Request-From-PID",
    "Reply-To-PID",
    "AMQP-Broker",
    "AMQP-Broker-Zone",
    "Deliver-To-PID",
];

/// The `data` of an event's frame, as JSON text.
pub fn live_data(body: &[u8]) -> Result<String, PayloadError> {
    let mut map = object(body)?;
    map.retain(|key, _| !TRANSPORT.contains(&key.as_str()));
    Ok(serde_json::Value::Object(normalize(map)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_frame_has_the_event_without_fields_of_the_transport() {
        let body = json!({
            "Node": "n", "Server-ID": "s", "Deliver-To-PID": "<0.1.0>", "Call-ID": "c@1", "App-Name": "x",
            "Custom-Channel-Vars": {"Account-ID": "a", "Node": "kept", "None": null}, "Null": null,
            "Legs": [{"Leg-ID": 1.5}], "Answered": "false",
        });
        let data: Value = serde_json::from_str(&live_data(body.to_string().as_bytes()).unwrap()).unwrap();
        let expected = json!({
            "call_id": "c@1", "app_name": "x", "custom_channel_vars": {"account_id": "a", "node": "kept"},
            "legs": [{"leg_id": 1.5}], "answered": "false",
        });
        assert_eq!(data, expected);
        assert!(live_data(b"[]").is_err() && live_data(b"{").is_err());
    }
}
