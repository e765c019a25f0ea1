//! Replays of a hook: chosen, counted before anything is sent, watched, paused and cancelled.

use maud::{Markup, html};
use serde_json::{Map, Value, json};
use warp::http::Method;

use super::hook::HookPage;
use super::{Sent, account_of};
use crate::console::format::{counted, moment};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::range::Range;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The kinds of replays by the API's names, with words for people.
const WHICH: [(&str, &str); 3] = [
    ("dead", "What is dead: deliveries that used up their tries"),
    ("failed", "What failed: deliveries whose last attempt failed, also those that are still tried again"),
    ("all", "Everything that the hook gets"),
];
const SINCE: [(&str, &str); 5] = [
    ("all", "All that is kept"),
    ("15m", "Last 15 min"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
];

/// `accounts/{A}/hooks/{H}/replay`
pub(in crate::console) async fn show(
    session: &Session<'_>,
    account: &str,
    hook: &str,
) -> Result<View, Problem> {
    page(session, account, hook, &Sent::nothing(), &html! {}).await
}

/// `POST accounts/{A}/hooks/{H}/replay`: counts, or starts a replay.
pub(in crate::console) async fn send(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let path = ["v2", "accounts", account, "webhooks", hook, "replay"];
    let is_start = sent.text("do") == "start";
    let response = session.send(Method::POST, &path, request(sent, session.now_us(), !is_start)).await;
    let response = match response {
        Ok(response) => response,
        Err(problem) if problem.status == 400 => {
            let fault =
                html! { div.problem role="alert" { p { (problem.text) } (parts::faults(&problem.fields)) } };
            return Ok(Outcome::View(page(session, account, hook, sent, &fault).await?));
        }
        Err(problem) => return Err(problem),
    };
    if is_start {
        return Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{hook}?tab=replays&done=replay")));
    }
    let samples = samples(session, account, hook, sent).await;
    let counted = result(session, account, response.data(), sent, samples.as_ref());
    Ok(Outcome::View(page(session, account, hook, sent, &counted).await?))
}

/// The data for the API.
fn request(sent: &Sent, now_us: u64, is_dry: bool) -> Value {
    let which = sent.text("only");
    let mut data = Map::new();
    data.insert("only".into(), if which.is_empty() { "dead" } else { which }.into());
    data.insert("dry_run".into(), is_dry.into());
    let range = Range::of(sent.text("since"), sent.text("from"), sent.text("to"), now_us);
    for (name, bound) in [("created_from", range.from), ("created_to", range.to)] {
        if !bound.is_empty() {
            data.insert(name.into(), bound.into());
        }
    }
    // A replay of everything needs a start.
    if which == "all" && !data.contains_key("created_from") {
        data.insert("from_offset".into(), 0.into());
    }
    for (ours, theirs) in [("names", "event_names"), ("subjects", "subjects"), ("rate", "rate")] {
        if !sent.text(ours).trim().is_empty() {
            data.insert(theirs.into(), sent.text(ours).trim().into());
        }
    }
    data.into()
}

/// Some of the events that would be sent, newest first.
struct Samples {
    rows: Vec<Value>,
    /// What they are.
    label: &'static str,
}

/// The number of samples, and of dead deliveries that are searched for them.
const SAMPLES: usize = 5;
const SEARCHED: &str = "100";

async fn samples(session: &Session<'_>, account: &str, hook: &str, sent: &Sent) -> Option<Samples> {
    let range = Range::of(sent.text("since"), sent.text("from"), sent.text("to"), session.now_us());
    if sent.text("only") == "all" {
        let mut asked = vec![
            ("page_size", "5"),
            ("created_from", range.from.as_str()),
            ("created_to", range.to.as_str()),
            ("event_names", sent.text("names").trim()),
            ("subjects", sent.text("subjects").trim()),
        ];
        asked.retain(|(_, value)| !value.is_empty());
        let response = session.get(&["v2", "accounts", account, "events"], &asked).await.ok()?;
        let rows = response.rows().to_vec();
        return Some(Samples { rows, label: "The newest events in this range:" });
    }
    let path = ["v2", "accounts", account, "webhooks", hook, "dead"];
    let response = session.get(&path, &[("page_size", SEARCHED)]).await.ok()?;
    let is_of = |row: &&Value| {
        let received = number(row, "received").unwrap_or(0);
        let is_listed = |listed: &str, value: &str| {
            listed.trim().is_empty() || listed.split(',').any(|one| one.trim() == value)
        };
        range.contains(received)
            && is_listed(sent.text("names"), text(row, "event_name"))
            && is_listed(sent.text("subjects"), text(row, "subject"))
    };
    let rows = response.rows().iter().filter(is_of).take(SAMPLES).cloned().collect();
    let is_dead = sent.text("only") != "failed";
    Some(Samples { rows, label: if is_dead { "The newest of them:" } else { "The newest that are dead:" } })
}

fn result(
    session: &Session<'_>,
    account: &str,
    replay: &Value,
    sent: &Sent,
    samples: Option<&Samples>,
) -> Markup {
    let matched = number(replay, "matched").unwrap_or(0);
    html! {
        section.card #counted aria-live="polite" {
            p.sentence {
                @if matched == 0 { "Nothing fits, so nothing would be sent. Choose another kind or a longer time below." } @else {
                    strong { (counted(matched, "delivery")) } " would be made. Nothing was sent yet."
                }
            }
            @if let Some(Samples { rows, label }) = samples.filter(|samples| matched > 0 && !samples.rows.is_empty()) {
                p.dim { (label) }
                ul.plain { @for row in rows { (sample(session, account, row)) } }
            }
            @if matched > 0 {
                form method="post" action=(session.visit.path) {
                    (parts::token(session))
                    @for name in ["only", "since", "from", "to", "names", "subjects", "rate"] {
                        input type="hidden" name=(name) value=(sent.text(name));
                    }
                    button.main name="do" value="start" { "Start: send " (counted(matched, "delivery")) }
                }
            }
        }
    }
}

