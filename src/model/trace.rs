//! Trace context: which trace an event belongs to, as W3C Trace Context (level 1) writes it in `traceparent`.

use std::fmt;

use super::{AccountId, DeliveryId};

/// Longest `tracestate` that is kept; what is longer is dropped (W3C asks for at least 512).
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

/// The span that an event was published in, and what vendors add to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The span.
    pub span: Span,
    /// `tracestate`, as it came; at most `MAX_TRACE_STATE` bytes, empty when there is none.
    pub state: String,
}

/// An attempt of a traced event, once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptSpan {
    /// The attempt, as the receiver was told.
    pub span: Span,
    /// The span that the event was published in.
    pub parent: u64,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The hook's owner.
    pub account: AccountId,
    /// 1 for the first try.
    pub attempt: u16,
    /// The answer's status.
    pub status: Option<u16>,
    /// Why none came.
    pub error: Option<&'static str>,
    /// When it began, microseconds since 1970.
    pub began_us: u64,
    /// When it ended, microseconds since 1970.
    pub ended_us: u64,
}

impl TraceContext {
    /// Reads the two headers; `None` when `traceparent` is not valid, and then `tracestate` does not count
    /// either (W3C 4.3).
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
    /// Reads a `traceparent` of any version: `00-{32 hex}-{16 hex}-{2 hex}`, and more behind it for later ones.
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

    /// Whether whoever began the trace records it.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// Another span of the same trace. An id of 0, which is none, becomes 1.
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

/// So many lower-case hex digits.
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
    fn a_span_is_read_as_it_was_written() {
        let span = Span::parse(VALID).unwrap();
        assert_eq!((span.to_string().as_str(), span.flags), (VALID, 1));
        assert_eq!(Span::parse(&format!("{VALID}-more").replacen("00", "01", 1)), Some(span));
        let child = span.child(0);
        assert_eq!((child.trace, child.id), (span.trace, 1));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
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
    fn a_state_that_cannot_be_sent_on_is_dropped_and_the_span_stays() {
        let state = |text: &str| TraceContext::parse(VALID, Some(text)).unwrap().state;
        assert_eq!(state("vendor=a,other=b c"), "vendor=a,other=b c");
        assert_eq!((state("a\nb"), state(&"x".repeat(513))), (String::new(), String::new()));
        assert_eq!(TraceContext::parse("nonsense", Some("vendor=a")), None);
    }
}
