//! Opens the console with a one-time link from the person's own portal, without a password.
//!
//! Opening the link changes nothing, because mail scanners and other programs open links before people do. The link
//! is used up when the person presses the button.

use maud::html;
use serde_json::json;
use warp::http::Method;

use super::origin::is_https;
use super::reply::{self, Outcome, Problem, View};
use super::{cookies, json, layout};
use crate::http::{Api, Ask, Page, Visit};

/// `GET` and `POST link/{code}`
pub(super) async fn answer(api: &Api, visit: &Visit, code: &str) -> Page {
    if visit.method != Method::POST {
        return button_page(visit);
    }
    let response = api
        .ask(Ask {
            method: Method::PUT,
            path: &["v2", "console_auth"],
            query: &[],
            data: Some(json!({"code": code})),
            token: None,
            remote: visit.remote,
            is_part: false,
        })
        .await;
    let token = json::text(&response.envelope, "auth_token");
    if response.status == 201 && !token.is_empty() {
        let mut page = reply::see("/console/", 303);
        page.headers.push(("set-cookie", cookies::set_session(token, is_https(&visit.headers))));
        return page;
    }
    let (status, text) = match response.status {
        423 => (423, "The account is disabled. Somebody of an account above it can enable it."),
        429 => (429, "Too many links were tried from your address. Wait a minute, then open a new link."),
        _ => (
            404,
            "The link was used already, or its time is over. Ask for a new one, or open the console from your portal again.",
        ),
    };
    reply::finish(Outcome::Problem(Problem::new(status, "Link not good", text)), visit, None)
}

fn button_page(visit: &Visit) -> Page {
    let view = View {
        title: "Open the console".into(),
        here: "",
        account: None,
        trail: Vec::new(),
        live: None,
        body: html! {
            div.login {
                h1 { "Open the console" }
                p { "This link opens the console for your account, once." }
                form method="post" action=(visit.path) { button.main { "Open" } }
            }
        },
    };
    reply::html(200, layout::page(&view, None, cookies::theme(&visit.headers)))
}
