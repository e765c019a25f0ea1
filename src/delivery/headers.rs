//! The headers of a request: kept in parts, and put together when the request is sent.
//!
//! A request on a kept connection may have to be sent again. Its parts cost little to keep for that; a copy of the finished map
//! would cost each delivery as much as the map itself.

use std::fmt::{Display, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::model::Event;

/// The headers that a usual request has beside those of its hook: the content type, five values, a mark, and one that the client
/// adds. With this capacity its map does not grow.
const OF_ATTEMPT: usize = 8;

/// The headers of a request.
#[derive(Debug)]
pub(super) enum Headers {
    /// As an attempt makes them.
    Parts(Parts),
    /// Changed by somebody.
    Map(HeaderMap),
}

/// What the headers of an attempt are put together from.
#[derive(Debug)]
pub(super) struct Parts {
    /// The headers that are the same for all deliveries of the hook.
    pub(super) of_hook: Arc<[(HeaderName, HeaderValue)]>,
    pub(super) content_type: Option<&'static str>,
    pub(super) values: Values,
    /// The attempt's own span in the event's trace. Boxed, because few events have one.
    pub(super) trace: Option<Box<Trace>>,
    pub(super) is_replay: bool,
}

/// The headers of a trace.
#[derive(Debug)]
pub(super) struct Trace {
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

/// The values that are different for each attempt, one after the other in one allocation.
#[derive(Debug)]
pub(super) struct Values {
    text: Bytes,
    /// Where each value ends, in the order of [`NAME`].
    ends: [usize; NAMES],
    is_signed: bool,
}

/// The number of values.
const NAMES: usize = 5;
/// The names of the values. The signature is the last, because not every request has one.
static NAME: [HeaderName; NAMES] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("x-event-id"),
    HeaderName::from_static("x-attempt"),
    HeaderName::from_static("webhook-signature"),
];

/// What an attempt is identified by.
pub(super) struct Identity<'a> {
    /// `webhook-id`.
    pub(super) delivery: &'a dyn Display,
    /// `webhook-timestamp`.
    pub(super) timestamp_s: u64,
    /// `x-event-id`.
    pub(super) event: &'a dyn Display,
    /// `x-attempt`.
    pub(super) attempt: u16,
}

impl Values {
    /// The values of an attempt. `sign` gets the id of the delivery, and returns the signature of a request that is signed.
    pub(super) fn new(identity: &Identity<'_>, sign: impl FnOnce(&str) -> Option<String>) -> Self {
        let mut text = String::with_capacity(128);
        let mut ends = [0; NAMES];
        let written = [identity.delivery, &identity.timestamp_s, identity.event, &identity.attempt];
        for (end, value) in ends.iter_mut().zip(written) {
            // Writing to a String cannot fail.
            let _written = write!(text, "{value}");
            *end = text.len();
        }
        let [id, ..] = ends;
        let signature = sign(text.get(..id).unwrap_or_default());
        text.push_str(signature.as_deref().unwrap_or_default());
        if let Some(last) = ends.last_mut() {
            *last = text.len();
        }
        Self { text: text.into(), ends, is_signed: signature.is_some() }
    }

    /// Each value with its name. A request that is not signed has no signature.
    fn iter(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let starts = std::iter::once(0).chain(self.ends);
        let count = if self.is_signed { NAMES } else { NAMES - 1 };
        NAME.iter().zip(starts.zip(self.ends)).take(count).filter_map(|(name, (start, end))| {
            let value = HeaderValue::from_maybe_shared(self.text.slice(start..end)).ok()?;
            Some((name.clone(), value))
        })
    }
}

impl Trace {
    /// The span of an attempt in its event's trace.
    pub(super) fn of(event: &Event<'_>, span_id: u64) -> Option<Box<Self>> {
        let parent = HeaderValue::try_from(event.trace?.child(span_id).to_string()).ok()?;
        let state = HeaderValue::from_str(event.trace_state).ok().filter(|state| !state.is_empty());
        Some(Box::new(Self { parent, state }))
    }
}

impl Parts {
    fn map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.of_hook.len() + OF_ATTEMPT);
        map.extend(self.of_hook.iter().cloned());
        if let Some(content_type) = self.content_type {
            map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in self.values.iter() {
            map.insert(name, value);
        }
        if let Some(trace) = &self.trace {
            map.insert("traceparent", trace.parent.clone());
            if let Some(state) = &trace.state {
                map.insert("tracestate", state.clone());
            }
        }
        if self.is_replay {
            map.insert("x-replay", HeaderValue::from_static("true"));
        }
        map
    }
}

impl Headers {
    /// All headers, put together.
    pub(super) fn map(&self) -> HeaderMap {
        match self {
            Self::Parts(parts) => parts.map(),
            Self::Map(map) => map.clone(),
        }
    }

    /// Changes the headers.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut HeaderMap)) {
        let mut map = self.map();
        change(&mut map);
        *self = Self::Map(map);
    }

    /// The headers as people see them.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.map().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(signature: Option<&str>, is_replay: bool) -> Headers {
        let identity = Identity { delivery: &"d-1", timestamp_s: 1_790_000_000, event: &"e-1", attempt: 3 };
        let sign = |id: &str| {
            assert_eq!(id, "d-1");
            signature.map(str::to_owned)
        };
        Headers::Parts(Parts {
            of_hook: [(HeaderName::from_static("accept"), HeaderValue::from_static("*/*"))].into(),
            content_type: Some("application/json"),
            values: Values::new(&identity, sign),
            trace: None,
            is_replay,
        })
    }

    #[test]
    fn headers_are_the_same_each_time_they_are_put_together() {
        let expected = [
            ("accept", "*/*"),
            ("content-type", "application/json"),
            ("webhook-id", "d-1"),
            ("webhook-timestamp", "1790000000"),
            ("x-event-id", "e-1"),
            ("x-attempt", "3"),
            ("webhook-signature", "v1,abc="),
            ("x-replay", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = parts(Some("v1,abc="), true);
        assert_eq!((headers.shown(), headers.shown()), (expected.to_vec(), expected.to_vec()));
        // Neither signed nor a replay.
        assert_eq!(parts(None, false).shown(), expected[..6]);
        // Every secret has expired: signed by none.
        let last = parts(Some(""), false).shown().pop();
        assert_eq!(last, Some(("webhook-signature".to_owned(), String::new())));
    }

    #[test]
    fn changed_headers_stay_changed() {
        let mut headers = parts(None, false);
        headers.change(|map| {
            map.insert("x-test", HeaderValue::from_static("true"));
        });
        headers.change(|map| {
            map.remove("accept");
        });
        let names: Vec<_> = headers.shown().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["x-test", "content-type", "webhook-id", "webhook-timestamp", "x-event-id", "x-attempt"]
        );
    }
}
