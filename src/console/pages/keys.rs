//! API keys of an account: created and rotated (a key is shown only then), and revoked.

use maud::{Markup, html};
use serde_json::json;
use warp::http::Method;

use super::accounts::again;
use super::{Sent, account_of};
use crate::console::json::text;
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// `accounts/{A}/keys`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    page(session, account, &html! {}).await
}

async fn page(session: &Session<'_>, account: &str, above: &Markup) -> Result<View, Problem> {
    let start = session.query("start_key");
    let response = session.page(&["v2", "accounts", account, "api_keys"], &[]).await?;
    let path = format!("/console/accounts/{account}/keys");
    Ok(View {
        title: "API keys".into(),
        here: "keys",
        account: Some(account_of(session, account).await?),
        trail: Vec::new(),
        live: None,
        body: html! {
            (above)
            @if response.rows().is_empty() {
                (parts::empty("This account has no API key. A program that manages hooks or hands in events needs one.", &html! {}))
            } @else {
                div.scroll { table.rows {
                    thead { tr { th { "Key" } th { "Ends with" } th { "Id" } th { span.unseen { "Actions" } } } }
                    tbody { @for key in response.rows() {
                        @let of = format!("{path}/{}", text(key, "id"));
                        tr data-row {
                            td.name { (if text(key, "name").is_empty() { "(no name)" } else { text(key, "name") }) }
                            td data-label="Ends with" { code { (text(key, "masked")) } }
                            td data-label="Id" { code { (text(key, "id")) } }
                            td.nowrap {
                                (ask(session, &format!("{of}/rotate"), "Rotate", "Make a new text for this key? The old one stops working at once."))
                                " "
                                (ask(session, &format!("{of}/revoke"), "Revoke", "Revoke this key? Programs that use it stop working at once."))
                            }
                        }
                    } }
                } }
            }
            (parts::pager(&path, &[], &response, start.is_empty()))
            form.card.narrow method="post" action=(path) {
                h2 { "New key" }
                (parts::token(session))
                (parts::input("name", "Name", "", "What uses it."))
                div.actions { button.main { "Make the key" } }
            }
        },
    })
}

/// A button that asks for a confirmation, if the module runs.
fn ask(session: &Session<'_>, path: &str, label: &str, question: &str) -> Markup {
    html! {
        form.inline method="post" action=(path) data-ask=(question) { (parts::token(session)) button { (label) } }
    }
}

/// `POST accounts/{A}/keys`
pub(in crate::console) async fn create(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let name = sent.text("name").trim();
    let data = if name.is_empty() { json!({}) } else { json!({"name": name}) };
    let response = match session.send(Method::PUT, &["v2", "accounts", account, "api_keys"], data).await {
        Ok(response) => response,
        Err(problem) => return again(problem, async |above| page(session, account, &above).await).await,
    };
    Ok(Outcome::View(page(session, account, &once(text(response.data(), "api_key"))).await?))
}

fn once(key: &str) -> Markup {
    html! {
        section.card role="status" {
            h2 { "The key" }
            p { "Keep it now. It is not shown again." }
            div.copied {
                button.quiet data-copy="new-key" hidden { "Copy" }
                pre #new-key tabindex="0" { (key) }
            }
        }
    }
}

/// An action of a key in the list.
pub(in crate::console) struct OnKey<'a> {
    pub(in crate::console) account: &'a str,
    pub(in crate::console) id: &'a str,
    pub(in crate::console) action: &'a str,
}

/// `POST accounts/{A}/keys/{K}/{action}`
pub(in crate::console) async fn act(session: &Session<'_>, on: OnKey<'_>) -> Result<Outcome, Problem> {
    let OnKey { account, id, action } = on;
    let of = ["v2", "accounts", account, "api_keys", id];
    match action {
        "rotate" => {
            let response = session.send(Method::POST, &[&of[..], &["rotate"]].concat(), json!({})).await?;
            Ok(Outcome::View(page(session, account, &once(text(response.data(), "api_key"))).await?))
        }
        "revoke" => {
            session.send(Method::DELETE, &of, json!({})).await?;
            Ok(Outcome::See(format!("/console/accounts/{account}/keys?done=deleted")))
        }
        _ => Err(Problem::not_found()),
    }
}
