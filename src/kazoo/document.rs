//! Hook documents: from the stored document to the hook in use, and to the document that the API returns. Reading is
//! lenient, because stored documents can be of any age. The API's document never has private fields or secrets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;

use super::Object;
use super::extensions::sent_headers;
use super::lenient::Text;
use crate::model::{
    AccountId, Birth, EventOffset, Family, Format, Hook, HookId, HookRetry, LedgerOffset, Ordering, Resume,
    Secret, Success, Trigger, Verb,
};

/// Stands for a secret in the API.
pub const MASKED_SECRET: &str = "whsec_***";

/// Why a document does not make a hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// `_id` is absent or not 32 hex digits.
    #[error("hook document has no usable _id")]
    NoId,
    /// `pvt_account_id` is absent or not 32 hex digits.
    #[error("hook document has no usable pvt_account_id")]
    NoAccount,
    /// `uri` is absent.
    #[error("hook document has no uri")]
    NoUri,
    /// `hook` is unknown.
    #[error("hook document asks for the unknown event '{0}'")]
    UnknownHook(String),
}

/// Reads the hook of a stored document: the public fields, `_id` and our `pvt_` fields.
///
/// The hook's secrets are `secret`, then the older ones in `pvt_secrets`; a secret that cannot be decoded is left
/// out.
pub fn hook_from_document(doc: &Object) -> Result<Hook, DocumentError> {
    let id: HookId = text(doc, "_id").get().and_then(|t| t.parse().ok()).ok_or(DocumentError::NoId)?;
    let account: AccountId =
        text(doc, "pvt_account_id").get().and_then(|t| t.parse().ok()).ok_or(DocumentError::NoAccount)?;
    let uri = text(doc, "uri").get().ok_or(DocumentError::NoUri)?.to_owned();
    let hook = text(doc, "hook");
    let trigger =
        trigger(hook.or_empty()).ok_or_else(|| DocumentError::UnknownHook(hook.or_empty().to_owned()))?;
    let enabled =
        text(doc, "enabled").flag().unwrap_or(true) && text(doc, "pvt_deleted").flag() != Some(true);
    let disabled_message = text(doc, "pvt_disabled_message").get().map(str::to_owned);
    Ok(Hook {
        id,
        account,
        revision: text(doc, "_rev").or_empty().into(),
        disabled_at_s: disabled_at_s(doc).filter(|_| !enabled),
        name: text(doc, "name").or_empty().to_owned(),
        trigger,
        uri,
        verb: verb(doc),
        format: format(doc),
        tries: tries(doc),
        enabled,
        disable_reason: disabled_message.filter(|_| !enabled),
        include_subaccounts: text(doc, "include_subaccounts").flag().unwrap_or(false),
        include_internal_legs: text(doc, "include_internal_legs").flag().unwrap_or(true),
        custom_data: object(doc, "custom_data"),
        modifiers: object(doc, "modifiers"),
        ordering: ordering(doc),
        secrets: secrets(doc),
        headers: sent_headers(doc),
        success: if text(doc, "success").get() == Some("2xx") { Success::Any2xx } else { Success::Kazoo },
        retry: retry(doc),
        timeout_ms: unsigned(doc, "timeout_ms"),
        max_in_flight: unsigned(doc, "max_in_flight").and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
        rate_limit_per_s: unsigned(doc, "rate_limit_per_s")
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0),
        paused: text(doc, "pvt_paused").flag().unwrap_or(false),
        resume: if text(doc, "resume").get() == Some("held") { Resume::Held } else { Resume::Now },
        start_offset: EventOffset(unsigned(doc, "pvt_start_offset").unwrap_or(0)),
        birth: Birth {
            ledger: LedgerOffset(unsigned(doc, "pvt_birth_ledger").unwrap_or(0)),
            events: EventOffset(unsigned(doc, "pvt_birth_events").unwrap_or(0)),
            is_late: text(doc, "pvt_birth_late").flag().unwrap_or(false),
        },
        one_shot: false,
    })
}

/// When the hook was disabled. Documents of earlier versions do not say it: the last change must have been that or later.
fn disabled_at_s(doc: &Object) -> Option<u64> {
    ["pvt_disabled_at", "pvt_modified"].into_iter().find_map(|name| doc.get(name)?.as_u64())
}

