//! The answer to a request for a page: a page, another address, or a refusal of the API in words for people.

use maud::Markup;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::cookies::{self, Theme};
use super::json;
use super::layout;
use super::odd;
use super::origin::is_https;
use super::session::Session;
use crate::http::{ApiResponse, Content, Page, Visit};

/// A page may load only files of this program, run only the module's script, send forms only to this origin, and is
/// shown in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a `Location` must not contain. A percent sign stays, because paths have encoded parts.
const NOT_IN_A_LOCATION: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\');

/// The result for the person.
pub(super) enum Outcome {
    /// A page.
    View(View),
    /// Something was done; the browser loads this address.
    See(String),
    /// A page with the reason why nothing was done.
    Problem(Problem),
}

/// The content of a page, before the layout is added.
pub(super) struct View {
    /// The title and the heading.
    pub(super) title: String,
    /// The entry of the navigation to which the page belongs.
    pub(super) here: &'static str,
    /// The account of the page, with its name if that is known.
    pub(super) account: Option<(String, String)>,
    /// The names and addresses of the pages above this one.
    pub(super) trail: Vec<(String, String)>,
    /// How it stays up to date.
    pub(super) live: Option<Live>,
    pub(super) body: Markup,
}

/// How an open page follows changes. A websocket announces changes; without a connected websocket the page polls.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// The interval of polling without a websocket, in milliseconds.
    pub(super) every_ms: u32,
    /// The interval of polling with a websocket, for changes by time alone, and changes without a binding.
    pub(super) told_ms: u32,
    /// The bindings to watch: `ACCOUNT_ID/BINDING`.
    pub(super) watch: Vec<String>,
}

impl Live {
    /// Watches bindings, and polls rarely.
    pub(super) fn watching(watch: impl IntoIterator<Item = String>) -> Self {
        Self { every_ms: 700, told_ms: 10_000, watch: watch.into_iter().collect() }
    }

    /// Only polls.
    pub(super) fn asking(every_ms: u32) -> Self {
        Self { every_ms, told_ms: every_ms, watch: Vec::new() }
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) title: String,
    /// The reason, and what the person can do.
    pub(super) text: String,
    /// The errors by field.
    pub(super) fields: Vec<(String, String)>,
    /// The page to go back to, if it is not the overview.
    pub(super) back: Option<String>,
}

/// A refusal.
pub(super) type Refusal = Problem;

impl Problem {
    /// A problem with a text that says what to do.
    pub(super) fn new(status: u16, title: &str, text: &str) -> Self {
        Self { status, title: title.to_owned(), text: text.to_owned(), fields: Vec::new(), back: None }
    }

    /// The session has no right to do this.
    pub(super) fn forbidden() -> Self {
        Self::of(&ApiResponse { status: 403, envelope: Value::Null })
    }

    /// The path names nothing.
    pub(super) fn not_found() -> Self {
        Self::new(
            404,
            "Nothing here",
            "This page does not exist, or what it showed was deleted. Go to the overview and look from there.",
        )
    }

    /// The API's answer, or a problem if the API refused.
    pub(super) fn unless_done(response: ApiResponse) -> Result<ApiResponse, Self> {
        if (200..300).contains(&response.status) { Ok(response) } else { Err(Self::of(&response)) }
    }

    /// The refusal of the API.
    pub(super) fn of(response: &ApiResponse) -> Self {
        // 405: without its last part, the path would name something. For a person, the page just does not exist.
        let status = if response.status == 405 { 404 } else { response.status };
        let (title, text) = match status {
            400 => ("Not taken", "Some of what you entered cannot be used."),
            401 => ("Session ended", "Log in again."),
            403 => {
                ("Not allowed", "Your session has no right to do this. Ask an administrator of the account.")
            }
            404 => ("Not found", "It does not exist, was deleted, or belongs to another account."),
            409 => (
                "Changed meanwhile",
                "Somebody else changed it at the same moment. Reload the page and try again.",
            ),
            410 => ("Damaged", "The record in the log is damaged and cannot be read."),
            413 => ("Too large", "It is larger than the limit of this installation."),
            416 => ("Too much at once", "Choose a shorter range of time."),
            423 => ("Account disabled", "The account is disabled. An account above it can enable it."),
            429 => ("Too many requests", "Wait a few seconds, then reload."),
            503 => {
                ("Not available", "A part of Switchhook is not at work. The overview and the log say which.")
            }
            507 => ("No room on disk", "Free disk space, or lower retention.max_bytes."),
            _ => ("Failed", "The request failed. The program's log says why."),
        };
        let mut problem = Self::new(status, title, text);
        problem.fields = fields(response.data());
        if let Some(message) = response.data().get("message").and_then(Value::as_str)
            && ![401, 403, 404].contains(&status)
        {
            problem.text = format!("{text} ({message})");
        }
        problem
    }
}

