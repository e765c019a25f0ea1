//! Shows one attempt: the request and the answer as they were sent, the duration of each phase, and a button to
//! repeat it.

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use crate::console::charts::{self, outcome};
use crate::console::format::{duration, moment};
use crate::console::json::{flag, items, number, text};
use crate::console::parts;
use crate::console::reply::{Problem, View};
use crate::console::session::Session;

/// `accounts/{A}/hooks/{H}/attempts/{D}?attempt=N`
pub(in crate::console) async fn show(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    delivery: &str,
) -> Result<View, Problem> {
    let named = account_of(session, account).await?;
    let of_hook = ["v2", "accounts", account, "webhooks", hook];
    let response = session.get(&[&of_hook[..], &["attempts", delivery]].concat(), &[]).await?;
    let wanted = session.query("attempt").parse::<u64>().ok();
    let rows = items(response.data(), "attempts");
    let by_number = rows.iter().find(|row| wanted.is_some() && number(row, "attempt") == wanted);
    let attempt = by_number.or(rows.first()).ok_or_else(Problem::not_found)?.clone();
    let name = text(response.data(), "hook_name").to_owned();
    let path = format!("/console/accounts/{account}/hooks/{hook}");
    Ok(View {
        title: format!("Attempt {}", number(&attempt, "attempt").unwrap_or(1)),
        here: "hooks",
        account: Some(named),
        trail: vec![("Hooks".into(), format!("/console/accounts/{account}/hooks")), (name, path.clone())],
        live: None,
        body: html! {
            (summary(session, account, &path, &attempt))
            (others(&path, delivery, rows, &attempt))
            @if !flag(response.data(), "complete") {
                p.hint {
                    "Much was recorded since this delivery, and not all of it was looked through: an attempt of a later replay \
                     may be missing. The page of the hook lists all attempts."
                }
            }
            (phases(&attempt))
            div.two {
                div {
                    (message("Request", &request_line(&attempt), &attempt, "req_headers", "req_body"))
                    (as_sent(session, &attempt, &path))
                }
                (message("Answer", &outcome(&attempt), &attempt, "resp_headers", "resp_body"))
            }
            (as_curl(session, account, hook, delivery, &attempt).await)
        },
    })
}

fn summary(session: &Session<'_>, account: &str, path: &str, attempt: &Value) -> Markup {
    let event = text(attempt, "event_id");
    html! {
        section.card {
            p.sentence {
                (parts::result(text(attempt, "result"))) " " strong { (outcome(attempt)) } " after "
                (duration(number(attempt, "duration_ms").unwrap_or(0))) ", "
                (moment(number(attempt, "timestamp"), session.now_us())) "."
            }
            dl.fields {
                dt { "Event" } dd {
                    code { (text(attempt, "event_name")) } " "
                    @if session.is_admin { a href={ "/console/accounts/" (account) "/events/" (event) } { code { (event) } } }
                    @else { code { (event) } }
                }
                @if !text(attempt, "subject").is_empty() { dt { "Subject" } dd { code { (text(attempt, "subject")) } } }
                dt { "Delivery" } dd { code { (text(attempt, "delivery_id")) } }
                @if !text(attempt, "hook_revision").is_empty() {
                    dt { "Hook's revision" } dd { code { (text(attempt, "hook_revision")) } }
                }
            }
            @if session.is_admin {
                div.actions {
                    (parts::button(session, &format!("{path}/attempts/{}/again", text(attempt, "delivery_id")), "Send again", "main"))
                }
            }
        }
    }
}

fn others(path: &str, delivery: &str, rows: &[Value], shown: &Value) -> Markup {
    html! {
        @if rows.len() > 1 {
            nav.tabs aria-label="Attempts of this delivery" {
                @for row in rows.iter().rev() {
                    @let number = number(row, "attempt").unwrap_or(1);
                    a href={ (path) "/attempts/" (delivery) "?attempt=" (number) } aria-current=[(row == shown).then_some("page")] {
                        @if text(row, "result") == "failure" { span aria-hidden="true" { "✕ " } } @else { span aria-hidden="true" { "● " } }
                        "Attempt " (number)
                    }
                }
            }
        }
    }
}

/// The phases of an attempt by the API's names, with words for people.
const PHASES: [(&str, &str); 4] = [
    ("name_us", "Looking up the name"),
    ("connect_us", "Connecting"),
    ("tls_us", "TLS"),
    ("first_byte_us", "Request to first byte"),
];

