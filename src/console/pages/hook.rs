//! Shows a hook on one screen: its state in a sentence, the possible actions, its last attempts, and tabs for the rest.

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use crate::console::charts;
use crate::console::format::{count, counted, span};
use crate::console::json::{flag, number, text};
use crate::console::parts;
use crate::console::reply::{Live, Problem, View};
use crate::console::sentence;
use crate::console::session::Session;
use crate::http::ApiResponse;

/// The number of attempts in the strip.
pub(super) const STRIP: &str = "50";
/// The number of attempts that are looked through for them, if successes are not listed (`attempts.log_successful`).
pub(super) const EXAMINED: &str = "10000";

/// A hook, with the data that every tab of its page needs.
pub(super) struct HookPage<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) account: &'a str,
    pub(super) id: &'a str,
    pub(super) hook: Value,
    pub(super) queue: Value,
    /// The last attempts, newest first.
    pub(super) last: ApiResponse,
}

impl HookPage<'_> {
    /// The path of the hook's page, or of a page below it.
    pub(super) fn path(&self, below: &str) -> String {
        format!("/console/accounts/{}/hooks/{}{below}", self.account, self.id)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.session.now_us()
    }

    /// The path of the page of an attempt.
    pub(super) fn attempt_path(&self, attempt: &Value) -> String {
        let number = number(attempt, "attempt").unwrap_or(1);
        self.path(&format!("/attempts/{}?attempt={number}", text(attempt, "delivery_id")))
    }
}

/// `accounts/{A}/hooks/{H}`
pub(in crate::console) async fn show(
    session: &Session<'_>,
    account: &str,
    id: &str,
) -> Result<View, Problem> {
    let named = account_of(session, account).await?;
    let of_hook = ["v2", "accounts", account, "webhooks", id];
    let hook = session.get(&of_hook, &[]).await?.data().clone();
    let queue = session.get(&[&of_hook[..], &["queue"]].concat(), &[]).await?.data().clone();
    let strip = [("page_size", STRIP), ("max_examined", EXAMINED)];
    let last = session.get(&[&of_hook[..], &["attempts"]].concat(), &strip).await?;
    let shown = HookPage { session, account, id, hook, queue, last };
    let tab = super::hook_tabs::Tab::named(session.query("tab"), session.is_admin);
    let body = html! {
        (head(&shown))
        (super::hook_tabs::bar(&shown, tab))
        (super::hook_tabs::show(&shown, tab).await?)
    };
    let name = text(&shown.hook, "name");
    let watch = ["queue", "attempt"].map(|kind| format!("{account}/webhook.{kind}.{id}"));
    // Each request reads some more of the hook's records, until its dead deliveries are counted.
    let told_ms = if number(&shown.queue, "dead_left").is_none() { 500 } else { 10_000 };
    Ok(View {
        title: if name.is_empty() { id.to_owned() } else { name.to_owned() },
        here: "hooks",
        account: Some(named),
        trail: vec![("Hooks".into(), format!("/console/accounts/{account}/hooks"))],
        live: Some(Live { told_ms, ..Live::watching(watch) }),
        body,
    })
}

fn head(shown: &HookPage<'_>) -> Markup {
    let (hook, queue) = (&shown.hook, &shown.queue);
    html! {
        section.card #state aria-label="State" {
            p.sentence { (parts::state(sentence::mark(queue, shown.last.rows()))) " "
                (sentence::of(queue, text(hook, "resume") == "held", shown.last.rows(), shown.now_us()))
                @if shown.session.is_admin && text(queue, "state") == "account_disabled" {
                    " " a href={ "/console/accounts/" (shown.account) "/account" } { "To the account" } "."
                }
                @if shown.session.is_admin && number(queue, "dead_left").is_some_and(|dead| dead > 0) {
                    " " a href=(shown.path("?tab=dead")) { "List them and send them again" } "."
                }
            }
            p.dim.address { (text(hook, "hook")) (chosen(hook)) " → " code { (text(hook, "uri")) } }
            @if shown.session.is_admin { (actions(shown)) }
        }
        section.figures #figures aria-label="Figures" {
            (figure("Waiting", &html! { (count(number(queue, "waiting").unwrap_or(0))) @if !flag(queue, "waiting_exact") { "+" } }))
            (figure("Oldest", &html! { @match number(queue, "oldest_waiting_age_ms") { Some(ms) => (span(ms / 1000)), None => "–" } }))
            (figure("Under way", &html! { (count(number(queue, "in_flight").unwrap_or(0))) }))
            (dead(shown))
            @if let Some(rate) = number(queue, "rate_per_min") {
                (figure("Per minute", &html! { (count(rate)) }))
            }
        }
        section.card #strip aria-label="Last attempts" {
            @if shown.last.rows().is_empty() {
                p.dim {
                    "No attempt yet. Send a test to see what your receiver answers."
                    @if shown.session.is_admin && number(queue, "waiting") == Some(0) {
                        " Without a matching event nothing is sent: "
                        a href={ "/console/accounts/" (shown.account) "/events" (kind(hook)) } { "which events came" } "."
                        @if !chosen(hook).is_empty() { " Of these it gets " strong { (chosen(hook).trim_start_matches(", ")) } "." }
                    }
                }
            } @else {
                div.split {
                    div {
                        h2 { "Last " (shown.last.rows().len()) " attempts " span.dim { "oldest first" } }
                        (charts::strip(shown.last.rows(), shown.now_us(), |attempt| shown.attempt_path(attempt)))
                    }
                    div { h2 { "Time per attempt" } (charts::latency(shown.last.rows())) }
                }
            }
        }
    }
}

