//! The JSON text of a payload, byte for byte as `serde_json` writes it. Most texts of an event have nothing to escape.
//! Such a text is copied as a whole, where `serde_json` looks at every byte again; writing a payload so costs a third.

use serde::Serialize;

use super::members::{Member, Payload};

/// The capacity for a usual payload, so that the text does not grow.
const USUAL_BYTES: usize = 1024;

/// The payload as a JSON object.
#[must_use]
pub(super) fn json(payload: &Payload<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    put_members(&mut out, payload);
    out
}

fn put_members(out: &mut Vec<u8>, payload: &Payload<'_>) {
    out.push(b'{');
    for (at, (name, member)) in payload.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_text(out, name);
        out.push(b':');
        match member {
            Member::Text(text) => put_text(out, text),
            Member::Value(value) => put(out, value),
            Member::Members(members) => put_members(out, members),
        }
    }
    out.push(b'}');
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    if has_escaped(text.as_bytes()) {
        return put(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn put(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Neither a text nor a value that was read from JSON can fail, and neither can writing to a Vec.
    let _written = serde_json::to_writer(out, value);
}

/// Whether a text has a character that JSON escapes: `"`, `\` or a control character.
fn has_escaped(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    words.iter().any(|word| has_escaped_in(u64::from_ne_bytes(*word)))
        || rest.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
}

/// The same for eight bytes at once.
fn has_escaped_in(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    // The lowest byte below `least`, if there is one, borrows from its highest bit, and this bit was not set before. Bytes
    // above it may be found in error, so this says whether there is one, not where.
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & HIGHS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\')) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_escaped_as_serde_json_does() {
        for character in (0..=0xff_u8).map(char::from) {
            for place in 0..20 {
                let text = format!("{}{character}{}", "a".repeat(place), "é".repeat(place % 7));
                let mut out = Vec::new();
                put_text(&mut out, &text);
                assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{text:?}");
                let is_escaped = matches!(character, '"' | '\\' | '\0'..'\x20');
                assert_eq!(has_escaped(text.as_bytes()), is_escaped, "{text:?}");
            }
        }
    }
}
