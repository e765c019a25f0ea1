//! Masks the secrets of a document in texts that may repeat them. A receiver may answer with what it was sent.
//!
//! Which values are secret is decided as in `secrets.rs`. Here they are searched for as they are, encoded in the usual
//! ways, and at the end of a text that was cut. A secret of fewer than four characters is not searched for, because it
//! would be found everywhere.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::Hook;
use super::secrets::{MASK, are_headers, is_harmless, is_secret, masked_uri};

/// The fewest characters of a secret, and of the beginning of one at the end of a text.
const LEAST: usize = 4;

/// The secrets of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownSecrets {
    /// Longest first, because one may contain another.
    texts: Vec<String>,
}

impl KnownSecrets {
    /// The secrets of a document and its parts.
    #[must_use]
    pub fn of(document: &Map<String, Value>) -> Self {
        let mut found = BTreeSet::new();
        for (name, value) in document {
            gather(name, value, &mut found);
        }
        let mut texts: Vec<String> = found
            .iter()
            .flat_map(|text| spellings(text))
            .filter(|text| text.chars().count() >= LEAST && text != MASK)
            .collect();
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self { texts }
    }

    /// The secrets of a hook that its receiver gets.
    #[must_use]
    pub fn of_hook(hook: &Hook) -> Self {
        let headers = hook.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        let mut document = hook.custom_data.as_deref().cloned().unwrap_or_default();
        document.insert("uri".to_owned(), hook.uri.clone().into());
        document.insert("headers".to_owned(), headers.collect::<Map<_, _>>().into());
        Self::of(&document)
    }

    /// The explanation of a fault with every secret masked. It quotes the beginning of what was received, so that a
    /// secret may be cut off before a quotation mark.
    #[must_use]
    pub fn masked_in_fault(&self, fault: &str) -> String {
        fault.split('"').map(|part| self.masked_in_text(part)).collect::<Vec<_>>().join("\"")
    }

    /// The value with every secret in its texts masked.
    #[must_use]
    pub fn masked_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.masked_in_text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.masked_in(item)).collect::<Vec<_>>().into(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), self.masked_in(value)))
                .collect::<Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    fn masked_in_text(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for secret in &self.texts {
            if shown.contains(secret.as_str()) {
                shown = shown.replace(secret.as_str(), MASK);
            }
        }
        // Only the beginning of an answer is kept, so it may end within a secret.
        if let Some(cut) = self.texts.iter().filter_map(|secret| begun(&shown, secret)).max() {
            shown.truncate(shown.len() - cut);
            shown.push_str(MASK);
        }
        shown
    }
}

/// The bytes at the end of a text that are the beginning of a secret.
fn begun(text: &str, secret: &str) -> Option<usize> {
    let starts = secret.char_indices().map(|(at, _)| at).skip(LEAST);
    starts.filter(|at| secret.get(..*at).is_some_and(|start| text.ends_with(start))).last()
}

fn gather(name: &str, value: &Value, found: &mut BTreeSet<String>) {
    let lower = name.to_ascii_lowercase();
    match value {
        _ if is_secret(&lower) => leaves(value, found),
        Value::Object(headers) if are_headers(&lower) => {
            for (_, value) in headers.iter().filter(|(name, _)| !is_harmless(name)) {
                leaves(value, found);
                header(value.as_str().unwrap_or_default(), found);
            }
        }
        other if are_headers(&lower) => leaves(other, found),
        Value::Object(inner) => inner.iter().for_each(|(name, value)| gather(name, value, found)),
        Value::Array(items) => items.iter().for_each(|item| gather("", item, found)),
        Value::String(text) if masked_uri(text) != *text => uri(text, found),
        _ => {}
    }
}

/// A secret field's texts and numbers.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => found.extend([text.trim().to_owned()]),
        Value::Number(number) => found.extend([number.to_string()]),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| leaves(value, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// `Bearer s3cret` without its scheme, and the password in `Basic bWU6czNjcmV0`.
fn header(value: &str, found: &mut BTreeSet<String>) {
    let Some((scheme, secret)) = value.trim().split_once(' ') else { return };
    found.insert(secret.trim().to_owned());
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(plain) =
            STANDARD.decode(secret.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    {
        found.extend(plain.split_once(':').map(|(_, password)| password.to_owned()));
        found.insert(plain);
    }
}

/// What `masked_uri` masks, and the header in which user and password are sent.
fn uri(text: &str, found: &mut BTreeSet<String>) {
    // A text that only looks like a URI is masked as a whole.
    let Ok(uri) = url::Url::parse(text) else { return found.extend([text.to_owned()]) };
    let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(uri.username()), decoded(uri.password().unwrap_or_default()));
    if !user.is_empty() || !password.is_empty() {
        found.insert(STANDARD.encode(format!("{user}:{password}")));
    }
    found.extend([user, password]);
    for part in uri.query().unwrap_or_default().split(['&', ';']) {
        let value = part.split_once('=').map_or(part, |(_, value)| value);
        found.insert(decoded(&value.replace('+', " ")));
        found.insert(value.to_owned());
    }
    found.insert(decoded(uri.fragment().unwrap_or_default()));
}

/// A text as it is, in a form, in JSON and in HTML.
fn spellings(text: &str) -> [String; 4] {
    let form = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let json = Value::from(text).to_string();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(&json).to_owned();
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    [text.to_owned(), form, json, html]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(document: &Value) -> KnownSecrets {
        KnownSecrets::of(document.as_object().unwrap())
    }

    #[test]
    fn every_secret_of_a_document_is_found_however_it_is_spelt() {
        let known = known(&json!({
            "uri": "https://mary:pass%20word@a.example/path?key=a%2Fs3cret&lone-secret#fragment",
            "headers": {"Authorization": "Bearer t0ken<1>", "x-old": "Basic bWU6YmFzaWMtcHc=", "accept": "text/plain"},
            "custom_data": {"password": {"deep": ["nested-secret", 98765]}, "back": "http://x/?q=callback-key", "plain": "visible"},
            "secret": "whsec_abcdefgh", "name": "a hook"
        }));
        for said in [
            "mary",
            "pass word",
            "pass+word",
            "a/s3cret",
            "a%2Fs3cret",
            "lone-secret",
            "fragment",
            "t0ken<1>",
            "t0ken&lt;1&gt;",
            "bWFyeTpwYXNzIHdvcmQ=",
            "basic-pw",
            "nested-secret",
            "98765",
            "callback-key",
            "whsec_abcdefgh",
        ] {
            let shown = known.masked_in(&json!([format!("got '{said}' from you")]));
            assert_eq!(shown, json!(["got '***' from you"]), "{said}");
        }
        let harmless = json!({"resp_body": "path a.example text/plain visible a hook", "n": 1});
        assert_eq!(known.masked_in(&harmless), harmless);
    }

    #[test]
    fn a_secret_that_was_cut_off_is_masked_and_a_short_one_is_left_alone() {
        let known = known(&json!({"headers": {"x-key": "s3cret-é-key"}, "uri": "http://x/?v=1"}));
        for (text, shown) in [
            ("you sent s3cret-é-k", "you sent ***"),
            ("you sent s3cr", "you sent ***"),
            ("you sent s3c", "you sent s3c"),
            ("HTTP 1.1", "HTTP 1.1"),
        ] {
            assert_eq!(known.masked_in(&json!(text)), shown);
        }
        let fault = known.masked_in_fault("answer is not HTTP: \"GET /?k=s3cret\" (invalid)");
        assert_eq!(fault, "answer is not HTTP: \"GET /?k=***\" (invalid)");
    }
}
