//! `GET …/webhooks/{H}/attempts/{D}/curl`: a delivery's request as a command for a shell, with a signature of now, so that
//! a receiver that verifies takes it. Only for admins: it holds what the hook's headers and its URI hold.

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::delivery_of;
use super::reply::Reply;
use crate::model::{DeliveryId, SentRequest};

/// Bytes of a command's argument that every Linux takes, with some room: `MAX_ARG_STRLEN` is 128 KiB.
const MOST_BODY: usize = 100 << 10;

pub(super) async fn read(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let unknown = || ApiError::unknown(id);
    let (hook, _) = call.hook(hook)?;
    let offset = delivery_of(call, hook, id).ok_or_else(unknown)?;
    let state = &call.api.state;
    let compiled = state.hook(hook).ok_or_else(unknown)?;
    // Only what the hook gets, or got: no other event's body can be read through it.
    let found = call.api.queues.delivery(compiled.account, hook, offset).await?;
    if found.rows.is_empty() {
        return Err(unknown());
    }
    let record = call.api.queues.record(offset).await?.ok_or_else(unknown)?;
    let delivery = DeliveryId { event: state.settings().log_ids.event_id(offset), hook };
    let request = call.api.tester.compose(compiled, delivery, &record);
    let request = request.map_err(|reason| refused(&reason))?;
    if request.body.len() > MOST_BODY {
        return Err(refused("the body is too large for a command's argument"));
    }
    Ok(Reply::ok(json!({"delivery_id": delivery.to_string(), "command": command(&request)})))
}

fn refused(reason: &str) -> ApiError {
    ApiError::field("delivery_id", "error", &json!({"message": reason}))
}

/// The command. Every word that comes from outside is quoted, so that no shell reads anything in it.
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
        // A value that begins with @ would name a file.
        let option = if body.starts_with('@') { "--data-raw" } else { "--data-binary" };
        words.push(format!("{option} {}", quoted(&body)));
    }
    words.join(" \\\n  ")
}

/// A word in single quotes, in which a shell reads nothing but their end.
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
