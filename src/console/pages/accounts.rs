//! Accounts below an account: search by name, create, enable and disable.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::{Sent, account_of};
use crate::console::json::{flag, number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;
use crate::http::ApiResponse;

/// `accounts/{A}/below`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    page(session, account, &html! {}).await
}

async fn page(session: &Session<'_>, account: &str, above: &Markup) -> Result<View, Problem> {
    let named = account_of(session, account).await?;
    let (wanted, start) = (session.query("q").trim(), session.query("start_key"));
    // A search finds accounts however deep below; otherwise one level of the tree is shown.
    let which = if wanted.is_empty() { "children" } else { "descendants" };
    let asked = [("ascending", "true"), ("search", wanted)];
    let response = session.page(&["v2", "accounts", account, which], &asked).await?;
    let path = format!("/console/accounts/{account}/below");
    let is_own = account == session.account;
    Ok(View {
        title: format!("Accounts below {}", named.1),
        here: "accounts",
        account: Some(named),
        // Without it, the page of an account without accounts below it leads nowhere.
        trail: if is_own {
            Vec::new()
        } else {
            vec![("Accounts".into(), format!("/console/accounts/{}/below", session.account))]
        },
        live: None,
        body: html! {
            (above)
            div.tools {
                form.search method="get" action=(path) role="search" {
                    input type="search" name="q" value=(session.query("q")) placeholder="Name, realm or id"
                        aria-label="Search all accounts below by name, realm or id" data-search;
                    button { "Search" }
                }
                a.button href={ "/console/accounts/" (account) "/account" } { "This account" }
                a.button href={ "/console/accounts/" (account) "/hooks?below=true" } { "Hooks of all these accounts" }
            }
            (table(session, response.rows()))
            (parts::pager(&path, &[("q", wanted)], &response, start.is_empty()))
            (creation(session, &path))
        },
    })
}

fn table(session: &Session<'_>, rows: &[Value]) -> Markup {
    if rows.is_empty() {
        let is_search = !session.query("q").is_empty();
        let text = if is_search {
            "No account fits."
        } else {
            "There is no account below this one yet. Make one with the form below."
        };
        return parts::empty(text, &html! {});
    }
    html! {
        div.scroll { table.rows {
            thead { tr { th { "Account" } th { "Realm" } th { "State" } th.num { "Below it" } th { "Id" } } }
            tbody { @for row in rows {
                @let path = format!("/console/accounts/{}", text(row, "id"));
                tr data-row {
                    td.name { a href={ (path) "/hooks" } data-go { (text(row, "name")) } }
                    td data-label="Realm" { (text(row, "realm")) }
                    td { (parts::switched(flag(row, "enabled"))) }
                    td.num data-label="Below it" { @if let Some(count) = number(row, "descendants_count") { a href={ (path) "/below" } { (count) } } }
                    td data-label="Id" { a href={ (path) "/account" } { code { (text(row, "id")) } } }
                }
            } }
        } }
    }
}

fn creation(session: &Session<'_>, path: &str) -> Markup {
    html! {
        form.card.narrow method="post" action=(path) {
            h2 { "New account" }
            (parts::token(session))
            (parts::input("name", "Name", "", "The customer's name, for example."))
            (parts::input("realm", "Realm", "", "Its SIP realm, when it has one. Events that name only a realm find the account by it."))
            div.actions { button.main { "Make the account" } }
        }
    }
}

/// `POST accounts/{A}/below`: creates an account.
pub(in crate::console) async fn create(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let mut data = json!({"name": sent.text("name").trim()});
    let realm = sent.text("realm").trim();
    if let (false, Some(data)) = (realm.is_empty(), data.as_object_mut()) {
        data.insert("realm".into(), realm.into());
    }
    match session.send(Method::PUT, &["v2", "accounts", account], data).await {
        Ok(response) => {
            Ok(Outcome::See(format!("/console/accounts/{}/hooks?done=created", text(response.data(), "id"))))
        }
        Err(problem) => again(problem, async |above| page(session, account, &above).await).await,
    }
}

