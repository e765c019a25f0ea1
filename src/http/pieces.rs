//! Finds the events in a request whose body is only almost JSON (pure).
//!
//! Some PBXs write Latin-1 bytes and raw control characters into texts. Such an event is repaired when it is
//! accepted, like one from the broker, but first it must be found in the request. Therefore only the structure is
//! parsed here: quotes, brackets, commas. A later step decides whether a piece is an event.

/// The members of an object: names, and unparsed values. `None` if it is not an object.
pub(super) fn members(body: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut rest = Rest(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    rest.take(b'{')?;
    let mut found = Vec::new();
    if rest.take(b'}').is_some() {
        return rest.is_over().then_some(found);
    }
    loop {
        let name = serde_json::from_slice(rest.value()?).ok()?;
        rest.take(b':')?;
        found.push((name, rest.value()?));
        if rest.take(b',').is_none() {
            rest.take(b'}')?;
            return rest.is_over().then_some(found);
        }
    }
}

/// The unparsed elements of an array. `None` if it is not an array.
pub(super) fn elements(array: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = Rest(array);
    rest.take(b'[')?;
    let mut found = Vec::new();
    if rest.take(b']').is_some() {
        return rest.is_over().then_some(found);
    }
    loop {
        found.push(rest.value()?);
        if rest.take(b',').is_none() {
            rest.take(b']')?;
            return rest.is_over().then_some(found);
        }
    }
}

/// The part that has not been read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Takes the byte `wanted` if it is the next one.
    fn take(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(&[wanted])?;
        Some(())
    }

    fn is_over(&self) -> bool {
        self.0.trim_ascii_start().is_empty()
    }

    /// Takes one value: a text, a number or word, or everything from a bracket to its closing one.
    fn value(&mut self) -> Option<&'a [u8]> {
        let bytes = self.0.trim_ascii_start();
        let (mut at, mut depth) = (0, 0_usize);
        let end = loop {
            match bytes.get(at)? {
                b'"' => at = text_end(bytes, at)?,
                b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
                b'}' | b']' if depth > 0 => (at, depth) = (at + 1, depth - 1),
                b'}' | b']' | b',' | b':' if depth == 0 => break at,
                _ if depth > 0 => {
                    at += 1;
                    continue;
                }
                // A number or a word.
                byte if byte.is_ascii_whitespace() => break at,
                _ => {
                    at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break at;
            }
        };
        let (value, rest) = bytes.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
        self.0 = rest;
        Some(value)
    }
}

/// The position after the text that begins at `start`.
fn text_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn events_are_found_among_bytes_that_are_not_json() {
        let body =
            b" {\"auth_token\":\"t\", \"data\" : [{\"a\":\"Zo\xeb]}\"}, {\"b\":[\"\\\"}\x07\",1e999]}] } ";
        let found = members(body).unwrap();
        assert_eq!(found[0], ("auth_token".to_owned(), &b"\"t\""[..]));
        let events = elements(found[1].1).unwrap();
        let expected: [&[u8]; 2] = [b"{\"a\":\"Zo\xeb]}\"}", b"{\"b\":[\"\\\"}\x07\",1e999]}"];
        assert_eq!(events, expected);
    }

    #[test]
    fn bytes_without_a_structure_give_nothing() {
        for bad in [
            "",
            "{",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":\"x}",
            "{} x",
            "{\"a\":1 2}",
        ] {
            assert_eq!(members(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!((elements(b"[ ]"), elements(b"[1,]"), elements(b"{}")), (Some(Vec::new()), None, None));
    }

    proptest! {
        #[test]
        fn json_is_split_as_a_json_parser_does(texts in prop::collection::vec(".*", 0..5), n: u64) {
            let all: Vec<Value> =
                texts.iter().map(|text| serde_json::json!({"t": text, "n": [n, {text: null}]})).collect();
            let written = serde_json::to_string_pretty(&all).unwrap();
            let raw: Vec<&RawValue> = serde_json::from_str(&written).unwrap();
            let found = elements(written.as_bytes()).unwrap();
            prop_assert_eq!(found, raw.iter().map(|one| one.get().as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>) {
            drop(members(&bytes));
            drop(elements(&bytes));
        }
    }
}
