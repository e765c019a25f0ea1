//! The console: pages for people, made on the server. It has no data of its own: it reads and changes everything
//! through the API, with the token of the person's session.
//!
//! Promise: a page shows only what the API answers to the same person. A change needs a form that this program made
//! for this session, and that was not sent before. Text from outside is always escaped.

mod assets;
mod charts;
mod cookies;
mod format;
mod forms;
mod json;
mod layout;
mod link;
mod log_in;
mod odd;
mod origin;
mod pages;
mod parts;
mod range;
mod reply;
mod route;
mod sentence;
mod session;

use warp::http::{HeaderMap, Method};

use self::forms::Forms;
use self::reply::{Outcome, Problem};
use crate::http::{Answer, Api, Page, Site, Socket, Visit};

/// The websocket over which open pages learn about changes.
const LIVE: &str = "/console/live";

/// The settings of the console.
#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    /// The longest time of a session in use, in seconds.
    pub session_s: u64,
}

/// The console, ready to be served.
#[derive(Debug)]
pub struct Console {
    forms: Forms,
    options: ConsoleOptions,
}

impl Console {
    /// The console. Forms from before this moment are refused.
    #[must_use]
    pub fn new(options: ConsoleOptions) -> Self {
        Self { forms: Forms::new(), options }
    }

    async fn page(&self, api: &Api, visit: &Visit, rest: &[&str]) -> Page {
        let is_change = visit.method == Method::POST;
        if !is_change && visit.method != Method::GET && visit.method != Method::HEAD {
            let mut refusal = reply::plain(405, "method not allowed");
            refusal.headers.push(("allow", "GET, HEAD, POST".to_owned()));
            return refusal;
        }
        if let ["assets", name] = rest {
            return assets::answer(name, visit);
        }
        if let Some(response) = &visit.refused {
            return reply::finish(Outcome::Problem(Problem::of(response)), visit, None);
        }
        // Before the log-in too: another site must not log a person in to an account of its choice.
        if is_change && !origin::is_own(&visit.headers) {
            return reply::finish(Outcome::Problem(layout::foreign_form()), visit, None);
        }
        match rest {
            ["login"] => log_in::answer(self, api, visit).await,
            ["link", code] => link::answer(api, visit, code).await,
            ["theme"] if is_change => reply::theme(visit),
            _ => self.for_a_person(api, visit, rest).await,
        }
    }

    /// A page that needs a session.
    async fn for_a_person(&self, api: &Api, visit: &Visit, rest: &[&str]) -> Page {
        let Some(session) = session::of(self, api, visit).await else {
            return log_in::send_there(visit);
        };
        let outcome = Box::pin(route::answer(&session, rest)).await;
        // A browser may show stored pages again as long as the cookie stays the same.
        let has_ended =
            visit.method == Method::POST && rest == ["logout"] && matches!(outcome, Outcome::See(_));
        let page = reply::finish(outcome, visit, Some(&session));
        if has_ended {
            return page.without_session(visit);
        }
        page.with_session(session.renewed(self.options.session_s).as_deref(), visit)
    }
}

impl Site for Console {
    fn socket(&self, path: &str, headers: &HeaderMap) -> Socket {
        if path != LIVE {
            return Socket::Plain;
        }
        // Another site's page could open a websocket in the name of the person who visits it.
        match cookies::session(headers).filter(|_| origin::is_own(headers)) {
            Some(token) => Socket::With(token.to_owned()),
            None => Socket::Refused,
        }
    }

    fn token(&self, path: &str, headers: &HeaderMap) -> Option<String> {
        path.starts_with("/console/").then(|| cookies::session(headers))?.map(str::to_owned)
    }

    fn answer<'a>(&'a self, api: &'a Api, visit: Visit) -> Answer<'a, Option<Page>> {
        Box::pin(async move {
            let segments: Vec<&str> = visit.segments.iter().map(String::as_str).collect();
            match segments.as_slice() {
                [] if origin::is_browser(&visit) => Some(reply::see("/console/", 302)),
                ["console"] if visit.path == "/console" => Some(reply::see("/console/", 302)),
                ["console", rest @ ..] => Some(self.page(api, &visit, rest).await),
                _ => None,
            }
        })
    }
}
