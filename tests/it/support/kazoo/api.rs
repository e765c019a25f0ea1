//! The routes of crossbar: log-in by API key, accounts, their lists with filters, webhooks, and effective limits.

use serde_json::{Value, json};

use super::data::{Data, account_database};
use super::{Document, KAZOO_KEY, parameter};
use crate::support::receiver::Request;

type Answer = (u16, Value);

const TOKEN: &str = "token-of-the-master-account";

fn envelope(data: Value) -> Answer {
    (
        200,
        json!({"data": data, "status": "success", "auth_token": TOKEN, "request_id": "r", "node": "n", "version": "5.0.0"}),
    )
}

fn error(status: u16, message: &str) -> Answer {
    (
        status,
        json!({"data": {"message": message}, "error": status.to_string(), "message": message, "status": "error"}),
    )
}

pub(super) fn answer(data: &mut Data, path: &str, request: &Request, most: usize) -> Answer {
    let segments: Vec<_> = path.split('/').collect();
    if segments == ["api_auth"] {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if body["data"]["api_key"] != KAZOO_KEY {
            return error(401, "invalid_credentials");
        }
        let (_, mut answer) = envelope(json!({"account_id": data.master, "is_reseller": true}));
        answer["auth_token"] = TOKEN.into();
        return (201, answer);
    }
    if request.header("x-auth-token") != Some(TOKEN) {
        return error(401, "invalid_credentials");
    }
    match segments.as_slice() {
        ["system_configs", "webhooks"] => data
            .doc("system_config", "webhooks")
            .map_or_else(|| error(404, "bad_identifier"), |doc| envelope(public(doc))),
        ["accounts", account, rest @ ..] => {
            if !data.is_account(account) {
                return error(404, "bad_identifier");
            }
            of_account(data, account, rest, request, most)
        }
        _ => error(404, "not_found"),
    }
}

fn of_account(data: &Data, account: &str, rest: &[&str], request: &Request, most: usize) -> Answer {
    match rest {
        [] => envelope(whole(data, account)),
        ["descendants"] => descendants(data, account, request, most),
        ["tree"] => {
            let rows: Vec<_> =
                data.tree(account).iter().map(|id| json!({"id": id, "name": "above"})).collect();
            envelope(rows.into())
        }
        ["webhooks"] => {
            let own = data.hooks_of(account).into_iter();
            let rows: Vec<_> = own.take(most).map(|hook| summary(data, &hook)).collect();
            envelope(rows.into())
        }
        ["webhooks", "attempts"] => {
            let time = |name: &str| parameter(request, name).map(|text| text.parse::<u64>().unwrap());
            let (from, to) = (time("created_from").unwrap_or(0), time("created_to").unwrap_or(u64::MAX));
            let own = data.attempts.iter().filter(|(owner, _)| owner == account).map(|(_, row)| row);
            let of_time = |row: &&Value| (from..=to).contains(&row["timestamp"].as_u64().unwrap());
            envelope(own.rev().filter(of_time).cloned().collect::<Vec<_>>().into())
        }
        ["webhooks", hook] => match data.doc("webhooks", hook) {
            Some(doc) if doc.get("pvt_deleted").is_none() => {
                let mut shown = public(doc);
                shown["id"] = json!(hook);
                envelope(shown)
            }
            _ => error(404, "bad_identifier"),
        },
        ["configs", "webhooks"] => envelope(merged_limits(data, account)),
        _ => error(404, "not_found"),
    }
}

fn public(doc: &Document) -> Value {
    let fields = doc.iter().filter(|(key, _)| !key.starts_with('_') && !key.starts_with("pvt_"));
    Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn whole(data: &Data, id: &str) -> Value {
    let doc = data.doc("accounts", id).unwrap();
    let mut shown = public(doc);
    shown["id"] = id.into();
    shown["enabled"] = doc["pvt_enabled"].clone();
    shown["is_reseller"] = doc["pvt_reseller"].clone();
    shown["created"] = doc["pvt_created"].clone();
    shown
}

fn summary(data: &Data, hook: &str) -> Value {
    let doc = data.doc("webhooks", hook).unwrap();
    let mut row = json!({"id": hook, "enabled": doc.get("enabled").cloned().unwrap_or(json!(true))});
    for field in ["name", "hook", "uri"] {
        row[field] = doc.get(field).cloned().unwrap_or_default();
    }
    if let Some(reason) = doc.get("pvt_disabled_message") {
        row["disable_reason"] = reason.clone();
    }
    row
}

/// Ordered by name. A page begins at a name, so accounts with equal names may appear twice.
fn descendants(data: &Data, account: &str, request: &Request, most: usize) -> Answer {
    let filters: Vec<_> = url::form_urlencoded::parse(request.query.as_bytes())
        .filter_map(|(key, value)| Some((key.strip_prefix("filter_")?.to_owned(), value.into_owned())))
        .collect();
    let fits = |doc: &Document| {
        filters.iter().all(|(field, value)| {
            doc.get(field)
                .is_some_and(|have| have.as_str().map_or_else(|| have.to_string(), str::to_owned) == *value)
        })
    };
    let mut rows: Vec<_> = data
        .below(account)
        .iter()
        .filter(|id| fits(data.doc("accounts", id).unwrap()))
        .map(|id| {
            let doc = data.doc("accounts", id).unwrap();
            json!({"id": id, "name": doc.get("name"), "realm": doc.get("realm"), "tree": doc["pvt_tree"], "flags": []})
        })
        .collect();
    rows.sort_by_key(|row| row["name"].as_str().unwrap_or_default().to_owned());
    if parameter(request, "paginate").as_deref() == Some("false") {
        rows.truncate(most);
        return envelope(rows.into());
    }
    let start = parameter(request, "start_key").unwrap_or_default();
    let size: usize = parameter(request, "page_size").map_or(50, |size| size.parse().unwrap());
    let mut rest = rows.into_iter().filter(|row| row["name"].as_str().unwrap_or_default() >= start.as_str());
    let page: Vec<_> = rest.by_ref().take(size.min(most)).collect();
    let (status, mut answer) = envelope(page.into());
    if let Some(next) = rest.next() {
        answer["next_start_key"] = next["name"].clone();
    }
    (status, answer)
}

/// The limits of an account, otherwise of its direct reseller. The system's limits replace missing ones.
fn merged_limits(data: &Data, account: &str) -> Value {
    let own = |id: &str| data.doc(&account_database(id), "configs_webhooks").cloned();
    let tree = data.tree(account);
    let resells = |id: &&String| data.doc("accounts", id).is_some_and(|doc| doc["pvt_reseller"] == true);
    let reseller = tree.iter().rev().find(resells).or(tree.first());
    let document = own(account).or_else(|| reseller.and_then(|id| own(id)));
    let mut out = json!({"attempt_failure_count": 6, "attempt_failure_expiry_ms": 60_000});
    let system = data.doc("system_config", "webhooks").and_then(|doc| doc["default"].as_object().cloned());
    for doc in [system, document].into_iter().flatten() {
        for field in ["attempt_failure_count", "attempt_failure_expiry_ms"] {
            if let Some(value) = doc.get(field) {
                out[field] = value.clone();
            }
        }
    }
    out
}
