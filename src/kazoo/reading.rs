//! Turns the bytes of an event into strict JSON before they are stored, or refuses them. No other code does this.
//!
//! All later readers accept the result: UTF-8, no unpaired surrogates, no raw control characters, containers nested
//! at most [`MOST_DEPTH`] deep, no member name that `serde_json` reserves. A body that already fulfils this passes
//! byte for byte, and numbers are never changed. The scanner does not recurse, so deep nesting cannot overflow the
//! stack.

use std::borrow::Cow;

use super::facts::{NotUnderstood, account_in};
use crate::model::{AccountId, Mended};

/// Deepest allowed nesting; a deeper container becomes its JSON text. Readers stop at 128 levels, and the envelope
/// around an event takes some of these.
pub const MOST_DEPTH: usize = 100;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
/// Names by which `serde_json` distinguishes its numbers and raw values from objects.
const RESERVED: [&str; 2] = ["$serde_json::private::Number", "$serde_json::private::RawValue"];

/// An event's body in strict JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Strict JSON.
    pub body: Cow<'a, [u8]>,
    /// The repairs that were necessary.
    pub mended: Mended,
}

/// Reads bytes as JSON. Faults inside texts are repaired; bytes that are not JSON outside of texts are refused.
pub fn reading(bytes: &[u8]) -> Result<Reading<'_>, NotUnderstood> {
    let mut scanner = Scanner::new(bytes);
    scanner.value().map_err(|what| {
        if scanner.is_utf8 || what != UNEXPECTED {
            NotUnderstood::NotJson(format!("{what} at byte {}", scanner.at))
        } else {
            NotUnderstood::NotText(scanner.at)
        }
    })?;
    Ok(scanner.finish())
}

/// The account in malformed JSON. Only members that are complete before the fault count.
#[must_use]
pub fn account_before_break(bytes: &[u8]) -> Option<AccountId> {
    let mut scanner = Scanner::new(bytes);
    if scanner.value().is_ok() {
        return account_in(&scanner.finish().body);
    }
    account_in(&scanner.whole_part()?)
}

/// Why a text is not JSON, in a few words.
type What = &'static str;

