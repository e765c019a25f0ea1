//! A message of the broker, as ingest takes it.

use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

use super::prepare::Incoming;
use crate::model::{Source, TraceContext};

/// Where a message was published that `switchhook amqp renew` has moved: headers that it gets then. A message that
/// was moved comes from the default exchange.
pub(super) const MOVED_FROM: [&str; 2] = ["x-switchhook-exchange", "x-switchhook-routing-key"];

/// What a delivery holds.
pub(super) fn incoming(delivery: Delivery) -> Incoming {
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
        exchange,
        routing_key,
        content_type: properties.content_type().as_ref().map(ToString::to_string),
        gzip,
        redelivered: delivery.redelivered,
        trace: trace(headers),
        body: delivery.data.into(),
    }
}

/// The span that a message says it was published in, in headers of these names.
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
