//! One action for several hooks: selected ones, or all that a search finds. The page first shows what the action
//! would do to each hook; then the hooks are changed one by one.

use maud::{Markup, html};
use serde_json::json;
use warp::http::Method;

use super::{Sent, account_of};
use crate::console::format::counted;
use crate::console::json::{flag, number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The largest number of hooks of an action: those of a page.
const MOST: usize = 50;

/// The search of the list from which hooks are chosen.
const KEPT: [&str; 3] = ["q", "state", "below"];

/// An action for several hooks.
#[derive(Debug)]
pub(super) struct Action {
    /// Its name in the form.
    pub(super) name: &'static str,
    /// What people read.
    pub(super) words: &'static str,
}

/// All actions.
pub(super) const ACTIONS: [Action; 5] = [
    Action { name: "enable", words: "Enable" },
    Action { name: "disable", words: "Disable" },
    Action { name: "pause", words: "Pause" },
    Action { name: "resume", words: "Resume" },
    Action { name: "replay", words: "Send again what is dead" },
];

/// A selected hook, with what the action does to it.
struct Chosen<'a> {
    account: &'a str,
    id: &'a str,
    name: String,
    what: String,
    /// Whether the action changes a hook.
    counts: bool,
}

/// A hook for which the action was carried out, or refused.
struct Applied<'a> {
    account: &'a str,
    id: &'a str,
    name: String,
    /// The deliveries that a replay makes.
    matched: Option<u64>,
    refused: Option<Problem>,
}

/// `POST accounts/{A}/bulk`: shows what would be done, or does it.
pub(in crate::console) async fn act(
    session: &Session<'_>,
    account: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let Some(action) = ACTIONS.iter().find(|known| known.name == sent.text("action")) else {
        let back = Some(list(account, sent));
        return Err(Problem {
            back,
            ..Problem::new(400, "Nothing chosen", "Choose what to do with the hooks.")
        });
    };
    if sent.text("which") == "all" {
        return Box::pin(super::bulk_all::act(session, account, action, sent)).await;
    }
    let hooks: Vec<(&str, &str)> =
        sent.all("hook").filter_map(|text| text.split_once('/')).take(MOST).collect();
    if hooks.is_empty() {
        let text = "Nothing was done. Mark the hooks in the first column of the list, or choose “all hooks of this list”, then \
                    check again.";
        let back = Some(list(account, sent));
        return Err(Problem { back, ..Problem::new(400, "No hook is marked", text) });
    }
    let body = if sent.text("do") == "apply" {
        applied(session, action.name, &hooks).await
    } else {
        checked(session, account, action.name, &hooks, sent).await?
    };
    Ok(Outcome::View(View {
        title: format!("{}: {}", action.words, counted(u64::try_from(hooks.len()).unwrap_or(0), "hook")),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), list(account, sent))],
        live: None,
        body,
    }))
}

/// The list from which the form was sent, with its search.
pub(super) fn list(account: &str, sent: &Sent) -> String {
    let kept = KEPT.map(|name| (name, sent.text(name)));
    let kept = kept.into_iter().filter(|(_, value)| !value.is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    format!("/console/accounts/{account}/hooks{}{query}", if query.is_empty() { "" } else { "?" })
}

/// Why an action would change nothing.
pub(super) fn nothing_to_do(action: &str) -> &'static str {
    match action {
        "replay" => {
            "Nothing would be sent: none of these hooks has dead deliveries. What waits is not dead: each hook gets it by itself, \
             when its receiver answers again, or when it is enabled or resumed."
        }
        "enable" => {
            "Nothing would change: all of these hooks are enabled. A paused hook continues with Resume."
        }
        "resume" => {
            "Nothing would change: none of these hooks is paused. A disabled hook continues with Enable."
        }
        _ => "Nothing would change.",
    }
}

