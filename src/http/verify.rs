//! `GET …/webhooks/{H}/verify`: how a receiver verifies requests, as code that works without changes.
//!
//! The code reads the secret from its environment. The secret itself is shown once, when it is made, and never here.
//! The code is that of the receivers in `examples/receivers/`, which `tests/it/examples.rs` runs.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;

/// The code by language. The first lines of each say what it needs.
const CODE: [(&str, &str); 5] = [
    ("python", include_str!("../../examples/receivers/python/verify.py")),
    ("javascript", include_str!("../../examples/receivers/javascript/verify.mjs")),
    ("php", include_str!("../../examples/receivers/php/verify.php")),
    ("go", include_str!("../../examples/receivers/go/webhook/verify.go")),
    ("rust", include_str!("../../examples/receivers/rust/verify.rs")),
];

pub(super) fn read(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let compiled = call.api.state.hook(hook);
    let secrets = compiled.map_or(0, |hook| {
        let now_s = call.unix_s();
        hook.secrets.iter().filter(|secret| secret.until_s.is_none_or(|until| now_s < until)).count()
    });
    let code: Map<_, _> = CODE.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
    Ok(Reply::ok(json!({
        "hook_id": hook, "signed": secrets > 0, "valid_secrets": secrets,
        "headers": ["webhook-id", "webhook-timestamp", "webhook-signature"], "code": code,
    })))
}
