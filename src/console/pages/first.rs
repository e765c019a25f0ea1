//! The first hook: created for the built-in receiver, tested, and seen to arrive, before a person has set up a
//! receiver.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::attempt::readable;
use super::hook::HookPage;
use super::{Sent, account_of};
use crate::console::format::{bytes, moment};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;
use crate::model::INBOX_HOST;

/// Event types that suit a first hook, with words for people.
const KINDS: [(&str, &str); 4] = [
    ("all", "Everything that happens in the account"),
    ("channel_create", "Calls that begin"),
    ("channel_destroy", "Calls that end"),
    ("object", "Documents that change: devices, users, voicemail boxes"),
];

/// Whether a hook sends to the built-in receiver.
pub(super) fn is_inbox(hook: &Value) -> bool {
    url::Url::parse(text(hook, "uri")).is_ok_and(|url| crate::model::inbox_status(&url).is_some())
}

/// The button for this page.
pub(super) fn link(account: &str) -> Markup {
    html! {
        a.button.main href={ "/console/accounts/" (account) "/first" } { "Try it with the built-in receiver" }
        " "
        a.button href={ "/console/accounts/" (account) "/hooks/new" } { "Make a hook for your own address" }
    }
}

/// `accounts/{A}/first`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    Ok(View {
        title: "Your first hook".into(),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), format!("/console/accounts/{account}/hooks"))],
        live: None,
        body: html! {
            p {
                "A hook sends every event of a kind to an address. To see it work you need no address of your own yet: \
                 Switchhook has a receiver that keeps the last requests in memory and shows them."
            }
            form.narrow method="post" action={ "/console/accounts/" (account) "/first" } {
                (parts::token(session))
                fieldset.card {
                    legend { "Which events" }
                    @for (at, (value, label)) in KINDS.into_iter().enumerate() {
                        label.check { input type="radio" name="hook" value=(value) checked[at == 0]; (label) }
                    }
                }
                div.actions { button.main { "Make the hook" } }
                p.hint { "Then send a test, and see what arrives. You can give the hook your own address later, or delete it." }
            }
        },
    })
}

/// `POST accounts/{A}/first`
pub(in crate::console) async fn make(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let kind = KINDS.iter().find(|(kind, _)| *kind == sent.text("hook")).map_or("all", |(kind, _)| *kind);
    let data = json!({
        "name": "First hook", "hook": kind, "format": "json", "http_verb": "post",
        "uri": format!("http://{INBOX_HOST}/"),
    });
    let response = session.send(Method::PUT, &["v2", "accounts", account, "webhooks"], data).await?;
    let id = text(response.data(), "id");
    Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{id}?tab=inbox&done=first")))
}

/// `POST accounts/{A}/hooks/{H}/inbox`: sends a test and returns to the received requests.
pub(in crate::console) async fn test(
    session: &Session<'_>,
    account: &str,
    hook: &str,
) -> Result<Outcome, Problem> {
    let path = ["v2", "accounts", account, "webhooks", hook, "test"];
    session.send(Method::POST, &path, json!({})).await?;
    Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{hook}?tab=inbox")))
}

/// The tab of a hook that sends to the built-in receiver: the received requests.
pub(super) async fn tab(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "inbox"];
    let response = shown.session.get(&path, &[]).await?;
    let test = parts::button(shown.session, &shown.path("/inbox"), "Send a test", "main");
    Ok(html! {
        section #inbox {
            @if response.rows().is_empty() {
                (parts::empty(
                    "The built-in receiver waits for this hook's first request. A test sends a sample; an event of the \
                     account arrives by itself.",
                    &test,
                ))
            } @else {
                p {
                    "The last requests of this hook, newest first. They are kept in memory until the next start, 20 at most. "
                    "An address that ends with a status, as " code { "/503" } ", is answered with it."
                }
                div.actions { (test) a.button href=(shown.path("/edit")) { "Give it your own address" } }
                @for (at, row) in response.rows().iter().enumerate() { (request(row, at == 0, shown.now_us())) }
            }
        }
    })
}

fn request(row: &Value, is_open: bool, now_us: u64) -> Markup {
    html! {
        details.card data-key=(format!("{}-{}", number(row, "received").unwrap_or(0), text(row.get("headers").unwrap_or(&Value::Null), "webhook-id"))) open[is_open] {
            summary {
                strong { (text(row, "method")) } " " (moment(number(row, "received"), now_us)) ", "
                (bytes(number(row, "body_bytes").unwrap_or(0))) ", answered with " (number(row, "status").unwrap_or(0))
            }
            dl.fields.headers {
                @for (name, value) in row.get("headers").and_then(Value::as_object).into_iter().flatten() {
                    dt { code { (name) } }
                    dd { code { (value.as_str().unwrap_or_default()) } }
                }
            }
            pre tabindex="0" { (readable(text(row, "body"))) }
        }
    }
}