const UNEXPECTED: What = "unexpected character";
const ENDED: What = "unexpected end";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    /// Whether all bytes are UTF-8, so that single texts need no check.
    is_utf8: bool,
    at: usize,
    /// The input up to this byte has been copied to `out`, with repairs.
    copied: usize,
    out: Vec<u8>,
    mended: Mended,
    open: Vec<Container>,
    /// Position in `out` at which the container that is nested too deeply starts.
    too_deep: Option<usize>,
    /// The end of the last complete value, and the number of containers open around it.
    complete: Option<(usize, usize)>,
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            is_utf8: std::str::from_utf8(bytes).is_ok(),
            at: 0,
            copied: 0,
            out: Vec::new(),
            mended: Mended::NOTHING,
            open: Vec::new(),
            too_deep: None,
            complete: None,
        }
    }

    fn finish(mut self) -> Reading<'a> {
        // Most events need no repair and are stored without a copy.
        let body = if self.mended.is_nothing() {
            Cow::Borrowed(self.bytes)
        } else {
            self.copy_to(self.bytes.len());
            Cow::Owned(self.out)
        };
        Reading { body, mended: self.mended }
    }

    /// The text up to the last complete value, with all open containers closed.
    fn whole_part(mut self) -> Option<Vec<u8>> {
        let (end, depth) = self.complete?;
        // Not usable when `out` is already ahead of the last complete value.
        // `out` cannot be cut back, because repairs have changed the lengths.
        if self.too_deep.is_some() || end < self.copied {
            return None;
        }
        self.copy_to(end);
        let open = self.open.get(..depth)?.iter().rev();
        self.out.extend(open.map(|container| match container {
            Container::Object => b'}',
            Container::Array => b']',
        }));
        Some(self.out)
    }

    /// Scans one value with nothing after it.
    fn value(&mut self) -> Result<(), What> {
        if self.bytes.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
            self.replace(0, b"", Mended::BYTE_ORDER_MARK);
        }
        loop {
            self.blank();
            let is_open = match self.peek().ok_or(ENDED)? {
                b'{' => self.enter(Container::Object)?,
                b'[' => self.enter(Container::Array)?,
                b'"' => self.text().map(|()| false)?,
                b't' => self.word(b"true").map(|()| false)?,
                b'f' => self.word(b"false").map(|()| false)?,
                b'n' => self.word(b"null").map(|()| false)?,
                b'-' | b'0'..=b'9' => self.number().map(|()| false)?,
                _ => return Err(UNEXPECTED),
            };
            if !is_open && self.is_over()? {
                return Ok(());
            }
        }
    }

    /// After a value: true when it was the last one, false when another one follows.
    fn is_over(&mut self) -> Result<bool, What> {
        loop {
            self.complete = Some((self.at, self.open.len()));
            self.blank();
            let Some(container) = self.open.last() else {
                return if self.peek().is_none() { Ok(true) } else { Err(UNEXPECTED) };
            };
            match (container, self.peek().ok_or(ENDED)?) {
                (Container::Object, b',') => {
                    self.at += 1;
                    self.name()?;
                    return Ok(false);
                }
                (Container::Array, b',') => {
                    self.at += 1;
                    return Ok(false);
                }
                (Container::Object, b'}') | (Container::Array, b']') => self.leave(),
                _ => return Err(UNEXPECTED),
            }
        }
    }

    /// Enters a container; false when it is empty.
    fn enter(&mut self, container: Container) -> Result<bool, What> {
        // Remember where the text of the container starts in `out`. `leave` replaces it there by its JSON text, when
        // all repairs inside it are done.
        if self.open.len() == MOST_DEPTH {
            self.copy_to(self.at);
            self.too_deep = Some(self.out.len());
            self.mended.add(Mended::NESTING);
        }
        self.at += 1;
        self.open.push(container);
        self.blank();
        match (container, self.peek().ok_or(ENDED)?) {
            (Container::Object, b'}') | (Container::Array, b']') => {
                self.leave();
                Ok(false)
            }
            (Container::Object, _) => self.name().map(|()| true),
            (Container::Array, _) => Ok(true),
        }
    }

    fn leave(&mut self) {
        self.at += 1;
        self.open.pop();
        if self.open.len() == MOST_DEPTH
            && let Some(from) = self.too_deep.take()
        {
            self.copy_to(self.at);
            let inner = self.out.split_off(from.min(self.out.len()));
            let text = serde_json::Value::from(String::from_utf8_lossy(&inner)).to_string();
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    /// Scans a member's name and its colon.
    fn name(&mut self) -> Result<(), What> {
        self.blank();
        if self.peek().ok_or(ENDED)? != b'"' {
            return Err(UNEXPECTED);
        }
        let from = self.at;
        self.text()?;
        if let Some(name) = self.bytes.get(from..self.at).and_then(reserved) {
            let mended = format!("\"{}\"", name.trim_start_matches('$'));
            self.replace(from, mended.as_bytes(), Mended::RESERVED_NAME);
        }
        self.blank();
        if self.peek().ok_or(ENDED)? != b':' {
            return Err(UNEXPECTED);
        }
        self.at += 1;
        Ok(())
    }

    fn text(&mut self) -> Result<(), What> {
        self.at += 1;
        loop {
            let byte = self.peek().ok_or(ENDED)?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..=0x1f => {
                    self.at += 1;
                    let escaped = format!("\\u{byte:04x}");
                    self.replace(self.at - 1, escaped.as_bytes(), Mended::CONTROL_CHARACTER);
                }
                0x80.. if !self.is_utf8 => self.character(),
                _ => self.at += 1,
            }
        }
    }

    /// Scans a character of several bytes, or replaces an invalid byte.
    fn character(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(chunk) = rest.get(..rest.len().min(4)).and_then(|four| four.utf8_chunks().next()) else {
            return;
        };
        if let Some(character) = chunk.valid().chars().next() {
            self.at += character.len_utf8();
        } else {
            let from = self.at;
            self.at += chunk.invalid().len().max(1);
            self.replace(from, REPLACEMENT, Mended::INVALID_UTF8);
        }
    }

    fn escape(&mut self) -> Result<(), What> {
        let from = self.at;
        let is_known = match self.bytes.get(from + 1).ok_or(ENDED)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 2;
                true
            }
            b'u' => self.unicode_escape(),
            _ => false,
        };
        // Only the backslash is repaired; the character after it is scanned as usual.
        if !is_known {
            self.at += 1;
            self.replace(from, br"\\", Mended::UNKNOWN_ESCAPE);
        }
        Ok(())
    }

    /// Moves past `\uXXXX`, or past both halves of a surrogate pair; false when it is not valid.
    fn unicode_escape(&mut self) -> bool {
        let from = self.at;
        let Some(unit) = self.unit_at(from) else { return false };
        let is_pair = (0xd800..0xdc00).contains(&unit)
            && self.unit_at(from + 6).is_some_and(|low| (0xdc00..0xe000).contains(&low));
        self.at += if is_pair { 12 } else { 6 };
        if !is_pair && (0xd800..0xe000).contains(&unit) {
            self.replace(from, REPLACEMENT, Mended::LONE_SURROGATE);
        }
        true
    }

    fn unit_at(&self, at: usize) -> Option<u16> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(br"\u")?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
    }

    fn number(&mut self) -> Result<(), What> {
        self.skip(|byte| byte == b'-', 1);
        let first = self.peek().ok_or(ENDED)?;
        let most = if first == b'0' { 1 } else { usize::MAX };
        self.digits(most)?;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(usize::MAX)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.skip(|byte| matches!(byte, b'+' | b'-'), 1);
            self.digits(usize::MAX)?;
        }
        Ok(())
    }

    fn digits(&mut self, most: usize) -> Result<(), What> {
        match (self.skip(|byte| byte.is_ascii_digit(), most), self.peek()) {
            (0, None) => Err(ENDED),
            (0, Some(_)) => Err(UNEXPECTED),
            _ => Ok(()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), What> {
        let is_it = self.bytes.get(self.at..).unwrap_or_default().starts_with(word);
        self.at += if is_it { word.len() } else { 0 };
        if is_it { Ok(()) } else { Err(UNEXPECTED) }
    }

    fn blank(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'), usize::MAX);
    }

    fn skip(&mut self, is_one: impl Fn(u8) -> bool, most: usize) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.iter().take(most).take_while(|byte| is_one(**byte)).count();
        self.at += count;
        count
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Replaces the bytes from `from` up to the scanner's position with `text`.
    fn replace(&mut self, from: usize, text: &[u8], why: Mended) {
        self.copy_to(from);
        self.out.extend_from_slice(text);
        self.copied = self.at;
        self.mended.add(why);
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.bytes.get(self.copied..end).unwrap_or_default());
        self.copied = self.copied.max(end);
    }
}

/// The reserved name that this text spells, given with quotes and escapes.
fn reserved(text: &[u8]) -> Option<&'static str> {
    // Fast path: most names have neither a `$` nor an escape.
    if text.get(1) != Some(&b'$') && !text.contains(&b'\\') {
        return None;
    }
    let name: Cow<'_, str> = serde_json::from_slice::<String>(text).ok()?.into();
    RESERVED.into_iter().find(|reserved| *reserved == name)
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
