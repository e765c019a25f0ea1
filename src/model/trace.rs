//! Trace context of an event, in the format of W3C Trace Context (level 1).

use std::fmt;

use super::{AccountId, DeliveryId};

/// Longest `tracestate` that is kept; a longer one is dropped (W3C requires at least 512).
pub const MAX_TRACE_STATE: usize = 512;

/// A span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The trace; never 0.
    pub trace: u128,
    /// The span within it; never 0.
    pub id: u64,
    /// `trace-flags`; bit 0: the trace is recorded.
    pub flags: u8,
}

/// The span in which an event was published, with the vendors' additions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The span.
    pub span: Span,
    /// `tracestate`, unchanged; at most `MAX_TRACE_STATE` bytes, empty without one.
    pub state: String,
}

/// A finished attempt of a traced event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptSpan {
    /// The attempt's span, which the receiver got too.
    pub span: Span,
    /// The span in which the event was published.
    pub parent: u64,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The hook's owner.
    pub account: AccountId,
    /// 1 for the first try.
    pub attempt: u16,
    /// The answer's status.
    pub status: Option<u16>,
    /// Why no answer came.
    pub error: Option<&'static str>,
    /// When it began, microseconds since 1970.
    pub began_us: u64,
    /// When it ended, microseconds since 1970.
    pub ended_us: u64,
}

impl TraceContext {
    /// Reads the two headers; `None` when `traceparent` is invalid, whatever `tracestate` is (W3C 4.3).
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let span = Span::parse(traceparent)?;
        let is_sendable = |text: &&str| {
            text.len() <= MAX_TRACE_STATE && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        let state = tracestate.map(str::trim).filter(is_sendable).unwrap_or_default();
        Some(Self { span, state: state.to_owned() })
    }
}

impl Span {
    /// Reads a `traceparent` of any version: `00-{32 hex}-{16 hex}-{2 hex}`, with more fields in later versions.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (head, rest) = text.split_at_checked(55)?;
        let mut parts = head.split('-');
        let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
        let (id, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        let ends = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if version == 255 || trace == 0 || id == 0 || !ends || parts.next().is_some() {
            return None;
        }
        Some(Self { trace, id: u64::try_from(id).ok()?, flags: u8::try_from(flags).ok()? })
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// Another span of the same trace. The invalid id 0 becomes 1.
    #[must_use]
    pub fn child(self, id: u64) -> Self {
        Self { id: id.max(1), ..self }
    }
}

/// A `traceparent` of version 00.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.id, self.flags)
    }
}

/// Reads a number of exactly `digits` lower-case hex digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let valid = text.len() == digits && text.bytes().all(is_hex);
    valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parsed_span_equals_the_written_one() {
        let span = Span::parse(VALID).unwrap();
        assert_eq!((span.to_string().as_str(), span.flags), (VALID, 1));
        assert_eq!(Span::parse(&format!("{VALID}-more").replacen("00", "01", 1)), Some(span));
        let child = span.child(0);
        assert_eq!((child.trace, child.id), (span.trace, 1));
    }

    #[test]
    fn invalid_traceparents_are_refused() {
        let cut = &VALID[..54];
        let zero_trace = VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_span = VALID.replace("b7ad6b7169203331", &"0".repeat(16));
        let (upper, later, more) =
            (VALID.to_uppercase(), VALID.replacen("00", "ff", 1), format!("{VALID}-more"));
        let odd = "é".repeat(40);
        for text in ["", "-", cut, &zero_trace, &zero_span, &upper, &later, &more, &odd] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_unusable_tracestate_is_dropped_but_the_span_stays() {
        let state = |text: &str| TraceContext::parse(VALID, Some(text)).unwrap().state;
        assert_eq!(state("vendor=a,other=b c"), "vendor=a,other=b c");
        assert_eq!((state("a\nb"), state(&"x".repeat(513))), (String::new(), String::new()));
        assert_eq!(TraceContext::parse("nonsense", Some("vendor=a")), None);
    }
}