fn sample(session: &Session<'_>, account: &str, row: &Value) -> Markup {
    // An event, or an attempt to deliver it.
    let event = [text(row, "event_id"), text(row, "id")].into_iter().find(|id| !id.is_empty());
    let received = number(row, "received").or(number(row, "timestamp"));
    html! {
        li {
            a href={ "/console/accounts/" (account) "/events/" (event.unwrap_or_default()) } { (text(row, "event_name")) }
            " " code { (text(row, "subject")) } " " (moment(received, session.now_us()))
        }
    }
}

async fn page(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    sent: &Sent,
    above: &Markup,
) -> Result<View, Problem> {
    let of_hook = ["v2", "accounts", account, "webhooks", hook];
    let named = session.get(&of_hook, &[]).await?;
    let queue = session.get(&[&of_hook[..], &["queue"]].concat(), &[]).await?;
    let hooks = format!("/console/accounts/{account}/hooks");
    let path = format!("{hooks}/{hook}");
    let which = if sent.text("only").is_empty() { "dead" } else { sent.text("only") };
    Ok(View {
        title: "Replay".into(),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), hooks), (text(named.data(), "name").to_owned(), path.clone())],
        live: None,
        body: html! {
            (above)
            @if let Some(text) = held_back(queue.data()) { p.notice { (text) } }
            form.narrow method="post" action={ (path) "/replay" } {
                (parts::token(session))
                fieldset.card {
                    legend { "What is sent again" }
                    @for (value, label) in WHICH {
                        label.check { input type="radio" name="only" value=(value) checked[value == which]; (label) }
                    }
                }
                fieldset.card {
                    legend { "Which part of it" }
                    div.field { label for="since" { "Time" } select #since name="since" {
                        @for (value, label) in SINCE { option value=(value) selected[value == sent.text("since")] { (label) } }
                    } }
                    div.field { label for="from" { "From " span.dim { "UTC; used instead of the time above" } }
                        input #from type="datetime-local" step="1" name="from" value=(sent.text("from")); }
                    div.field { label for="to" { "To " span.dim { "UTC" } }
                        input #to type="datetime-local" step="1" name="to" value=(sent.text("to")); }
                    div.field { label for="names" { "Event names " span.dim { "separated by commas; empty: all" } }
                        input #names name="names" value=(sent.text("names")) placeholder="CHANNEL_DESTROY"; }
                    div.field { label for="subjects" { "Subjects " span.dim { "ids of calls, faxes, …, separated by commas; empty: all" } }
                        input #subjects name="subjects" value=(sent.text("subjects")); }
                    div.field { label for="rate" { "Deliveries a second " span.dim { "empty: as fast as the hook takes them" } }
                        input #rate name="rate" inputmode="numeric" value=(sent.text("rate")); }
                }
                div.actions { button.main name="do" value="count" { "Count first" } a.button href=(path) { "Cancel" } }
                p.hint { "Deliveries keep their ids, so a receiver that remembers ids notices repeats. They carry the header x-replay." }
            }
        },
    })
}

/// Why a replay of the hook would not begin at once, and what needs no replay.
fn held_back(queue: &Value) -> Option<&'static str> {
    Some(match text(queue, "state") {
        "auto_disabled" => {
            "Switchhook has disabled this hook, so a replay begins when the hook is enabled. What waits for it needs no replay: \
             it gets that then by itself."
        }
        "disabled" => "This hook is disabled: a replay begins when it is enabled.",
        "paused" => {
            "This hook is paused: a replay begins when it is resumed. What waits for it needs no replay: it gets that then by itself."
        }
        "account_disabled" => "The account is disabled: a replay begins when the account is enabled.",
        _ => return None,
    })
}

