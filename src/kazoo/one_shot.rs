//! The one-shot hook in the event of a callflow's webhook action: used once and never stored.

use serde_json::Value;

use super::document::{format, object, text, tries, verb};
use super::extensions::sent_headers;
use super::payload::{MAX_BODY_BYTES, gunzip};
use super::{PayloadError, whole};
use crate::model::{AccountId, Encoding, Event, Family, Hook, HookId, Trigger};

/// Why a callflow's event contains no usable hook.
#[derive(Debug, thiserror::Error)]
pub enum OneShotError {
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] PayloadError),
    /// `Hook` is absent or not an object.
    #[error("callflow event has no Hook object")]
    NoHook,
    /// `Hook.uri` is absent or empty.
    #[error("callflow event's hook has no uri")]
    NoUri,
    /// Neither the hook nor the event names an account.
    #[error("callflow event's hook has no account")]
    NoAccount,
}

/// Reads the one-shot hook of a callflow's event. Unless the event says otherwise, it posts a form with two tries;
/// its `hook` field is ignored. Its id consists of the digits of `Hook._id` and is not unique.
pub fn one_shot(event: &Event<'_>) -> Result<Hook, OneShotError> {
    let mut map = match event.encoding {
        Encoding::Plain => whole::object(event.body)?,
        Encoding::Gzip => whole::object(&gunzip(event.body, MAX_BODY_BYTES)?)?,
    };
    let Some(Value::Object(doc)) = map.shift_remove("Hook") else { return Err(OneShotError::NoHook) };
    let uri = text(&doc, "uri").get().ok_or(OneShotError::NoUri)?.to_owned();
    let named: Option<AccountId> = text(&doc, "pvt_account_id").get().and_then(|t| t.parse().ok());
    let account = named.or(event.account).ok_or(OneShotError::NoAccount)?;
    let id = text(&doc, "_id").get().and_then(id_of).unwrap_or_default();
    Ok(Hook {
        name: "callflow".to_owned(),
        verb: verb(&doc),
        format: format(&doc),
        tries: tries(&doc),
        headers: sent_headers(&doc),
        custom_data: object(&doc, "custom_data"),
        one_shot: true,
        ..Hook::new(id, account, Trigger::Family(Family::Callflow), uri)
    })
}

/// Reads up to 32 hex digits, so that a decimal time keeps its digits in the id.
fn id_of(text: &str) -> Option<HookId> {
    let fits = text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| u128::from_str_radix(text, 16).ok().map(HookId)).flatten()
}

#[cfg(test)]
#[path = "one_shot_tests.rs"]
mod tests;
