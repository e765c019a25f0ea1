//! An event in the log: a short header with everything that routing needs, then the body's original bytes.
//!
//! The header is decoded without reading the body, so that routing does not have to parse JSON.

use std::fmt;
use std::str::FromStr;

use super::{AccountId, EventOffset, Family, Mended, Span};

/// An event is written in the lowest version that can express it, so that a program that knows only version 1 can
/// still read all events that it could have written. Version 2 adds a trace; version 3 adds repairs and an optional
/// trace; version 4 adds the request of the client that submitted the event.
const VERSION: u8 = 1;
const VERSION_TRACED: u8 = 2;
const VERSION_MENDED: u8 = 3;
const VERSION_HANDED_IN: u8 = 4;
const FLAG_INTERNAL_LEG: u8 = 1;
const FLAG_GZIP: u8 = 2;
const FLAG_QUARANTINED: u8 = 4;
const FLAG_ACCOUNT: u8 = 8;
/// Used from version 3 on; version 2 always has a trace.
const FLAG_TRACE: u8 = 16;

/// Source of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Source {
    /// The broker.
    Amqp = 1,
    /// `PUT …/events`.
    Http = 2,
    /// Switchhook itself.
    Internal = 3,
}

/// How the body's bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON text.
    Plain,
    /// Gzip over JSON text (mms, `docs/kazoo/amqp.md#properties-of-a-message`).
    Gzip,
}

/// A client's request with an idempotency key, stored with the first event of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedIn<'a> {
    /// The account to which the key belongs.
    pub account: AccountId,
    /// The key that the client chose.
    pub key: &'a str,
    /// SHA-256 of the request's events.
    pub digest: [u8; 32],
    /// Number of events in the request.
    pub count: u32,
}

/// An event, borrowed from a log record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Where it came from.
    pub source: Source,
    /// How `body` is encoded.
    pub encoding: Encoding,
    /// Its family; `None` for events that no hook can ask for.
    pub family: Option<Family>,
    /// The event's account, if known.
    pub account: Option<AccountId>,
    /// True for a call leg that is internal to the switch (loopback).
    pub internal_leg: bool,
    /// Repairs of the body before it was stored.
    pub mended: Mended,
    /// Why the event could not be understood. Such events are stored but never delivered.
    pub quarantine: Option<&'a str>,
    /// `Event-Category`.
    pub category: &'a str,
    /// `Event-Name`: the call event, the notification type, the document action.
    pub name: &'a str,
    /// The subject, within which order is kept: id of the call, document, fax, conference or message.
    pub subject: &'a str,
    /// `Msg-ID`.
    pub msg_id: &'a str,
    /// Document type for objects, `Event` of a conference, realm of a presence; empty otherwise.
    pub detail: &'a str,
    /// Exchange of the message; empty when the event is not from the broker.
    pub exchange: &'a str,
    /// Routing key of the message.
    pub routing_key: &'a str,
    /// The span in which the event was published.
    pub trace: Option<Span>,
    /// `tracestate`; empty without one.
    pub trace_state: &'a str,
    /// The request that submitted the event, if the request had a key and this is its first event.
    pub handed_in: Option<HandedIn<'a>>,
    /// The original bytes, unless they were repaired.
    pub body: &'a [u8],
}

/// Why a log record cannot be decoded as an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeEventError {
    /// The record ends early.
    #[error("event record ends inside its header")]
    Short,
    /// Written by a later version.
    #[error("event record has unknown version {0}")]
    Version(u8),
    /// A field is not text, or a code is unknown.
    #[error("event record has an invalid {0}")]
    Invalid(&'static str),
}

