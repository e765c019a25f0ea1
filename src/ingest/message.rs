//! Converts a message of the broker to what ingest takes.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use super::prepare::Incoming;
use crate::model::{Origin, Source, TraceContext};

/// Headers with the exchange and routing key of the original publication. `switchhook amqp renew` sets them, because a
/// message that it has moved arrives from the default exchange.
pub(super) const MOVED_FROM: [&str; 2] = ["x-switchhook-exchange", "x-switchhook-routing-key"];

/// The member of a KAZOO event with its time, in seconds since year 0, as the bytes to search for.
const TIMESTAMP: &[u8] = b"\"Timestamp\":";
/// The search ends after this many bytes.
const LOOKED_THROUGH: usize = 64 << 10;
const GREGORIAN_OF_1970: u64 = 62_167_219_200;

/// The content of a delivery.
pub(super) fn incoming(delivery: Delivery, origin: Option<Origin>) -> Incoming {
    let properties = &delivery.properties;
    let gzip =
        properties.content_encoding().as_ref().is_some_and(|e| e.as_str().eq_ignore_ascii_case("gzip"));
    let headers = properties.headers().as_ref();
    let (exchange, routing_key) = (delivery.exchange.to_string(), delivery.routing_key.to_string());
    let (exchange, routing_key) = match MOVED_FROM.map(|name| text(headers, name)) {
        [Some(from), Some(key)] if exchange.is_empty() => (from.to_owned(), key.to_owned()),
        _ => (exchange, routing_key),
    };
    Incoming {
        source: Source::Amqp,
        origin,
        exchange,
        routing_key,
        content_type: properties.content_type().as_ref().map(ToString::to_string),
        gzip,
        redelivered: delivery.redelivered,
        trace: trace(headers),
        body: delivery.data.into(),
    }
}

/// When a message was sent, in microseconds since 1970: from the property `timestamp`, otherwise from the time that
/// KAZOO writes into most events. Both are in whole seconds. `None` when neither is present and plausible.
pub(super) fn sent_us(delivery: &Delivery) -> Option<u64> {
    let stamped = delivery.properties.timestamp().filter(|seconds| *seconds > 0);
    let seconds = stamped.or_else(|| {
        let from =
            delivery.data.windows(TIMESTAMP.len()).take(LOOKED_THROUGH).position(|at| at == TIMESTAMP)?;
        let rest = delivery.data.get(from + TIMESTAMP.len()..)?.trim_ascii_start();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let gregorian: u64 = std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()?;
        gregorian.checked_sub(GREGORIAN_OF_1970)
    })?;
    seconds.checked_mul(1_000_000)
}

/// The span in which a message was published, from its headers `traceparent` and `tracestate`.
fn trace(headers: Option<&FieldTable>) -> Option<TraceContext> {
    TraceContext::parse(text(headers, "traceparent")?, text(headers, "tracestate"))
}

fn text<'h>(headers: Option<&'h FieldTable>, name: &str) -> Option<&'h str> {
    match headers?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::AMQPProperties;

    use super::*;

    fn sent(body: &str, stamp: Option<u64>) -> Option<u64> {
        let mut delivery = Delivery::mock(1, "e".into(), "k".into(), false, body.as_bytes().to_vec());
        if let Some(stamp) = stamp {
            delivery.properties = AMQPProperties::default().with_timestamp(stamp);
        }
        sent_us(&delivery)
    }

    #[test]
    fn the_time_of_sending_comes_from_the_property_or_from_the_event() {
        assert_eq!(sent("{}", Some(1_760_000_000)), Some(1_760_000_000_000_000));
        assert_eq!(sent(r#"{"a":1,"Timestamp": 63927219200}"#, None), Some(1_760_000_000_000_000));
        for body in ["{}", r#"{"Timestamp":"soon"}"#, r#"{"Timestamp":5}"#, r#"{"Timestamp":"#] {
            assert_eq!(sent(body, None), None, "{body}");
        }
    }
}