pub(super) fn text<'d>(doc: &'d Object, key: &str) -> Text<'d> {
    doc.get(key).map(Text::from_value).unwrap_or_default()
}

pub(super) fn object(doc: &Object, key: &str) -> Option<Box<Object>> {
    doc.get(key).and_then(Value::as_object).cloned().map(Box::new)
}

fn unsigned(doc: &Object, key: &str) -> Option<u64> {
    text(doc, key).integer().and_then(|n| u64::try_from(n).ok())
}

fn trigger(hook: &str) -> Option<Trigger> {
    if hook.eq_ignore_ascii_case("all") {
        return Some(Trigger::All);
    }
    Family::from_id(hook).map(Trigger::Family)
}

/// The verb; POST when it is absent or unknown, as in KAZOO.
pub(super) fn verb(doc: &Object) -> Verb {
    let verb = text(doc, "http_verb");
    [Verb::Get, Verb::Put]
        .into_iter()
        .find(|v| verb.or_empty().eq_ignore_ascii_case(v.id()))
        .unwrap_or(Verb::Post)
}

pub(super) fn format(doc: &Object) -> Format {
    if text(doc, "format").get() == Some("json") { Format::Json } else { Format::Form }
}

/// The total number of tries, which KAZOO calls `retries`: limited to 1 to 5, and 2 when absent.
pub(super) fn tries(doc: &Object) -> u16 {
    let asked = text(doc, "retries").integer().unwrap_or(2);
    u16::try_from(asked.clamp(1, 5)).unwrap_or(2)
}

fn ordering(doc: &Object) -> Ordering {
    match text(doc, "ordering").get() {
        Some("hook") => Ordering::Hook,
        Some("none") => Ordering::None,
        _ => Ordering::Subject,
    }
}

fn secrets(doc: &Object) -> Vec<Secret> {
    let newest = doc.get("secret").and_then(Value::as_str).map(|secret| (secret, None));
    let older = doc.get("pvt_secrets").and_then(Value::as_array).into_iter().flatten().filter_map(former);
    let mut out: Vec<Secret> = Vec::new();
    for (secret, until_s) in newest.into_iter().chain(older) {
        let key = decode_secret(secret).filter(|key| !out.iter().any(|known| known.key == *key));
        out.extend(key.map(|key| Secret { key, until_s }));
    }
    out
}

/// A secret from before a rotation, and the end of its validity. Older documents have only the text, without an end.
fn former(entry: &Value) -> Option<(&str, Option<u64>)> {
    match entry {
        Value::String(secret) => Some((secret, None)),
        _ => Some((entry.get("secret")?.as_str()?, Some(entry.get("until")?.as_u64()?))),
    }
}

/// The key bytes of a `whsec_` text.
pub(super) fn decode_secret(secret: &str) -> Option<Vec<u8>> {
    let encoded = secret.strip_prefix("whsec_")?;
    STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()
}

fn retry(doc: &Object) -> HookRetry {
    let Some(Value::Object(retry)) = doc.get("retry") else { return HookRetry::default() };
    HookRetry {
        max_attempts: unsigned(retry, "max_attempts").and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
        initial_ms: unsigned(retry, "initial_ms"),
        max_ms: unsigned(retry, "max_ms"),
    }
}

/// The document for the API: without private fields, with `id`, with `disable_reason` while the program has the hook
/// disabled, with `paused` while the hook is paused, and with [`MASKED_SECRET`] instead of a secret.
#[must_use]
pub fn public_document(doc: &Object) -> Object {
    let mut out: Object = doc
        .iter()
        .filter(|(key, _)| !key.starts_with('_') && !key.starts_with("pvt_"))
        .filter(|(key, _)| !matches!(key.as_str(), "id" | "disable_reason" | "paused" | "secrets"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(secret) = out.get_mut("secret") {
        *secret = MASKED_SECRET.into();
    }
    if let Some(id) = doc.get("_id") {
        out.insert("id".to_owned(), id.clone());
    }
    let disabled = text(doc, "enabled").flag() == Some(false);
    if let Some(reason) = doc.get("pvt_disabled_message").filter(|_| disabled) {
        out.insert("disable_reason".to_owned(), reason.clone());
    }
    if text(doc, "pvt_paused").flag() == Some(true) {
        out.insert("paused".to_owned(), true.into());
    }
    out
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