impl<'a> Event<'a> {
    /// Encodes the event for the log. Texts in the header longer than 65,535 bytes are cut at a character boundary;
    /// the body is never cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 160);
        let mut flags = 0;
        if self.internal_leg {
            flags |= FLAG_INTERNAL_LEG;
        }
        if self.encoding == Encoding::Gzip {
            flags |= FLAG_GZIP;
        }
        if self.quarantine.is_some() {
            flags |= FLAG_QUARANTINED;
        }
        if self.account.is_some() {
            flags |= FLAG_ACCOUNT;
        }
        let version = match (self.mended.is_nothing(), self.trace) {
            (true, None) => VERSION,
            (true, Some(_)) => VERSION_TRACED,
            (false, _) => VERSION_MENDED,
        };
        let version = if self.handed_in.is_some() { VERSION_HANDED_IN } else { version };
        if version >= VERSION_MENDED && self.trace.is_some() {
            flags |= FLAG_TRACE;
        }
        out.extend_from_slice(&[version, self.source as u8, self.family.map_or(0, |f| f as u8), flags]);
        if let Some(account) = self.account {
            out.extend_from_slice(&account.0.to_be_bytes());
        }
        if version >= VERSION_MENDED {
            out.push(self.mended.to_byte());
        }
        if let Some(span) = self.trace {
            out.extend_from_slice(&span.trace.to_be_bytes());
            out.extend_from_slice(&span.id.to_be_bytes());
            out.push(span.flags);
            put_text(&mut out, self.trace_state);
        }
        if let Some(HandedIn { account, key, digest, count }) = self.handed_in {
            out.extend_from_slice(&account.0.to_be_bytes());
            put_text(&mut out, key);
            out.extend_from_slice(&digest);
            out.extend_from_slice(&count.to_le_bytes());
        }
        if let Some(reason) = self.quarantine {
            put_text(&mut out, reason);
        }
        for text in [
            self.category,
            self.name,
            self.subject,
            self.msg_id,
            self.detail,
            self.exchange,
            self.routing_key,
        ] {
            put_text(&mut out, text);
        }
        out.extend_from_slice(self.body);
        out
    }

    /// Decodes the bytes that `encode` returned.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeEventError> {
        let (head, mut rest) = bytes.split_at_checked(4).ok_or(DecodeEventError::Short)?;
        let &[version, source, family, flags] = head else { return Err(DecodeEventError::Short) };
        if !(VERSION..=VERSION_HANDED_IN).contains(&version) {
            return Err(DecodeEventError::Version(version));
        }
        let source = match source {
            1 => Source::Amqp,
            2 => Source::Http,
            3 => Source::Internal,
            _ => return Err(DecodeEventError::Invalid("source")),
        };
        let account = if flags & FLAG_ACCOUNT == 0 {
            None
        } else {
            let (id, tail) = rest.split_first_chunk::<16>().ok_or(DecodeEventError::Short)?;
            rest = tail;
            Some(AccountId(u128::from_be_bytes(*id)))
        };
        let mut mended = Mended::NOTHING;
        if version >= VERSION_MENDED {
            let (byte, tail) = rest.split_first().ok_or(DecodeEventError::Short)?;
            (mended, rest) = (Mended::from_byte(*byte), tail);
        }
        let has_trace = version == VERSION_TRACED || flags & FLAG_TRACE != 0;
        let (trace, trace_state) = if has_trace { take_trace(&mut rest)? } else { (None, "") };
        let handed_in = if version == VERSION_HANDED_IN { Some(take_handed_in(&mut rest)?) } else { None };
        let quarantine = if flags & FLAG_QUARANTINED == 0 { None } else { Some(take_text(&mut rest)?) };
        Ok(Self {
            source,
            encoding: if flags & FLAG_GZIP == 0 { Encoding::Plain } else { Encoding::Gzip },
            family: Family::from_byte(family),
            account,
            internal_leg: flags & FLAG_INTERNAL_LEG != 0,
            mended,
            quarantine,
            category: take_text(&mut rest)?,
            name: take_text(&mut rest)?,
            subject: take_text(&mut rest)?,
            msg_id: take_text(&mut rest)?,
            detail: take_text(&mut rest)?,
            exchange: take_text(&mut rest)?,
            routing_key: take_text(&mut rest)?,
            trace,
            trace_state,
            handed_in,
            body: rest,
        })
    }

    /// The log tag of an event: its account's tag, or 0 when it has no account or is in quarantine.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.account.filter(|_| self.quarantine.is_none()).map_or(0, AccountId::tag)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or("");
    let len = u16::try_from(text.len()).unwrap_or(0);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, DecodeEventError> {
    let (len, tail) = rest.split_first_chunk::<2>().ok_or(DecodeEventError::Short)?;
    let len = usize::from(u16::from_le_bytes(*len));
    let (text, tail) = tail.split_at_checked(len).ok_or(DecodeEventError::Short)?;
    *rest = tail;
    std::str::from_utf8(text).map_err(|_| DecodeEventError::Invalid("text"))
}