/// The page again, with the errors of its form on top. Other refusals are returned.
pub(super) async fn again(
    problem: Problem,
    page: impl AsyncFnOnce(Markup) -> Result<View, Problem>,
) -> Result<Outcome, Problem> {
    if problem.status != 400 {
        return Err(problem);
    }
    let above = html! { div.problem role="alert" { p { (problem.text) } (parts::faults(&problem.fields)) } };
    Ok(Outcome::View(page(above).await?))
}

/// `accounts/{A}/account`: one account.
pub(in crate::console) async fn one(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let response = session.get(&["v2", "accounts", account], &[]).await?;
    Ok(one_page(session, account, &response, &html! {}))
}

fn one_page(session: &Session<'_>, account: &str, response: &ApiResponse, above: &Markup) -> View {
    let data = response.data();
    let path = format!("/console/accounts/{account}");
    let is_own = account == session.account;
    let is_enabled = flag(data, "enabled");
    View {
        title: text(data, "name").to_owned(),
        here: "accounts",
        account: Some((account.to_owned(), text(data, "name").to_owned())),
        trail: if session.is_admin {
            vec![("Accounts".into(), format!("/console/accounts/{}/below", session.account))]
        } else {
            Vec::new()
        },
        live: None,
        body: html! {
            (above)
            section.card {
                p { (parts::switched(is_enabled)) }
                dl.fields {
                    dt { "Id" } dd { code { (account) } }
                    dt { "Realm" } dd { (text(data, "realm")) }
                }
                div.actions {
                    a.button href={ (path) "/hooks" } { "Hooks" }
                    @if session.is_admin { a.button href={ (path) "/below" } { "Accounts below" } }
                    @if !is_own {
                        (parts::button(session, &format!("{path}/account/{}", if is_enabled { "disable" } else { "enable" }),
                            if is_enabled { "Disable the account" } else { "Enable the account" }, if is_enabled { "danger" } else { "main" }))
                    }
                }
                @if !is_own { p.hint { "While an account is disabled, nobody logs in to it and nothing is delivered. What its hooks miss is kept." } }
            }
            @if session.is_admin { (renaming(session, &path, data)) }
            @if !is_own {
                (parts::deletion(session, &format!("{path}/account/delete"), "Delete this account", "Yes, delete it with its hooks, users and keys."))
            }
        },
    }
}

fn renaming(session: &Session<'_>, path: &str, account: &Value) -> Markup {
    html! {
        form.card.narrow method="post" action={ (path) "/account/rename" } {
            h2 { "Name and realm" }
            (parts::token(session))
            (parts::input("name", "Name", text(account, "name"), ""))
            (parts::input("realm", "Realm", text(account, "realm"), ""))
            div.actions { button { "Save" } }
        }
    }
}

/// `POST accounts/{A}/account/{action}`
pub(in crate::console) async fn act(
    session: &Session<'_>,
    account: &str,
    action: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let of = ["v2", "accounts", account];
    let change = match action {
        "enable" => json!({"enabled": true}),
        "disable" => json!({"enabled": false}),
        "rename" => {
            let realm = sent.text("realm").trim();
            let realm = if realm.is_empty() { Value::Null } else { realm.into() };
            json!({"name": sent.text("name").trim(), "realm": realm})
        }
        "delete" if sent.text("sure") == "yes" => {
            session.send(Method::DELETE, &of, json!({})).await?;
            return Ok(Outcome::See(format!("/console/accounts/{}/below?done=deleted", session.account)));
        }
        _ => return Err(Problem::not_found()),
    };
    match session.send(Method::PATCH, &of, change).await {
        Ok(_) => Ok(Outcome::See(format!("/console/accounts/{account}/account?done=saved"))),
        Err(problem) => {
            again(problem, async |above| {
                Ok(one_page(session, account, &session.get(&of, &[]).await?, &above))
            })
            .await
        }
    }
}
