//! Where the events of a request begin and end, in a body that is not quite JSON. Pure.
//!
//! A PBX writes Latin-1 bytes and raw control characters into texts. Such an event is mended when it is taken in, as
//! one from the broker is; to get there, it has to be found in its request. Only the structure is read here: quotes,
//! brackets, commas. Whether a piece is an event is for its reader to say.

/// The members of an object: names, and values as they came. `None`: no object.
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

/// The elements of an array, as they came. `None`: no array.
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

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Takes one byte of the structure, if it is the next.
    fn take(&mut self, wanted: u8) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(&[wanted])?;
        Some(())
    }

    fn is_over(&self) -> bool {
        self.0.trim_ascii_start().is_empty()
    }

    /// Takes one value: a text, a number or word, or all from a bracket to the one that closes it.
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

/// The place behind the text that begins at `start`.
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
    fn events_are_found_among_bytes_that_are_no_json() {
        let body =
            b" {\"auth_token\":\"t\", \"data\" : [{\"a\":\"Zo\xeb]}\"}, {\"b\":[\"\\\"}\x07\",1e999]}] } ";
        let found = members(body).unwrap();
        assert_eq!(found[0], ("auth_token".to_owned(), &b"\"t\""[..]));
        let events = elements(found[1].1).unwrap();
        let expected: [&[u8]; 2] = [b"{\"a\":\"Zo\xeb]}\"}", b"{\"b\":[\"\\\"}\x07\",1e999]}"];
        assert_eq!(events, expected);
    }

    #[test]
    fn what_has_no_structure_is_nothing() {
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
        fn json_is_taken_apart_as_its_own_reader_does(texts in prop::collection::vec(".*", 0..5), n: u64) {
            let all: Vec<Value> =
                texts.iter().map(|text| serde_json::json!({"t": text, "n": [n, {text: null}]})).collect();
            let written = serde_json::to_string_pretty(&all).unwrap();
            let raw: Vec<&RawValue> = serde_json::from_str(&written).unwrap();
            let found = elements(written.as_bytes()).unwrap();
            prop_assert_eq!(found, raw.iter().map(|one| one.get().as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_fall_over(bytes: Vec<u8>) {
            drop(members(&bytes));
            drop(elements(&bytes));
        }
    }
}