fn take_handed_in<'a>(rest: &mut &'a [u8]) -> Result<HandedIn<'a>, DecodeEventError> {
    let (account, tail) = rest.split_first_chunk::<16>().ok_or(DecodeEventError::Short)?;
    *rest = tail;
    let key = take_text(rest)?;
    let (digest, tail) = rest.split_first_chunk::<32>().ok_or(DecodeEventError::Short)?;
    let (count, tail) = tail.split_first_chunk::<4>().ok_or(DecodeEventError::Short)?;
    *rest = tail;
    let account = AccountId(u128::from_be_bytes(*account));
    Ok(HandedIn { account, key, digest: *digest, count: u32::from_le_bytes(*count) })
}

fn take_trace<'a>(rest: &mut &'a [u8]) -> Result<(Option<Span>, &'a str), DecodeEventError> {
    let (trace, tail) = rest.split_first_chunk::<16>().ok_or(DecodeEventError::Short)?;
    let (id, tail) = tail.split_first_chunk::<8>().ok_or(DecodeEventError::Short)?;
    let (flags, tail) = tail.split_first().ok_or(DecodeEventError::Short)?;
    *rest = tail;
    let span = Span { trace: u128::from_be_bytes(*trace), id: u64::from_be_bytes(*id), flags: *flags };
    Ok((Some(span), take_text(rest)?))
}

/// An event's public id: the log's id and the offset as 24 hex digits, ordered like the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// A random number drawn when the data directory was created, so that ids of two directories differ.
    pub log: u32,
    /// Position in the log.
    pub offset: EventOffset,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = (u128::from(self.log) << 64) | u128::from(self.offset.0);
        f.write_str(super::id::hex(number, &mut [0; 24]))
    }
}

impl FromStr for EventId {
    type Err = DecodeEventError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parsed = (s.len() == 24 && s.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| s.split_at_checked(8))
            .flatten()
            .and_then(|(log, offset)| {
                Some(Self {
                    log: u32::from_str_radix(log, 16).ok()?,
                    offset: EventOffset(u64::from_str_radix(offset, 16).ok()?),
                })
            });
        parsed.ok_or(DecodeEventError::Invalid("event id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(body: &[u8]) -> Event<'_> {
        Event {
            source: Source::Amqp,
            encoding: Encoding::Gzip,
            family: Some(Family::Mms),
            account: Some(AccountId(7)),
            internal_leg: true,
            mended: Mended::NOTHING,
            quarantine: Some("why"),
            category: "mms",
            name: "inbound",
            subject: "s",
            msg_id: "m",
            detail: "",
            exchange: "im",
            routing_key: "mms.inbound.offnet.x",
            trace: Some(Span { trace: 1 << 100, id: 1 << 60, flags: 1 }),
            trace_state: "vendor=1",
            handed_in: None,
            body,
        }
    }

    #[test]
    fn a_decoded_event_equals_the_encoded_one() {
        let event = sample(b"body");
        assert_eq!(Event::decode(&event.encode()).unwrap(), event);
    }

    #[test]
    fn an_event_without_a_trace_is_a_record_of_version_1() {
        let untraced = Event { trace: None, trace_state: "", ..sample(b"body") };
        assert_eq!((untraced.encode()[0], sample(b"").encode()[0]), (1, 2));
        assert_eq!(Event::decode(&untraced.encode()).unwrap(), untraced);
    }

    #[test]
    fn a_mended_event_is_a_record_of_version_3_with_or_without_a_trace() {
        let mut mended = Mended::LONE_SURROGATE;
        mended.add(Mended::NESTING);
        for event in [sample(b"body"), Event { trace: None, trace_state: "", ..sample(b"body") }] {
            let event = Event { mended, ..event };
            let bytes = event.encode();
            assert_eq!((bytes[0], Event::decode(&bytes).unwrap()), (3, event));
        }
    }

    #[test]
    fn an_event_of_a_request_with_a_key_is_a_record_of_version_4() {
        let request = HandedIn { account: AccountId(9), key: "key:a", digest: [3; 32], count: 7 };
        for event in [sample(b"body"), Event { trace: None, trace_state: "", ..sample(b"body") }] {
            let bytes = Event { handed_in: Some(request), ..event }.encode();
            assert_eq!(Event::decode(&bytes).unwrap(), Event { handed_in: Some(request), ..event });
            assert_eq!(bytes[0], 4);
            for end in 0..bytes.len() - event.body.len() {
                assert!(Event::decode(&bytes[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn every_cut_of_a_header_is_an_error_and_never_a_panic() {
        let bytes = sample(b"").encode();
        for end in 0..bytes.len() {
            assert!(Event::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_parsed_event_id_equals_the_written_one() {
        let id = EventId { log: 0xabc, offset: EventOffset(77) };
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert!("xyz".parse::<EventId>().is_err());
    }
}