async fn checked(
    session: &Session<'_>,
    account: &str,
    action: &str,
    hooks: &[(&str, &str)],
    sent: &Sent,
) -> Result<Markup, Problem> {
    let (mut chosen, mut deliveries) = (Vec::new(), 0);
    for (owner, id) in hooks {
        let of_hook = ["v2", "accounts", owner, "webhooks", id];
        let hook = session.get(&of_hook, &[]).await?.data().clone();
        let queue = session.get(&[&of_hook[..], &["queue"]].concat(), &[]).await?.data().clone();
        let (is_enabled, is_paused) = (flag(&hook, "enabled"), flag(&queue, "paused"));
        let waiting = counted(number(&queue, "waiting").unwrap_or(0), "event");
        let (what, counts) = match action {
            "enable" if is_enabled => ("is enabled already".to_owned(), false),
            "enable" => (
                format!("is enabled; {waiting} that wait are delivered, one first to see whether it works"),
                true,
            ),
            "disable" if !is_enabled => ("is disabled already".to_owned(), false),
            "disable" => (
                "is disabled; what comes until it is enabled is skipped, unless its setting resume is held"
                    .to_owned(),
                true,
            ),
            "pause" if is_paused => ("is paused already".to_owned(), false),
            "pause" => ("is paused; everything is kept".to_owned(), true),
            "resume" if !is_paused => ("is not paused".to_owned(), false),
            "resume" => (format!("continues with {waiting}"), true),
            _ => {
                let dead = [&of_hook[..], &["dead"]].concat();
                let response = session.send(Method::POST, &dead, json!({"dry_run": true})).await?;
                let matched = number(response.data(), "matched").unwrap_or(0);
                deliveries += matched;
                (format!("gets {matched} dead deliveries again"), matched > 0)
            }
        };
        chosen.push(Chosen { account: owner, id, name: text(&hook, "name").to_owned(), what, counts });
    }
    let changing = chosen.iter().filter(|hook| hook.counts).count();
    Ok(html! {
        section.card #counted {
            p.sentence {
                @if changing == 0 { (nothing_to_do(action)) } @else {
                    strong { (counted(u64::try_from(changing).unwrap_or(0), "hook")) } " of " (chosen.len()) " would change"
                    @if action == "replay" { ", " strong { (counted(deliveries, "delivery")) } " would be made" }
                    ". Nothing was done yet."
                }
            }
            ul.list { @for hook in &chosen {
                li.dim[!hook.counts] {
                    a href={ "/console/accounts/" (hook.account) "/hooks/" (hook.id) } { (hook.name) } " " (hook.what)
                }
            } }
            @if changing == 0 { div.actions { a.button href=(list(account, sent)) { "Back to the list" } } }
            @else { (form_to_apply(session, account, action, &chosen, sent)) }
        }
    })
}

/// The form that carries out the action for the hooks that it would change.
fn form_to_apply(
    session: &Session<'_>,
    account: &str,
    action: &str,
    chosen: &[Chosen<'_>],
    sent: &Sent,
) -> Markup {
    let changing = chosen.iter().filter(|hook| hook.counts).count();
    html! {
        form method="post" action={ "/console/accounts/" (account) "/bulk" } {
            (parts::token(session))
            input type="hidden" name="action" value=(action);
            @for name in KEPT { input type="hidden" name=(name) value=(sent.text(name)); }
            @for hook in chosen.iter().filter(|hook| hook.counts) {
                input type="hidden" name="hook" value={ (hook.account) "/" (hook.id) };
            }
            div.actions {
                button.main name="do" value="apply" { "Do it for " (counted(u64::try_from(changing).unwrap_or(0), "hook")) }
                a.button href=(list(account, sent)) { "Cancel" }
            }
        }
    }
}

async fn applied(session: &Session<'_>, action: &str, hooks: &[(&str, &str)]) -> Markup {
    let (mut results, mut deliveries) = (Vec::new(), 0);
    for (owner, id) in hooks {
        let of_hook = ["v2", "accounts", owner, "webhooks", id];
        let below = |name| [&of_hook[..], &[name]].concat();
        // A replay that has just begun has counted nothing yet.
        let matched = match action {
            "replay" => session.send(Method::POST, &below("dead"), json!({"dry_run": true})).await.ok(),
            _ => None,
        };
        let matched = matched.and_then(|counted| number(counted.data(), "matched"));
        let response = match action {
            "enable" => session.send(Method::PATCH, &of_hook, json!({"enabled": true})).await,
            "disable" => session.send(Method::PATCH, &of_hook, json!({"enabled": false})).await,
            "replay" => session.send(Method::POST, &below("dead"), json!({})).await,
            other => session.send(Method::POST, &below(other), json!({})).await,
        };
        // The name is for people only; without it the id is shown.
        let name = session
            .get(&of_hook, &[])
            .await
            .map(|hook| text(hook.data(), "name").to_owned())
            .unwrap_or_default();
        deliveries += matched.filter(|_| response.is_ok()).unwrap_or(0);
        results.push(Applied { account: owner, id, name, matched, refused: response.err() });
    }
    let done = results.iter().filter(|applied| applied.refused.is_none()).count();
    html! {
        section.card #done {
            p.sentence role="status" { "Done for " strong { (counted(u64::try_from(done).unwrap_or(0), "hook")) } " of " (results.len())
                @if action == "replay" { ": " strong { (counted(deliveries, "delivery")) } " on the way again" }
                "."
            }
            ul.list { @for Applied { account, id, name, matched, refused } in &results {
                @let path = format!("/console/accounts/{account}/hooks/{id}");
                li {
                    a href=(path) { (if name.is_empty() { *id } else { name.as_str() }) }
                    @if let Some(problem) = refused { " " span.answer.bad { "✕ " (problem.title) } " " (problem.text) }
                    @else if let Some(matched) = matched {
                        ": " (counted(*matched, "delivery")) ", " a href={ (path) "?tab=replays" } { "progress" }
                    } @else { " done" }
                }
            } }
        }
    }
}
