//! Events of an account: a search, the events of one call on a timeline, and the newest events as they arrive.

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use crate::console::format::{bytes, moment};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::range::{self, Range};
use crate::console::reply::{Live, Problem, View};
use crate::console::session::Session;
use crate::http::ApiResponse;
use crate::kazoo;

/// The parameters of the search, with the API's names.
const SEARCHED: [(&str, &str); 4] =
    [("event", "hook_events"), ("name", "event_names"), ("subject", "subjects"), ("msg", "msg_ids")];

/// `accounts/{A}/events`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let range =
        Range::of(session.query("since"), session.query("from"), session.query("to"), session.now_us());
    let mut asked = vec![("created_from", range.from.as_str()), ("created_to", range.to.as_str())];
    asked.extend(SEARCHED.map(|(ours, theirs)| (theirs, session.query(ours))));
    let response = session.page(&["v2", "accounts", account, "events"], &asked).await?;
    let path = format!("/console/accounts/{account}/events");
    let kept =
        ["event", "name", "subject", "msg", "since", "from", "to"].map(|name| (name, session.query(name)));
    Ok(View {
        title: "Events".into(),
        here: "events",
        account: Some(account_of(session, account).await?),
        trail: Vec::new(),
        live: None,
        body: html! {
            (tools(session, &path))
            @if response.rows().is_empty() && response.next().is_none() { (nothing(session, account, &path).await) } @else {
                (table(account, &response, session.now_us(), false))
                @if response.next().is_some() && response.rows().len() < 50 {
                    p.hint { "Only a part of the log was searched. The next page continues from there." }
                }
            }
            (parts::pager(&path, &kept, &response, session.query("start_key").is_empty()))
        },
    })
}

fn tools(session: &Session<'_>, path: &str) -> Markup {
    html! {
        div.tools {
            form.search method="get" action=(path) role="search" {
                input type="search" name="subject" value=(session.query("subject")) placeholder="Call id, fax id, …"
                    aria-label="Subject: the id of a call, fax, document or message" data-search;
                select name="event" aria-label="Event" {
                    option value="" { "Any event" }
                    @for each in kazoo::hook_ids().into_iter().filter(|id| *id != "all") {
                        option value=(each) selected[each == session.query("event")] { (each) }
                    }
                }
                input.short name="name" value=(session.query("name")) placeholder="Name, as CHANNEL_DESTROY" aria-label="Event's name";
                (range::fields(session, "all"))
                button { "Search" }
            }
            form.search.find method="get" action={ (path) "/find" } {
                input.short name="id" placeholder="Event id" aria-label="Event id";
                button { "Open" }
            }
            a.button href={ (path) "/tail" } { "Live" }
        }
    }
}

/// Why there is nothing to see, and what to do.
async fn nothing(session: &Session<'_>, account: &str, path: &str) -> Markup {
    const NONE: &str =
        "No event of this account is in the log. Events come from the broker, or by PUT …/events.";
    if session.visit.query.is_empty() {
        return parts::empty(NONE, &html! {});
    }
    let newest = session.get(&["v2", "accounts", account, "events"], &[("page_size", "1")]).await;
    let newest = newest.ok().and_then(|response| response.rows().first().cloned());
    let Some(newest) = newest else {
        return parts::empty(
            NONE,
            &html! { p { "Make a call, for example. If it does not appear, see the broker on the overview." } },
        );
    };
    let others = html! {
        p { "The account's last event was " code { (name(&newest)) } ", " (moment(number(&newest, "timestamp"), session.now_us())) "." }
        a href=(path) { "Show all events" }
    };
    let wanted = ["subject", "name", "msg", "since", "from", "to"];
    let is_by_kind_alone = wanted.iter().all(|field| ["", "all"].contains(&session.query(field)));
    let kind = session.query("event");
    if kind.is_empty() || !is_by_kind_alone {
        return parts::empty("No event fits in what the log keeps.", &others);
    }
    let meaning = super::hook_form::meaning(kind).trim_start_matches(": ");
    let text = format!(
        "No event for hooks of “{kind}” ({meaning}) is in the log. Such a hook gets nothing until one comes: cause one, \
         or choose another event in the hook's settings."
    );
    parts::empty(&text, &others)
}

