//! Users of an account, and their rights.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::accounts::again;
use super::{Sent, account_of};
use crate::console::json::{flag, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// `accounts/{A}/users`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    page(session, account, &Sent::nothing(), &html! {}).await
}

async fn page(session: &Session<'_>, account: &str, sent: &Sent, above: &Markup) -> Result<View, Problem> {
    let start = session.query("start_key");
    let wanted = session.query("q").trim();
    let filter = [("filter_username", wanted)];
    let response = session.page(&["v2", "accounts", account, "users"], &filter).await?;
    let path = format!("/console/accounts/{account}/users");
    Ok(View {
        title: "Users".into(),
        here: "users",
        account: Some(account_of(session, account).await?),
        trail: Vec::new(),
        live: None,
        body: html! {
            (above)
            form.search.tools method="get" action=(path) role="search" {
                input type="search" name="q" value=(wanted) placeholder="User name" aria-label="User name" data-search;
                button { "Search" }
            }
            @if response.rows().is_empty() {
                (parts::empty(if wanted.is_empty() { "Nobody can log in to this account with a password yet." } else { "No user has this name." }, &html! {}))
            } @else {
                div.scroll { table.rows {
                    thead { tr { th { "User" } th { "Name" } th { "May" } th { "State" } } }
                    tbody { @for user in response.rows() {
                        tr data-row {
                            td.name { a href={ (path) "/" (text(user, "id")) } data-go { (text(user, "username")) } }
                            td { (text(user, "first_name")) " " (text(user, "last_name")) }
                            td data-label="May" { (may(user)) }
                            td { (parts::switched(flag(user, "enabled"))) }
                        }
                    } }
                } }
            }
            (parts::pager(&path, &[("q", wanted)], &response, start.is_empty()))
            form.card.narrow method="post" action=(path) autocomplete="off" {
                h2 { "New user" }
                (parts::token(session))
                (fields(&|name| sent.text(name).to_owned(), true, true))
                div.actions { button.main { "Make the user" } }
            }
        },
    })
}

fn may(user: &Value) -> &'static str {
    if text(user, "priv_level") == "admin" { "change everything of the account" } else { "look" }
}

fn fields(value: &dyn Fn(&str) -> String, is_new: bool, decides: bool) -> Markup {
    let role = value("priv_level");
    let hint = if is_new {
        "At least 8 characters."
    } else {
        "Empty: stays as it is. A new one ends the user's sessions."
    };
    html! {
        (parts::input("username", "User name", &value("username"), ""))
        (parts::input("first_name", "First name", &value("first_name"), ""))
        (parts::input("last_name", "Last name", &value("last_name"), ""))
        div.field { label for="password" { "Password" }
            input #password type="password" name="password" autocomplete="new-password" maxlength="256" aria-describedby="password-hint";
            p.hint #password-hint { (hint) } }
        @if decides {
            div.field { label for="priv_level" { "May" }
                select #priv_level name="priv_level" {
                    option value="user" selected[role != "admin"] { "Look at hooks and attempts" }
                    option value="admin" selected[role == "admin"] { "Change everything of the account and those below" }
                } }
        } @else { input type="hidden" name="priv_level" value=(role); }
    }
}

fn typed(sent: &Sent) -> Value {
    let mut data = json!({
        "username": sent.text("username").trim(), "first_name": sent.text("first_name").trim(),
        "last_name": sent.text("last_name").trim(), "priv_level": sent.text("priv_level"),
    });
    if let (false, Some(data)) = (sent.text("password").is_empty(), data.as_object_mut()) {
        data.insert("password".into(), sent.text("password").into());
    }
    data
}

/// `POST accounts/{A}/users`
pub(in crate::console) async fn create(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    match session.send(Method::PUT, &["v2", "accounts", account, "users"], typed(sent)).await {
        Ok(_) => Ok(Outcome::See(format!("/console/accounts/{account}/users?done=created"))),
        Err(problem) => again(problem, async |above| page(session, account, sent, &above).await).await,
    }
}

/// `accounts/{A}/users/{U}`
pub(in crate::console) async fn one(session: &Session<'_>, account: &str, id: &str) -> Result<View, Problem> {
    one_page(session, account, id, &html! {}).await
}

async fn one_page(session: &Session<'_>, account: &str, id: &str, above: &Markup) -> Result<View, Problem> {
    let response = session.get(&["v2", "accounts", account, "users", id], &[]).await?;
    let user = response.data();
    let users = format!("/console/accounts/{account}/users");
    let path = format!("{users}/{id}");
    let is_enabled = flag(user, "enabled");
    let (action, label) = if is_enabled { ("disable", "Disable") } else { ("enable", "Enable") };
    Ok(View {
        title: text(user, "username").to_owned(),
        here: "users",
        account: Some(account_of(session, account).await?),
        trail: if session.is_admin { vec![("Users".into(), users)] } else { Vec::new() },
        live: None,
        body: html! {
            (above)
            section.card {
                p { (parts::switched(is_enabled)) " May " (may(user)) "." }
                @if session.is_admin {
                    div.actions { (parts::button(session, &format!("{path}/{action}"), label, "")) }
                }
            }
            form.card.narrow method="post" action={ (path) "/save" } autocomplete="off" {
                h2 { "Change" }
                (parts::token(session))
                (fields(&|name| text(user, name).to_owned(), false, session.is_admin))
                div.actions { button { "Save" } }
            }
            @if session.is_admin {
                (parts::deletion(session, &format!("{path}/delete"), "Delete this user", "Yes, delete the user. Their sessions end."))
            }
        },
    })
}

/// An action of a user's page.
pub(in crate::console) struct OnUser<'a> {
    pub(in crate::console) account: &'a str,
    pub(in crate::console) id: &'a str,
    pub(in crate::console) action: &'a str,
}

/// `POST accounts/{A}/users/{U}/{action}`
pub(in crate::console) async fn act(
    session: &Session<'_>,
    on: OnUser<'_>,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let OnUser { account, id, action } = on;
    let of = ["v2", "accounts", account, "users", id];
    let change = match action {
        "enable" => json!({"enabled": true}),
        "disable" => json!({"enabled": false}),
        "save" => typed(sent),
        "delete" if sent.text("sure") == "yes" => {
            session.send(Method::DELETE, &of, json!({})).await?;
            return Ok(Outcome::See(format!("/console/accounts/{account}/users?done=deleted")));
        }
        _ => return Err(Problem::not_found()),
    };
    match session.send(Method::PATCH, &of, change).await {
        Ok(_) => Ok(Outcome::See(format!("/console/accounts/{account}/users/{id}?done=saved"))),
        Err(problem) => again(problem, async |above| one_page(session, account, id, &above).await).await,
    }
}
