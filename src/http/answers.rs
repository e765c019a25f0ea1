//! What receivers answered, for a plain user: without the secrets of the hook that the receiver repeats.
//!
//! A receiver that fails may show the request that it got, with the hook's headers, address and data. Masked are the
//! secrets that the hook has now, and those in the body that was sent.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::errors::ApiError;
use crate::model::KnownSecrets;
use crate::state::{Kind, State};

/// The fields of an attempt that contain what the receiver sent.
const ANSWERED: [&str; 3] = ["resp_headers", "resp_body", FAULT];
/// The one that only quotes it.
const FAULT: &str = "client_error_detail";

/// The secrets of the hooks whose attempts are shown.
pub(super) struct Answers<'a> {
    state: &'a State,
    known: HashMap<String, KnownSecrets>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        Self { state, known: HashMap::new() }
    }

    /// Masks the secrets in the row of an attempt.
    pub(super) fn mask(&mut self, attempt: &mut Value) -> Result<(), ApiError> {
        let text = |field: &str| attempt.get(field).and_then(Value::as_str).unwrap_or_default();
        if ANSWERED.iter().all(|field| attempt.get(field).is_none()) {
            return Ok(());
        }
        let (hook, sent) = (text("hook_id").to_owned(), in_body(text("req_body")));
        if !self.known.contains_key(&hook) {
            let document = self.state.get(Kind::Hook, &hook)?.unwrap_or_default();
            self.known.insert(hook.clone(), KnownSecrets::of(&document));
        }
        for known in self.known.get(&hook).into_iter().chain([&sent]) {
            for field in ANSWERED {
                match attempt.get_mut(field) {
                    Some(Value::String(fault)) if field == FAULT => *fault = known.masked_in_fault(fault),
                    Some(answered) => *answered = known.masked_in(answered),
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// The secrets in a body, JSON or form.
fn in_body(body: &str) -> KnownSecrets {
    let document = serde_json::from_str::<Map<String, Value>>(body).unwrap_or_else(|_| {
        url::form_urlencoded::parse(body.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect()
    });
    KnownSecrets::of(&document)
}
