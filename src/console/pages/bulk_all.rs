//! One action for all hooks that a search finds, on any number of pages: counted first, then carried out in parts,
//! each by one call of the API.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Value, json};
use tokio::time::Instant;
use warp::http::Method;

use super::bulk::{Action, nothing_to_do};
use super::{Sent, account_of};
use crate::console::format::counted;
use crate::console::json::{items, number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The number of hooks in one call of the API.
const AT_ONCE: usize = 100;
/// The number of hooks in one part of the list.
const LISTED: &str = "500";
/// The longest time of one request. After it, the person decides whether to continue.
const MOST_TIME: Duration = Duration::from_secs(3);
/// The number of hooks that the page names.
const NAMED: usize = 20;

/// The search that found the hooks.
struct Search<'a> {
    account: &'a str,
    below: bool,
    q: &'a str,
    state: &'a str,
}

/// The results so far, or those of the dry run.
#[derive(Default)]
struct Sum {
    changed: u64,
    unchanged: u64,
    refused: u64,
    matched: u64,
    /// The first hooks that are changed, and the refused ones.
    named: Vec<Named>,
    /// The position at which to continue, if the time was not enough.
    next: Option<String>,
}

/// A hook that the page names.
struct Named {
    account: String,
    id: String,
    /// Its name, and why the action was refused.
    what: String,
}

/// Shows what would be done, or does it.
pub(super) async fn act(
    session: &Session<'_>,
    account: &str,
    action: &Action,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let Action { name: action, words } = *action;
    let below = sent.text("below") == "true" && session.is_admin;
    let search = Search { account, below, q: sent.text("q"), state: sent.text("state") };
    let is_dry = sent.text("do") != "apply";
    let mut sum = Box::pin(walk(session, &search, action, is_dry, sent.text("start"))).await?;
    let before = sent.text("done").parse().unwrap_or(0);
    sum.changed = sum.changed.saturating_add(before);
    let hooks = super::bulk::list(account, sent);
    Ok(Outcome::View(View {
        title: format!("{words}: all hooks found"),
        here: "hooks",
        account: Some(account_of(session, account).await?),
        trail: vec![("Hooks".into(), hooks.clone())],
        live: None,
        body: html! {
            section.card #counted {
                p.sentence role="status" { (sentence(&sum, action, is_dry)) }
                (named(&sum, if action == "replay" && !is_dry { "?tab=replays" } else { "" }))
                (further(session, &search, action, is_dry, &sum))
                div.actions { a.button href=(hooks) { @if is_dry { "Cancel" } @else { "Back to the list" } } }
            }
        },
    }))
}

async fn walk(
    session: &Session<'_>,
    search: &Search<'_>,
    action: &str,
    is_dry: bool,
    start: &str,
) -> Result<Sum, Problem> {
    let tree = ["v2", "accounts", search.account, "descendants", "webhooks", "status"];
    let own = ["v2", "accounts", search.account, "webhooks", "status"];
    let path: &[&str] = if search.below { &tree } else { &own };
    let (mut sum, mut start, began) = (Sum::default(), start.to_owned(), Instant::now());
    loop {
        // In the order of names, because an action does not change a hook's position in it.
        let asked = [
            ("page_size", LISTED),
            ("sort", "name"),
            ("ascending", "true"),
            ("search", search.q),
            ("state", search.state),
            ("start_key", start.as_str()),
        ];
        let asked: Vec<_> = asked.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let response = session.get(path, &asked).await?;
        let mut by_account: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in response.rows() {
            by_account.entry(text(row, "account_id")).or_default().push(text(row, "id"));
        }
        for (account, ids) in by_account {
            for ids in ids.chunks(AT_ONCE) {
                let data = json!({"action": action, "only": "dead", "dry_run": is_dry, "ids": ids});
                let response = session
                    .send(Method::POST, &["v2", "accounts", account, "webhooks", "bulk"], data)
                    .await?;
                sum.add(account, response.data());
            }
        }
        match response.next() {
            Some(next) if began.elapsed() < MOST_TIME => next.clone_into(&mut start),
            next => {
                sum.next = next.map(str::to_owned);
                return Ok(sum);
            }
        }
    }
}

