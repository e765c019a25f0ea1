//! `GET …/webhooks/{H}/attempts/{D}/curl`: the request of a delivery as a shell command, signed now, so that a
//! receiver that verifies accepts it. Only for admins, because it contains the hook's headers and URI.

use std::sync::Arc;

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::delivery_of;
use super::reply::Reply;
use crate::kazoo;
use crate::model::{DeliveryId, NumberedAttempt, SentRequest};

/// The largest body in a command. Every Linux accepts an argument of 128 KiB (`MAX_ARG_STRLEN`).
const MOST_BODY: usize = 100 << 10;

pub(super) async fn read(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let unknown = || ApiError::unknown(id);
    let (hook, _) = call.hook(hook)?;
    let offset = delivery_of(call, hook, id).ok_or_else(unknown)?;
    let attempt = number(call)?;
    let state = &call.api.state;
    let now = state.hook(hook).ok_or_else(unknown)?;
    // Only what the hook gets, or got: no other event's body can be read through it.
    let found = call.api.queues.delivery(now.account, hook, offset).await?;
    if found.rows.is_empty() {
        return Err(unknown());
    }
    let record = call.api.queues.record(offset).await?.ok_or_else(unknown)?;
    let delivery = DeliveryId { event: state.settings().log_ids.event_id(offset), hook };
    let then = call.api.queues.hook_at(hook, offset, attempt).await?;
    let (sender, is_complete) = match &then {
        Some(then) => kazoo::with_secrets_of(then, &now),
        None => ((*now).clone(), true),
    };
    let numbered = NumberedAttempt { delivery, number: attempt.unwrap_or(1) };
    let request = call.api.tester.compose(Arc::new(sender), numbered, &record);
    let request = request.map_err(|reason| refused(&reason))?;
    if request.body.len() > MOST_BODY {
        return Err(refused("the body is too large for a command's argument"));
    }
    Ok(Reply::ok(json!({
        "delivery_id": delivery.to_string(), "command": command(&request),
        "hook_revision": then.map_or(now.revision.clone(), |then| then.revision), "is_complete": is_complete,
    })))
}

/// The number of the attempt; `None`: the last one.
fn number(call: &Call<'_>) -> Result<Option<u16>, ApiError> {
    let Some(text) = call.request.query("attempt").filter(|text| !text.is_empty()) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| ApiError::wrong_type("attempt", "integer", &text.into()))
}

fn refused(reason: &str) -> ApiError {
    ApiError::field("delivery_id", "error", &json!({"message": reason}))
}

/// The command. All foreign words are quoted, so that a shell interprets nothing in them.
fn command(request: &SentRequest) -> String {
    let mut words = vec![
        "curl --include --globoff --http1.1".to_owned(),
        format!("--request {}", quoted(&request.method)),
        format!("--url {}", quoted(&request.uri)),
    ];
    for (name, value) in &request.headers {
        // `name;` makes curl send a header without a value.
        let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        words.push(format!("--header {}", quoted(&header)));
    }
    if !request.body.is_empty() {
        let body = String::from_utf8_lossy(&request.body);
        // With --data-binary, a value that begins with @ would name a file.
        let option = if body.starts_with('@') { "--data-raw" } else { "--data-binary" };
        words.push(format!("{option} {}", quoted(&body)));
    }
    words.join(" \\\n  ")
}

/// A word in single quotes, in which a shell interprets nothing but the closing quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_quotes() {
        for text in ["", "plain", "it's", "'; touch /tmp/x; '", "$(x) `x` \\ \"", "line\nline", "'''"] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(text))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), text);
        }
    }
}
