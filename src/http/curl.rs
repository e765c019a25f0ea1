//! `GET …/webhooks/{H}/attempts/{D}/curl`: the request of a delivery as a shell command, signed now, so that a
//! receiver that verifies accepts it. Only for admins, because it contains the hook's headers and URI.

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::delivery_of;
use super::reply::Reply;
use crate::model::{DeliveryId, SentRequest};

/// The largest body in a command. Every Linux accepts an argument of 128 KiB (`MAX_ARG_STRLEN`).
const MOST_BODY: usize = 100 << 10;

pub(super) async fn read(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let unknown = || ApiError::unknown(id);
    let (hook, _) = call.hook(hook)?;
    let offset = delivery_of(call, hook, id).ok_or_else(unknown)?;
    let state = &call.api.state;
    let compiled = state.hook(hook).ok_or_else(unknown)?;
    // The hook must have received this event. Otherwise the body of any event could be read here.
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