impl Sum {
    fn add(&mut self, account: &str, response: &Value) {
        for (sum, field) in [
            (&mut self.changed, "changed"),
            (&mut self.unchanged, "unchanged"),
            (&mut self.refused, "refused"),
            (&mut self.matched, "matched"),
        ] {
            *sum += number(response, field).unwrap_or(0);
        }
        for hook in items(response, "hooks").iter().filter(|hook| text(hook, "result") != "unchanged") {
            if self.named.len() < NAMED {
                let name = match text(hook, "name") {
                    "" => text(hook, "id"),
                    name => name,
                };
                let what = format!("{} {}", name, text(hook, "reason"));
                self.named.push(Named { account: account.to_owned(), id: text(hook, "id").to_owned(), what });
            }
        }
    }
}

fn sentence(sum: &Sum, action: &str, is_dry: bool) -> Markup {
    let at_least = if is_dry && sum.next.is_some() { "At least " } else { "" };
    html! {
        @if is_dry {
            @if sum.changed == 0 && sum.next.is_none() { (nothing_to_do(action)) } @else {
                (at_least) strong { (counted(sum.changed, "hook")) } " of " (sum.changed + sum.unchanged + sum.refused) " would change"
                @if action == "replay" { ", " strong { (counted(sum.matched, "delivery")) } " would be made" }
                ". Nothing was done yet."
            }
        } @else {
            "Done for " strong { (counted(sum.changed, "hook")) }
            @if action == "replay" { ": each sends its dead deliveries again. Its name leads to the progress" }
            "."
            @if action == "pause" { " Everything is kept until you resume: the list has the same hooks." }
            @if sum.unchanged > 0 { " " (sum.unchanged) " had nothing to change." }
            @if sum.next.is_some() { " There are more." }
        }
        @if sum.refused > 0 { " " (sum.refused) (if is_dry { " would be refused." } else { " were refused." }) }
    }
}

/// The hooks that are changed, with links to them, or to a tab of them.
fn named(sum: &Sum, tab: &str) -> Markup {
    let more = (sum.changed + sum.refused).saturating_sub(u64::try_from(sum.named.len()).unwrap_or(0));
    html! {
        ul.list { @for Named { account, id, what } in &sum.named {
            li { a href={ "/console/accounts/" (account) "/hooks/" (id) (tab) } { (what) } }
        } }
        @if more > 0 && !sum.named.is_empty() { p.hint { "And " (more) " more." } }
    }
}

/// The form that carries out the counted action, or continues it.
fn further(session: &Session<'_>, search: &Search<'_>, action: &str, is_dry: bool, sum: &Sum) -> Markup {
    let goes_on = !is_dry && sum.next.is_some();
    if !goes_on && (!is_dry || (sum.changed == 0 && sum.next.is_none())) {
        return html! {};
    }
    let start = if goes_on { sum.next.as_deref().unwrap_or_default() } else { "" };
    html! {
        form method="post" action={ "/console/accounts/" (search.account) "/bulk" } {
            (parts::token(session))
            input type="hidden" name="which" value="all";
            input type="hidden" name="action" value=(action);
            input type="hidden" name="q" value=(search.q);
            input type="hidden" name="state" value=(search.state);
            @if search.below { input type="hidden" name="below" value="true"; }
            @if goes_on {
                input type="hidden" name="start" value=(start);
                input type="hidden" name="done" value=(sum.changed);
            }
            button.main name="do" value="apply" {
                @if goes_on { "Go on with the rest" } @else if sum.next.is_some() { "Do it for all of them" } @else {
                    "Do it for " (counted(sum.changed, "hook"))
                }
            }
        }
    }
}
