//! Encodes and decodes one segment of a routing key like KAZOO's publishers. Decoding inverts encoding.

use std::fmt::Write as _;

/// Encodes one segment; a segment that is only `*` or `#` stays a wildcard.
#[must_use]
pub fn encode_segment(text: &str) -> String {
    if text == "*" || text == "#" {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'~' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                // Writing to a String cannot fail.
                let _ignored = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Decodes one segment. A `%` that does not start an escape stays; invalid UTF-8 becomes U+FFFD.
#[must_use]
pub fn decode_segment(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [hi, lo, after @ ..]) => match (hex(*hi), hex(*lo)) {
                (Some(hi), Some(lo)) => {
                    out.push(hi << 4 | lo);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(first),
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_escapes_all_but_unreserved_bytes() {
        for (text, segment) in [
            ("", ""),
            ("*", "*"),
            ("#", "#"),
            ("**", "%2A%2A"),
            ("#1", "%231"),
            ("9f-2_a~B", "9f-2_a~B"),
            ("leg.7@10.1.2.3", "leg%2E7%4010%2E1%2E2%2E3"),
            ("two words+one", "two+words%2Bone"),
            ("50% off", "50%25+off"),
            ("naïve", "na%C3%AFve"),
            ("a/b:c", "a%2Fb%3Ac"),
        ] {
            assert_eq!(encode_segment(text), segment);
            assert_eq!(decode_segment(segment), text);
        }
    }

    #[test]
    fn malformed_escapes_are_kept() {
        assert_eq!(decode_segment("a%"), "a%");
        assert_eq!(decode_segment("a%4"), "a%4");
        assert_eq!(decode_segment("%zz%41"), "%zzA");
        assert_eq!(decode_segment("%ff"), "\u{fffd}");
    }
}
