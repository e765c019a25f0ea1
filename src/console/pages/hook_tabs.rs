//! The tabs of a hook's page.

use maud::{Markup, html};
use serde_json::Value;

use super::hook::{EXAMINED, HookPage, STRIP};
use crate::console::charts::outcome;
use crate::console::format::{duration, moment, unix_s};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::reply::Problem;

/// A tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Attempts,
    Waiting,
    Dead,
    Replays,
    Settings,
    Verify,
    Inbox,
}

const TABS: [(Tab, &str, &str, bool); 7] = [
    (Tab::Attempts, "attempts", "Attempts", false),
    (Tab::Waiting, "waiting", "Waiting", true),
    (Tab::Dead, "dead", "Dead", true),
    (Tab::Replays, "replays", "Replays", false),
    (Tab::Settings, "settings", "Settings", false),
    (Tab::Verify, "verify", "How to verify", false),
    // Only a hook with the built-in receiver has this tab.
    (Tab::Inbox, "inbox", "Built-in receiver", true),
];

impl Tab {
    /// The tab with a name. Otherwise the first one; also if only an admin may see the tab.
    pub(super) fn named(name: &str, is_admin: bool) -> Self {
        let found = TABS.iter().find(|(_, known, _, for_admins)| *known == name && (is_admin || !for_admins));
        found.map_or(Self::Attempts, |(tab, ..)| *tab)
    }
}

/// The bar of tabs.
pub(super) fn bar(shown: &HookPage<'_>, here: Tab) -> Markup {
    html! {
        nav.tabs aria-label="Parts of this hook" {
            @for (tab, name, label, for_admins) in TABS {
                @let is_there = tab != Tab::Inbox || super::first::is_inbox(&shown.hook);
                @if is_there && (shown.session.is_admin || !for_admins) {
                    a href=(shown.path(&format!("?tab={name}"))) aria-current=[(tab == here).then_some("page")] { (label) }
                }
            }
        }
    }
}

/// The content of the tab.
pub(super) async fn show(shown: &HookPage<'_>, tab: Tab) -> Result<Markup, Problem> {
    match tab {
        Tab::Attempts => attempts(shown).await,
        Tab::Waiting => waiting(shown).await,
        Tab::Dead => dead(shown).await,
        Tab::Replays => super::replay::list(shown).await,
        Tab::Settings => Ok(settings(shown)),
        Tab::Verify => super::verify::show(shown).await,
        Tab::Inbox => super::first::tab(shown).await,
    }
}

async fn attempts(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let start = shown.session.query("start_key");
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "attempts"];
    let further;
    // The strip has already read the first page.
    let response = if start.is_empty() {
        &shown.last
    } else {
        let asked = [("page_size", STRIP), ("max_examined", EXAMINED), ("start_key", start)];
        further = shown.session.get(&path, &asked).await?;
        &further
    };
    Ok(html! {
        section #attempts {
            @if response.rows().is_empty() && response.next().is_none() {
                (parts::empty("No attempt was made in the time that is kept.", &html! {}))
            } @else { (table(shown, response.rows())) }
            @if response.next().is_some() && response.rows().len() < 50 { (partly()) }
            (parts::pager(&shown.path(""), &[("tab", "attempts")], response, start.is_empty()))
        }
    })
}

/// A table of attempts.
fn table(shown: &HookPage<'_>, rows: &[Value]) -> Markup {
    html! {
        div.scroll { table.rows {
            thead { tr { th { "Result" } th { "Answer" } th { "When" } th.num { "Took" } th.num { "Try" } th { "Event" } th { "Subject" } } }
            tbody { @for row in rows {
                tr data-row {
                    td { (parts::result(text(row, "result"))) }
                    td { a href=(shown.attempt_path(row)) data-go { (outcome(row)) } }
                    td { (moment(number(row, "timestamp"), shown.now_us())) }
                    td.num data-label="Took" { (duration(number(row, "duration_ms").unwrap_or(0))) }
                    td.num data-label="Try" { (number(row, "attempt").unwrap_or(1)) }
                    td { code { (text(row, "event_name")) } }
                    td { code.cut title=(text(row, "subject")) { (text(row, "subject")) } }
                }
            } }
        } }
    }
}

/// A page that is not full, although the list goes on.
fn partly() -> Markup {
    html! { p.hint { "Only a part of the log was searched. The next page continues from there." } }
}

/// What the hook still has to get, oldest event first.
async fn waiting(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let start = shown.session.query("start_key");
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "waiting"];
    let response = shown.session.page(&path, &[]).await?;
    if response.rows().is_empty() && response.next().is_none() {
        return Ok(parts::empty("Nothing waits. What matched was delivered or is dead.", &html! {}));
    }
    let now_us = shown.now_us();
    Ok(html! {
        section #waiting {
            p.hint { "Oldest first: what this hook still has to get. An event of the same call waits until the one before it has ended." }
            div.scroll { table.rows {
                thead { tr { th { "Received" } th { "State" } th { "Next try" } th.num { "Tries" } th { "Event" } th { "Subject" } } }
                tbody { @for row in response.rows() {
                    @let event = format!("/console/accounts/{}/events/{}", shown.account, text(row, "event_id"));
                    tr data-row data-key=(text(row, "event_id")) {
                        td data-label="Received" { (moment(number(row, "received"), now_us)) }
                        td { (parts::waiting(text(row, "state"))) }
                        // A time that is over means: as soon as the hook may deliver.
                        td data-label="Next try" { (moment(number(row, "next_try_at").filter(|at| unix_s(*at) * 1_000_000 > now_us), now_us)) }
                        td.num data-label="Tries" { (number(row, "attempts").unwrap_or(0)) }
                        td { a href=(event) data-go { code { (text(row, "event_name")) } } }
                        td { code.cut title=(text(row, "subject")) { (text(row, "subject")) } }
                    }
                } }
            } }
            @if response.next().is_some() && response.rows().len() < 50 { (partly()) }
            (parts::pager(&shown.path(""), &[("tab", "waiting")], &response, start.is_empty()))
        }
    })
}

async fn dead(shown: &HookPage<'_>) -> Result<Markup, Problem> {
    let start = shown.session.query("start_key");
    if number(&shown.queue, "dead_left").is_none() {
        return Ok(html! { section #dead { p.hint {
            "The dead deliveries of this hook are being counted. The list appears here in a moment; without JavaScript, load the page again."
        } } });
    }
    let path = ["v2", "accounts", shown.account, "webhooks", shown.id, "dead"];
    let mut query = vec![("page_size", "25")];
    if !start.is_empty() {
        query.push(("start_key", start));
    }
    let response = shown.session.get(&path, &query).await?;
    if response.rows().is_empty() && start.is_empty() {
        return Ok(parts::empty(
            "No delivery is dead. A delivery is dead when it has used up its tries.",
            &html! {},
        ));
    }
    Ok(html! {
        section #dead {
            div.actions { a.button href=(shown.path("/replay")) { "Send dead deliveries again …" } }
            (table(shown, response.rows()))
            (parts::pager(&shown.path(""), &[("tab", "dead")], &response, start.is_empty()))
        }
    })
}

/// The hook's document, field by field.
fn settings(shown: &HookPage<'_>) -> Markup {
    html! {
        section.card {
            @if shown.session.is_admin {
                p { a href={ "/console/accounts/" (shown.account) "/audit?id=" (shown.id) } { "Who changed this hook, when, and what was it before" } }
            }
            dl.fields {
                @for (name, value) in shown.hook.as_object().into_iter().flatten() {
                    dt { code { (name) } }
                    dd { code { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
                }
            }
        }
    }
}
