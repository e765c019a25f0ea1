//! One-time links to the console: created (a link is shown only then), listed, revoked.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::accounts::again;
use super::{Sent, account_of};
use crate::console::format::{moment, unix_s};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The lifetimes of links, in seconds, with words for people.
const TIMES: [(&str, &str); 3] = [("3600", "One hour"), ("600", "Ten minutes"), ("60", "One minute")];

/// `accounts/{A}/links`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    page(session, account, &html! {}).await
}

async fn page(session: &Session<'_>, account: &str, above: &Markup) -> Result<View, Problem> {
    let start = session.query("start_key");
    let response = session.page(&["v2", "accounts", account, "console_links"], &[]).await?;
    let path = format!("/console/accounts/{account}/links");
    let named = account_of(session, account).await?;
    let name = named.1.clone();
    Ok(View {
        title: "Links to the console".into(),
        here: "links",
        account: Some(named),
        trail: Vec::new(),
        live: None,
        body: html! {
            (above)
            @if response.rows().is_empty() {
                (parts::empty("No link is in use. A link opens the console for this account without a password, once.", &html! {}))
                @if account == session.account && session.is_operator {
                    p.hint { "This is the account of the installation. For a customer, open the customer's account under Accounts, then Links." }
                }
            } @else {
                div.scroll { table.rows {
                    thead { tr { th { "Id" } th { "May" } th { "State" } th { "Ends" } th { span.unseen { "Actions" } } } }
                    tbody { @for link in response.rows() {
                        tr data-row {
                            td.name { code { (text(link, "id")) } }
                            td data-label="May" { (may(text(link, "priv_level"))) }
                            td { (state(link, session.now_us())) }
                            td data-label="Ends" { (moment(number(link, "expires"), session.now_us())) }
                            td.nowrap {
                                form.inline method="post" action={ (path) "/" (text(link, "id")) "/revoke" }
                                    data-ask="Revoke this link? Everyone who opened it is logged out." {
                                    (parts::token(session)) button { "Revoke" }
                                }
                            }
                        }
                    } }
                } }
            }
            (parts::pager(&path, &[], &response, start.is_empty()))
            form.card.narrow method="post" action=(path) {
                h2 { "New link for " (name) }
                (parts::token(session))
                fieldset {
                    legend { "Who opens it may" }
                    label.check { input type="radio" name="role" value="user" checked; (may("user")) }
                    label.check { input type="radio" name="role" value="admin"; (may("admin")) }
                }
                div.field { label for="expires" { "It can be opened for" } select #expires name="expires" {
                    @for (value, label) in TIMES { option value=(value) { (label) } }
                } }
                p.hint { "Who may look sees this account alone; who may change sees the accounts below it, too. Both end with the session, or when you revoke the link." }
                div.actions { button.main { "Make the link" } }
                p.hint { "To send people from a portal of yours, let the portal make links itself: POST …/console_links." }
            }
        },
    })
}

/// What has become of a link.
fn state(link: &Value, now_us: u64) -> &'static str {
    let is_over = number(link, "expires").is_none_or(|expires| unix_s(expires) <= now_us / 1_000_000);
    match link.get("used").is_some_and(|used| *used == true) {
        true => "used",
        false if is_over => "expired, never used",
        false => "not used yet",
    }
}

fn may(role: &str) -> &'static str {
    if role == "admin" { "change everything in the account" } else { "look at hooks and attempts" }
}

/// `POST accounts/{A}/links`
pub(in crate::console) async fn create(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let valid_s: u64 = sent.text("expires").parse().unwrap_or(60);
    let role = if sent.text("role") == "admin" { "admin" } else { "user" };
    let data = json!({"role": role, "expires_in_s": valid_s});
    let response = match session.send(Method::POST, &["v2", "accounts", account, "console_links"], data).await
    {
        Ok(response) => response,
        Err(problem) => return again(problem, async |above| page(session, account, &above).await).await,
    };
    let path = text(response.data(), "path");
    let above = html! {
        section.card role="status" {
            h2 { "The link" }
            p { "Give it to one person, now. It opens once and is not shown again." }
            div.copied {
                button.quiet data-copy="new-link" hidden { "Copy" }
                pre #new-link tabindex="0" { (session.address(path)) }
            }
        }
    };
    Ok(Outcome::View(page(session, account, &above).await?))
}

/// `POST accounts/{A}/links/{L}/revoke`
pub(in crate::console) async fn revoke(
    session: &Session<'_>,
    account: &str,
    id: &str,
) -> Result<Outcome, Problem> {
    session.send(Method::DELETE, &["v2", "accounts", account, "console_links", id], json!({})).await?;
    Ok(Outcome::See(format!("/console/accounts/{account}/links?done=revoked")))
}