/// The replays of a hook, with the possible actions for running ones.
pub(super) async fn list(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "replay"];
    let response = shown.session.get(&path, &[("page_size", "25")]).await?;
    if response.rows().is_empty() {
        let start = html! { @if shown.session.is_admin { a.button href=(shown.path("/replay")) { "Start a replay" } } };
        return Ok(parts::empty("No replay runs, and none ended lately.", &start));
    }
    Ok(html! {
        section #replays {
            @let runs = response.rows().iter().any(|row| text(row, "state") == "running");
            @if let Some(text) = held_back(&shown.queue).filter(|_| runs) { p.notice { (text) } }
            div.scroll { table.rows {
            thead { tr { th { "State" } th { "What" } th { "Started" } th { "Progress" } th.num { "Dead again" } th { span.unseen { "Actions" } } } }
            tbody { @for row in response.rows() { (line(shown, row)) } }
        } } }
    })
}

/// What a replay sends, in a few words.
fn what(only: &str) -> &str {
    match only {
        "dead" => "dead deliveries",
        "failed" => "failed deliveries",
        "all" => "everything",
        other => other,
    }
}

fn line(shown: &HookPage<'_>, row: &Value) -> Markup {
    let (state, id) = (text(row, "state"), text(row, "id"));
    let (matched, delivered) = (number(row, "matched").unwrap_or(0), number(row, "delivered").unwrap_or(0));
    let dead = number(row, "dead").unwrap_or(0);
    let button = |action: &str, label: &str| {
        parts::button(shown.session, &shown.path(&format!("/replays/{id}/{action}")), label, "")
    };
    html! {
        tr {
            td { (state) }
            td { (what(text(row, "only"))) }
            td data-label="Started" { (moment(number(row, "started"), shown.now_us())) }
            td {
                progress max=(matched.max(1)) value=(delivered + dead) aria-label="Progress" {}
                " " (delivered) " of " (matched) " delivered"
            }
            td.num data-label="Dead again" { (dead) }
            td.nowrap { @if shown.session.is_admin {
                @if state == "running" { (button("pause", "Pause")) " " (button("cancel", "Cancel")) }
                @if state == "paused" { (button("resume", "Go on")) " " (button("cancel", "Cancel")) }
            } }
        }
    }
}

/// An action of a replay in the list.
pub(in crate::console) struct OnReplay<'a> {
    pub(in crate::console) account: &'a str,
    pub(in crate::console) hook: &'a str,
    pub(in crate::console) replay: &'a str,
    pub(in crate::console) action: &'a str,
}

/// `POST accounts/{A}/hooks/{H}/replays/{R}/{action}`
pub(in crate::console) async fn act(session: &Session<'_>, on: OnReplay<'_>) -> Result<Outcome, Problem> {
    let OnReplay { account, hook, replay, action } = on;
    let path = ["v2", "accounts", account, "webhooks", hook, "replay", replay];
    let done = match action {
        "pause" | "resume" => {
            session.send(Method::POST, &[&path[..], &[action]].concat(), json!({})).await?;
            ""
        }
        "cancel" => {
            session.send(Method::DELETE, &path, json!({})).await?;
            "&done=cancelled"
        }
        _ => return Err(Problem::not_found()),
    };
    Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{hook}?tab=replays{done}")))
}