/// Errors by field: `{field: {rule: {message}}}`.
fn fields(data: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (field, rules) in data.as_object().into_iter().flatten() {
        for details in rules.as_object().into_iter().flat_map(|rules| rules.values()) {
            let message = json::text(details, "message");
            if !message.is_empty() {
                found.push((field.clone(), message.to_owned()));
            }
        }
    }
    found
}

/// Makes the answer for the client.
pub(super) fn finish(outcome: Outcome, visit: &Visit, session: Option<&Session<'_>>) -> Page {
    let theme = cookies::theme(&visit.headers);
    let (status, markup) = match outcome {
        Outcome::See(path) => return see(&path, 303),
        Outcome::View(view) => (200, layout::page(&view, session, theme)),
        Outcome::Problem(problem) => {
            (problem.status, layout::page(&layout::problem(&problem, session.is_none()), session, theme))
        }
    };
    let mut page = html(status, markup);
    page.caller = session.map(|session| session.caller.clone());
    page
}

/// A page of HTML.
pub(super) fn html(status: u16, markup: Markup) -> Page {
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        // Without a referrer, browsers would hide the origin of forms too.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
    Page { status, headers, content: Content::Made(odd::marked(markup.into_string())), caller: None }
}

/// A short answer as plain text.
pub(super) fn plain(status: u16, text: &'static str) -> Page {
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned())).into();
    Page { status, headers, content: Content::Fixed(text), caller: None }
}

/// Sends the browser to another address of this origin. Segments of `path` may come from the request, decoded.
pub(super) fn see(path: &str, status: u16) -> Page {
    let headers = vec![
        ("location", utf8_percent_encode(path, NOT_IN_A_LOCATION).to_string()),
        ("cache-control", "no-store".to_owned()),
        ("vary", "accept".to_owned()),
    ];
    Page { status, headers, content: Content::Fixed(""), caller: None }
}

/// `POST theme`: remembers the theme and goes back.
pub(super) fn theme(visit: &Visit) -> Page {
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&visit.body).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
    let cookie = cookies::set_theme(Theme::named(field("theme")), is_https(&visit.headers));
    let mut page = see(own_path(field("back")), 303);
    page.headers.push(("set-cookie", cookie));
    page
}

/// A path of the console in a form or an address; otherwise the first page.
pub(super) fn own_path(text: &str) -> &str {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    // As a browser reads it: dots, also encoded ones, can lead out of the console.
    let is_within = || {
        let read = url::Url::parse("http://console.invalid").and_then(|base| base.join(text));
        read.is_ok_and(|read| read.path().starts_with("/console/"))
    };
    let is_own = text.starts_with("/console/") && is_plain && !text.contains("//") && is_within();
    if is_own { text } else { "/console/" }
}

impl Page {
    /// The same page, with another token in the session's cookie.
    pub(super) fn with_session(mut self, token: Option<&str>, visit: &Visit) -> Self {
        if let Some(token) = token {
            self.headers.push(("set-cookie", cookies::set_session(token, is_https(&visit.headers))));
        }
        self
    }

    /// The same page, without the session's cookie.
    pub(super) fn without_session(mut self, visit: &Visit) -> Self {
        self.headers.push(("set-cookie", cookies::end_session(is_https(&visit.headers))));
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_paths_of_the_console_are_redirect_targets() {
        for (given, path) in [
            ("/console/accounts/a/hooks?q=x", "/console/accounts/a/hooks?q=x"),
            ("https://evil.example/console/", "/console/"),
            ("//evil.example/console/", "/console/"),
            ("/console/\\evil", "/console/"),
            ("/console//evil.example", "/console/"),
            ("/console/../v2/accounts", "/console/"),
            ("/console/accounts/%2e%2E/.%2e/docs", "/console/"),
            ("/console/accounts/../login", "/console/accounts/../login"),
            ("/console/x\r\nset-cookie: y", "/console/"),
            ("/v2/accounts", "/console/"),
        ] {
            assert_eq!(own_path(given), path, "{given}");
        }
    }

    #[test]
    fn a_refusal_names_the_fields() {
        let envelope = json!({"data": {"uri": {"required": {"message": "Field is required but missing"}}}});
        let refusal = Problem::unless_done(ApiResponse { status: 400, envelope }).unwrap_err();
        assert_eq!(refusal.fields, [("uri".to_owned(), "Field is required but missing".to_owned())]);
    }
}
