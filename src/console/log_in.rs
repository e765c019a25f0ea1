//! Logs in with an API key, or with account, user and password. The input goes through the API's own log-in, hashed
//! here as KAZOO's clients do it, so the API's limits hold.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::layout;
use super::origin::{came_from_elsewhere, is_https};
use super::reply::{self, Problem, View, own_path};
use super::{Console, assets, cookies, json};
use crate::http::{Api, ApiResponse, Ask, Page, Visit};

/// The input.
#[derive(Debug, Default)]
struct Typed {
    account: String,
    username: String,
    password: String,
    api_key: String,
    next: String,
}

/// `GET` and `POST login`.
pub(super) async fn answer(_: &Console, api: &Api, visit: &Visit) -> Page {
    if visit.method != Method::POST {
        let next = visit.query.iter().find(|(name, _)| name == "next").map_or("", |(_, value)| value);
        let typed = Typed { next: own_path(next).to_owned(), ..Typed::default() };
        return log_in_page(200, &typed, None, visit);
    }
    let typed = read(visit);
    let (path, data) = match question(&typed) {
        Ok(question) => question,
        Err(text) => return log_in_page(400, &typed, Some(text), visit),
    };
    let mut response = ask(api, visit, path, data).await;
    // A name with a dot looks like a realm, so it is tried as a name too.
    if response.status == 401 && path == "user_auth" && is_realm(&typed.account) {
        response = ask(api, visit, path, credentials(&typed, "account_name")).await;
    }
    let token = json::text(&response.envelope, "auth_token");
    if response.status == 201 && !token.is_empty() {
        let mut page = reply::see(own_path(&typed.next), 303);
        page.headers.push(("set-cookie", cookies::set_session(token, is_https(&visit.headers))));
        return page;
    }
    let text = match response.status {
        400 | 401 | 404 => "Nobody is known by these credentials. Check them and try again.",
        423 => "The account is disabled. Somebody of an account above it can enable it.",
        429 => "Too many attempts. Wait a minute and try again.",
        _ => "The log-in failed. The program's log says why.",
    };
    let status = if response.status < 400 { 500 } else { response.status };
    log_in_page(status, &typed, Some(text), visit)
}

fn read(visit: &Visit) -> Typed {
    let mut typed = Typed::default();
    for (name, value) in url::form_urlencoded::parse(&visit.body) {
        let value = value.into_owned();
        match &*name {
            "account" => value.trim().clone_into(&mut typed.account),
            "username" => value.trim().clone_into(&mut typed.username),
            "password" => typed.password = value,
            "api_key" => value.trim().clone_into(&mut typed.api_key),
            "next" => typed.next = value,
            _ => {}
        }
    }
    typed
}

/// The API's path, with the data for it.
fn question(typed: &Typed) -> Result<(&'static str, Value), &'static str> {
    if !typed.api_key.is_empty() {
        return Ok(("api_auth", json!({"api_key": typed.api_key})));
    }
    if typed.account.is_empty() || typed.username.is_empty() || typed.password.is_empty() {
        return Err("Enter an API key, or account, user name and password.");
    }
    let field = if is_realm(&typed.account) { "account_realm" } else { "account_name" };
    Ok(("user_auth", credentials(typed, field)))
}

/// A realm contains a dot and no space.
fn is_realm(account: &str) -> bool {
    account.contains('.') && !account.contains(' ')
}

/// The hash of name and password that KAZOO's clients send. The name is in lower case.
fn credentials(typed: &Typed, field: &str) -> Value {
    let text = format!("{}:{}", typed.username.to_lowercase(), typed.password);
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let hex = hash.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    json!({"credentials": hex, "method": "sha", field: typed.account})
}

async fn ask(api: &Api, visit: &Visit, path: &str, data: Value) -> ApiResponse {
    api.ask(Ask {
        method: Method::PUT,
        path: &["v2", path],
        query: &[],
        data: Some(data),
        token: None,
        remote: visit.remote,
        is_part: false,
    })
    .await
}

/// Redirects a person without a session to the log-in. A page that was opened from another site is first loaded
/// again, because browsers do not send the cookie with the first request.
pub(super) fn send_there(visit: &Visit) -> Page {
    let has_cookie = cookies::session(&visit.headers).is_some();
    if visit.method == Method::GET && !has_cookie && came_from_elsewhere(&visit.headers) {
        return reply::html(
            200,
            html! { (maud::DOCTYPE) html lang="en" { head { meta http-equiv="refresh" content="0"; title { "Switchhook" } } } },
        );
    }
    if visit.headers.contains_key("x-console-live") {
        return reply::plain(401, "the session has ended").without_session(visit);
    }
    let back = if visit.method == Method::GET { visit.path.as_str() } else { "/console/" };
    let next = url::form_urlencoded::byte_serialize(own_path(back).as_bytes()).collect::<String>();
    let page = reply::see(&format!("/console/login?next={next}"), 303);
    if has_cookie { page.without_session(visit) } else { page }
}

fn log_in_page(status: u16, typed: &Typed, fault: Option<&str>, visit: &Visit) -> Page {
    let theme = cookies::theme(&visit.headers);
    let view = View {
        title: "Log in".into(),
        here: "",
        account: None,
        trail: Vec::new(),
        live: None,
        body: form(typed, fault),
    };
    reply::html(status, layout::page(&view, None, theme))
}

fn form(typed: &Typed, fault: Option<&str>) -> Markup {
    html! {
        div.login {
            p.brand { img src=(assets::ICON.path()) alt="" width="28" height="28"; "Switchhook" }
            h1 { "Log in" }
            @if let Some(fault) = fault { p.problem role="alert" { (fault) } }
            form method="post" action="/console/login" autocomplete="on" {
                input type="hidden" name="next" value=(own_path(&typed.next));
                fieldset {
                    legend { "As a user" }
                    label { "Account " span.dim { "name or realm" }
                        input name="account" value=(typed.account) autocomplete="organization" maxlength="253"; }
                    label { "User name"
                        input name="username" value=(typed.username) autocomplete="username" maxlength="254"; }
                    label { "Password"
                        input name="password" type="password" autocomplete="current-password" maxlength="256"; }
                    button.main { "Log in" }
                }
            }
            form method="post" action="/console/login" {
                input type="hidden" name="next" value=(own_path(&typed.next));
                fieldset {
                    legend { "With an API key" }
                    label { "API key " span.dim { "64 characters" }
                        input name="api_key" type="password" autocomplete="off" maxlength="64"; }
                    button { "Log in with the key" }
                }
                p.dim {
                    "The operator's key is in the file master.key of the data directory. "
                    code { "auth.master_api_key" } " sets it."
                }
            }
        }
    }
}

/// The text for a form that cannot be accepted.
pub(super) fn form_problem(error: super::forms::FormError) -> Problem {
    use super::forms::FormError;
    let (title, text) = match error {
        FormError::Used => (
            "Already sent",
            "This form was sent before, and nothing was done a second time. Reload the page before you send another one.",
        ),
        FormError::Old | FormError::Foreign => (
            "Form out of date",
            "The page was opened too long ago, before Switchhook was restarted, or in another session. Nothing was \
             changed. Go back, reload the page and send the form again.",
        ),
    };
    Problem::new(403, title, text)
}