/// The number of dead deliveries, with the link to them for those who may open it.
fn dead(shown: &HookPage<'_>) -> Markup {
    let queue = &shown.queue;
    let ever = number(queue, "dead").unwrap_or(0);
    let title = format!(
        "Out of tries and not delivered since, also in replays. Without replays, {} died so far.",
        counted(ever, "delivery")
    );
    let value = html! {
        span.name { "Dead" }
        span.value { @match number(queue, "dead_left") {
            Some(left) => { (count(left)) @if left > 0 && !flag(queue, "dead_left_exact") { "+" } }
            None => "…",
        } }
    };
    html! {
        @if shown.session.is_admin { a.figure title=(title) href=(shown.path("?tab=dead")) { (value) } }
        @else { div.figure title=(title) { (value) } }
    }
}

/// The fields that choose among the events of the hook's kind.
fn chosen(hook: &Value) -> String {
    let fields: &[&str] = match text(hook, "hook") {
        "object" => &["type", "action"],
        "notifications" => &["type"],
        _ => &[],
    };
    let data = hook.get("custom_data").unwrap_or(&Value::Null);
    let named = fields.iter().filter(|field| !["", "all"].contains(&text(data, field)));
    let chosen: Vec<String> = named.map(|field| format!("{field} {}", text(data, field))).collect();
    if chosen.is_empty() { String::new() } else { format!(", only {}", chosen.join(" and ")) }
}

/// The search for the events of the hook's kind.
fn kind(hook: &Value) -> String {
    match text(hook, "hook") {
        "all" => String::new(),
        kind => format!("?event={kind}"),
    }
}

/// A number with a label.
pub(super) fn figure(name: &str, value: &Markup) -> Markup {
    html! { div.figure { span.name { (name) } span.value { (value) } } }
}

/// What a hook gets after it is enabled.
fn enabling(shown: &HookPage<'_>) -> &'static str {
    if text(&shown.queue, "state") == "auto_disabled" || text(&shown.hook, "resume") == "held" {
        "it gets everything that waits, then what comes."
    } else {
        "it gets events from then on. What came while it was disabled can be sent by a replay."
    }
}

fn actions(shown: &HookPage<'_>) -> Markup {
    // A hook that an answer of 410 or a person has disabled is not probed.
    let is_probed = text(&shown.queue, "state") == "auto_disabled"
        && text(&shown.queue, "disable_reason") == sentence::TOO_MANY_FAILURES;
    // The document was read a moment before the queue's state.
    let is_enabled = flag(&shown.hook, "enabled") && text(&shown.queue, "state") != "auto_disabled";
    let is_paused = flag(&shown.queue, "paused");
    let button = |action: &str, label: &str, class: &str| {
        parts::button(shown.session, &shown.path(action), label, class)
    };
    html! {
        div.actions {
            @if is_probed { (button("/probe", "Probe now", "main")) }
            @if is_enabled { (button("/disable", "Disable", "")) } @else { (button("/enable", "Enable", "")) }
            @if is_paused { (button("/resume", "Resume", "main")) } @else { (button("/pause", "Pause", "")) }
            (button("/test", "Send a test", ""))
            a.button data-key="replay" href=(shown.path("/replay")) { "Replay …" }
            a.button data-key="edit" href=(shown.path("/edit")) { "Edit" }
        }
        @if is_probed {
            p.hint {
                strong { "Probe now" } " sends the oldest waiting event once. If it is delivered, the hook is enabled and the rest \
                 follows; otherwise the hook stays as it is. "
                strong { "Enable" } " turns the hook on at once. One event is tried first here, too, but only no answer or a 5xx disables \
                 the hook again; after any other answer it stays on. Either way no event is skipped."
            }
        } @else if !is_enabled {
            p.hint { strong { "Enable" } " turns the hook on: " (enabling(shown)) }
        }
    }
}