pub(super) fn table(account: &str, response: &ApiResponse, now_us: u64, is_tail: bool) -> Markup {
    html! {
        div.scroll {
            table.rows {
                thead { tr { th { "When" } th { "Event" } th { "Subject" } th { "From" } th.num { "Size" } th { "Id" } } }
                tbody data-tail[is_tail] { @for row in response.rows() { (line(account, row, now_us)) } }
            }
        }
    }
}

fn line(account: &str, row: &Value, now_us: u64) -> Markup {
    let (id, subject) = (text(row, "id"), text(row, "subject"));
    html! {
        tr data-row data-key=(id) {
            td { (moment(number(row, "timestamp"), now_us)) }
            td.name { a href={ "/console/accounts/" (account) "/events/" (id) } data-go { (name(row)) } }
            td { @if !subject.is_empty() {
                a href=(call_path(account, subject)) { code.cut title=(subject) { (subject) } }
            } }
            td data-label="From" { (text(row, "source")) }
            td.num data-label="Size" { (bytes(number(row, "bytes").unwrap_or(0))) }
            td data-label="Id" { code { (id) } }
        }
    }
}

fn name(row: &Value) -> &str {
    let name = text(row, "event_name");
    if name.is_empty() { text(row, "hook_event") } else { name }
}

/// The path of the page with a call's events, or another subject's.
pub(super) fn call_path(account: &str, subject: &str) -> String {
    let subject: String = url::form_urlencoded::byte_serialize(subject.as_bytes()).collect();
    format!("/console/accounts/{account}/call?subject={subject}")
}

/// `accounts/{A}/events/tail`
pub(in crate::console) async fn tail(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let response = session.page(&["v2", "accounts", account, "events"], &[]).await?;
    let path = format!("/console/accounts/{account}/events");
    Ok(View {
        title: "Live events".into(),
        here: "events",
        account: Some(account_of(session, account).await?),
        trail: vec![("Events".into(), path.clone())],
        live: Some(Live { every_ms: 1000, ..Live::watching([format!("{account}/webhook.event.*")]) }),
        body: html! {
            div.tools {
                p.dim { "New events appear on top. None is left out, also when the connection was lost for a while." }
                button data-pause hidden { "Pause" }
            }
            (table(account, &response, session.now_us(), true))
            (parts::pager(&format!("{path}/tail"), &[], &response, true))
        },
    })
}

/// `accounts/{A}/call?subject=`: the events of a call in order.
pub(in crate::console) async fn timeline(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let subject = session.query("subject");
    let mut asked = vec![("page_size", "100"), ("ascending", "true"), ("subjects", subject)];
    if !session.query("start_key").is_empty() {
        asked.push(("start_key", session.query("start_key")));
    }
    let response = session.get(&["v2", "accounts", account, "events"], &asked).await?;
    let path = format!("/console/accounts/{account}/events");
    let first = response.rows().first().and_then(|row| number(row, "timestamp"));
    Ok(View {
        title: subject.to_owned(),
        here: "events",
        account: Some(account_of(session, account).await?),
        trail: vec![("Events".into(), path)],
        live: None,
        body: html! {
            @if response.rows().is_empty() { (parts::empty("No event of this subject is in the log.", &html! {})) } @else {
                ol.timeline {
                    @for row in response.rows() {
                        @let after = number(row, "timestamp").zip(first).map_or(0, |(at, first)| at.saturating_sub(first));
                        li data-row {
                            span.after { "+" (after) " s" }
                            a href={ "/console/accounts/" (account) "/events/" (text(row, "id")) } data-go { strong { (name(row)) } }
                            " " span.dim { (moment(number(row, "timestamp"), session.now_us())) }
                        }
                    }
                }
                (parts::pager(&session.visit.path, &[("subject", subject)], &response, session.query("start_key").is_empty()))
            }
        },
    })
}
