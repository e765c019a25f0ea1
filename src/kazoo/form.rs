//! Form encoding of a payload, for bodies and query strings. It is KAZOO's bracket notation without KAZOO's defects:
//! keys are escaped, nulls and empty containers are left out. A form parser recovers exactly what was encoded.

use serde_json::Value;

use super::json::json;
use super::members::{Member, Payload};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A form of up to this many bytes is always made.
const PLAIN_BYTES: usize = 64 << 10;
/// A larger form may be at most this many times as large as the payload's JSON text.
pub const MOST_TIMES: usize = 16;

/// A form under construction, with a bound on its size.
struct Bounded {
    text: String,
    most: usize,
}

/// Encodes `a=1&b[c]=2&d[]=3`. An object or array inside an array becomes its JSON text.
///
/// `None` when the form would be many times as large as the payload: each value repeats the names above it, so a long
/// name above many values could turn a megabyte into gigabytes.
#[must_use]
pub fn form(payload: &Payload<'_>) -> Option<String> {
    // The size of the JSON text is only computed for large forms, because it costs as much as the form.
    within(payload, PLAIN_BYTES).or_else(|| {
        let bytes = json(payload).len();
        within(payload, PLAIN_BYTES.saturating_add(bytes.saturating_mul(MOST_TIMES)))
    })
}

fn within(payload: &Payload<'_>, most: usize) -> Option<String> {
    let mut out = Bounded { text: String::with_capacity(payload.len() * 40), most };
    put_members(&mut out, &mut String::with_capacity(64), payload)?;
    Some(out.text)
}

fn put_members(out: &mut Bounded, path: &mut String, members: &Payload<'_>) -> Option<()> {
    for (key, member) in members.iter() {
        let start = enter(path, key);
        match member {
            Member::Text(text) => put_text(out, path, text)?,
            // An empty key at the top leaves the path empty, so its members would be written without brackets.
            Member::Value(value) if path.is_empty() && value.is_object() => put_pair(out, path, value)?,
            Member::Value(value) => put(out, path, value)?,
            Member::Members(inner) => put_members(out, path, inner)?,
        }
        path.truncate(start);
    }
    Some(())
}

/// Appends a member's key to the path; returns the former length of the path.
fn enter(path: &mut String, key: &str) -> usize {
    let start = path.len();
    if start == 0 {
        escape(path, key);
    } else {
        path.push('[');
        escape(path, key);
        path.push(']');
    }
    start
}

fn put(out: &mut Bounded, path: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                let start = enter(path, key);
                put(out, path, value)?;
                path.truncate(start);
            }
        }
        Value::Array(items) => {
            let start = path.len();
            path.push_str("[]");
            // As in objects, nulls leave no trace.
            for item in items.iter().filter(|item| !item.is_null()) {
                put_pair(out, path, item)?;
            }
            path.truncate(start);
        }
        scalar => put_pair(out, path, scalar)?,
    }
    Some(())
}

fn put_pair(out: &mut Bounded, path: &str, value: &Value) -> Option<()> {
    match value {
        Value::String(text) => put_text(out, path, text),
        other => put_text(out, path, &other.to_string()),
    }
}

fn put_text(out: &mut Bounded, path: &str, text: &str) -> Option<()> {
    let Bounded { text: out, most } = out;
    // Checked before writing, with the lengths before escaping; so the form may exceed the bound by one escaped text.
    if out.len() + path.len() + text.len() > *most {
        return None;
    }
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(path);
    out.push('=');
    escape(out, text);
    Some(())
}

/// Appends the text and escapes all but unreserved bytes; runs of plain bytes are copied at once.
fn escape(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        // The byte may start a character of several bytes; escape the whole character.
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            escape_char(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn escape_char(out: &mut String, c: char) {
    if c == ' ' {
        out.push('+');
        return;
    }
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        out.push('%');
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
        }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_payload_is_encoded_as_kazoos_receivers_expect() {
        for (given, expected) in [
            (json!({}), ""),
            (json!({"call_id": "leg 7@host", "n": -3}), "call_id=leg+7%40host&n=-3"),
            (json!({"plain": "aZ09-._~"}), "plain=aZ09-._~"),
            (json!({"tel": "+491701234&x=1"}), "tel=%2B491701234%26x%3D1"),
            (json!({"a": {"b": {"c": "d", "e": 1}, "f": 2}}), "a[b][c]=d&a[b][e]=1&a[f]=2"),
            (json!({"list": ["p", 2, true, null]}), "list[]=p&list[]=2&list[]=true"),
            (json!({"list": [{"k": "v"}, [1]]}), "list[]=%7B%22k%22%3A%22v%22%7D&list[]=%5B1%5D"),
            (json!({"o": {"list": ["x"]}}), "o[list][]=x"),
            (json!({"yes": true, "no": false}), "yes=true&no=false"),
            (json!({"f": 12.0, "g": 0.1, "h": 2.5}), "f=12.0&g=0.1&h=2.5"),
            (json!({"big": 63_900_000_000_u64}), "big=63900000000"),
            (json!({"empty": ""}), "empty="),
            (json!({"u": "ü€😀\n"}), "u=%C3%BC%E2%82%AC%F0%9F%98%80%0A"),
        ] {
            assert_eq!(form(&given.as_object().cloned().unwrap().into()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn kazoos_encoding_errors_are_avoided() {
        for (given, expected) in [
            (json!({"a b&c=d": 1}), "a+b%26c%3Dd=1"),
            (json!({"x[y]": {"z]": 1}}), "x%5By%5D[z%5D]=1"),
            (json!({"a": {}, "b": 1, "c": []}), "b=1"),
            (json!({"a": null, "b": {"c": null}, "d": 1}), "d=1"),
            (json!({"": {"k": 1}}), "=%7B%22k%22%3A1%7D"),
        ] {
            assert_eq!(form(&given.as_object().cloned().unwrap().into()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_form_many_times_as_large_as_its_payload_is_refused() {
        let leaves: serde_json::Map<_, _> = (0..5000).map(|n| (n.to_string(), json!(n))).collect();
        let payload = |name: &str| json!({name: leaves.clone()}).as_object().cloned().unwrap().into();
        assert!(form(&payload(&"n".repeat(100))).is_some_and(|form| form.len() > PLAIN_BYTES));
        assert_eq!(form(&payload(&"n".repeat(10_000))), None);
        let text = json!({"t": "ü".repeat(1 << 20)}).as_object().cloned().unwrap().into();
        assert_eq!(form(&text).map(|form| form.len()), Some(2 + (6 << 20)), "no name is repeated");
    }
}