fn phases(attempt: &Value) -> Markup {
    let Some(timings) = attempt.get("timings").filter(|timings| timings.is_object()) else { return html! {} };
    let mut known: Vec<(&str, u64)> =
        PHASES.iter().filter_map(|(key, label)| Some((*label, number(timings, key)?))).collect();
    let spent: u64 = known.iter().map(|(_, us)| us).sum();
    let rest = number(timings, "total_us").unwrap_or(0).saturating_sub(spent);
    known.push(("Rest: waiting for a place, reading the answer", rest));
    let was_open = number(timings, "connect_us").is_none();
    html! {
        section.card {
            h2 { "Where the time went" }
            (charts::phases(&known))
            @if was_open { p.hint { "No name was looked up and no connection made: one that was open was used again." } }
        }
    }
}

fn request_line(attempt: &Value) -> String {
    format!("{} {}", text(attempt, "method").to_uppercase(), text(attempt, "uri"))
}

/// The body byte for byte, and what the signature covers.
fn as_sent(session: &Session<'_>, attempt: &Value, path: &str) -> Markup {
    let body = text(attempt, "req_body");
    let headers = attempt.get("req_headers").unwrap_or(&Value::Null);
    let (id, at) = (text(headers, "webhook-id"), text(headers, "webhook-timestamp"));
    let is_signed = !text(headers, "webhook-signature").is_empty();
    html! {
        @if !body.is_empty() {
            section.card aria-label="Body as sent" {
                h2 { "Body as sent" }
                @if session.is_admin {
                    p.hint { "Byte for byte, " (body.len()) " bytes. Above it has line breaks for reading." }
                } @else {
                    p.hint { "With secrets replaced by ***. A signature cannot be checked with this text; an admin sees the exact one." }
                }
                div.copied {
                    button.quiet data-copy="sent-body" hidden { "Copy" }
                    pre #sent-body tabindex="0" { (body) }
                }
                @if is_signed { p { a href={ (path) "?tab=verify" } { "Code that verifies it" } } }
                @if is_signed && session.is_admin && !at.is_empty() {
                    p.hint {
                        code { "webhook-signature" } " is the HMAC-SHA256, in base64 after “v1,”, of " code { (id) "." (at) "." }
                        " followed by this body; the key is the hook's secret, decoded from base64 behind “whsec_”. Signatures are not stored: the one \
                         shown was made again with the present secret. If the secret was changed since, the receiver got another one."
                    }
                }
            }
        }
    }
}

/// Request or answer: first line, headers, body.
pub(super) fn message(title: &str, first: &str, of: &Value, headers: &str, body: &str) -> Markup {
    let id = title.to_lowercase();
    let text = readable(text(of, body));
    html! {
        section.card.message aria-label=(title) {
            h2 { (title) }
            p { code { (first) } }
            dl.fields.headers {
                @for (name, value) in of.get(headers).and_then(Value::as_object).into_iter().flatten() {
                    dt { code { (name) } }
                    dd { code { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
                }
            }
            @if text.is_empty() { p.dim { "No body." } } @else {
                div.copied {
                    button.quiet data-copy={ (id) "-body" } hidden { "Copy" }
                    pre tabindex="0" id={ (id) "-body" } { (text) }
                }
            }
        }
    }
}

/// JSON with line breaks; other text unchanged.
pub(super) fn readable(text: &str) -> String {
    serde_json::from_str::<Value>(text)
        .ok()
        .filter(|value| value.is_object() || value.is_array())
        .map_or_else(|| text.to_owned(), |value| format!("{value:#}"))
}

async fn as_curl(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    delivery: &str,
    attempt: &Value,
) -> Markup {
    if !session.is_admin {
        return html! {};
    }
    let number = number(attempt, "attempt").unwrap_or(1).to_string();
    let path = ["v2", "accounts", account, "webhooks", hook, "attempts", delivery, "curl"];
    let response = match session.get(&path, &[("attempt", &number)]).await {
        Ok(response) => response,
        Err(problem) => {
            return without_command(problem.fields.first().map_or(&problem.text, |(_, text)| text));
        }
    };
    if super::first::is_inbox(attempt) {
        return without_command("the built-in receiver is part of Switchhook, and no command can reach it");
    }
    let data = response.data();
    let command = data.as_str().unwrap_or_else(|| text(data, "command"));
    html! {
        section.card {
            h2 { "As a command" }
            p.hint { "Sends the same request from your machine. Its signature is made now and good for five minutes." }
            div.copied {
                button.quiet data-copy="curl" hidden { "Copy" }
                pre #curl tabindex="0" { (command) }
            }
        }
    }
}

fn without_command(reason: &str) -> Markup {
    html! {
        section.card {
            h2 { "As a command" }
            p.dim { "There is none: " (reason) "." }
        }
    }
}
