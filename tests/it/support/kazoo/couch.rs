//! The routes of CouchDB: information, single documents, `_all_docs` in pages and by keys, `_changes`, the view of
//! users.

use serde_json::{Value, json};

use super::data::Data;
use super::{Document, parameter};
use crate::support::receiver::Request;

type Answer = (u16, Value);

/// `None` for a feed without a change so far.
pub(super) fn answer(data: &Data, path: &str, request: &Request, most: usize) -> Option<Answer> {
    let (database, rest) = path.split_once('/').unwrap_or((path, ""));
    let Some(docs) = data.databases.get(database) else {
        return Some((404, json!({"error": "not_found", "reason": "Database does not exist."})));
    };
    Some(match rest {
        "" => (200, json!({"db_name": database, "update_seq": place(data.seq()), "doc_count": docs.len()})),
        "_all_docs" if request.method == "POST" => (200, by_keys(docs, request)),
        "_all_docs" => (200, page(docs, request, most)),
        "_changes" => (200, changes(data, database, request)?),
        "_design/users/_view/crossbar_listing" => {
            let users = docs.iter().filter(|(_, doc)| doc.get("pvt_type") == Some(&json!("user")));
            let rows: Vec<_> = users.map(|(id, doc)| json!({"id": id, "key": id, "doc": doc})).collect();
            (200, json!({"total_rows": rows.len(), "offset": 0, "rows": rows}))
        }
        id => match docs.get(id) {
            None => (404, json!({"error": "not_found", "reason": "missing"})),
            Some(doc) if doc.contains_key("_deleted") => {
                (404, json!({"error": "not_found", "reason": "deleted"}))
            }
            Some(doc) => (200, json!(doc)),
        },
    })
}

/// Sequences are opaque.
fn place(seq: u64) -> String {
    format!("{seq}-g1AAAACbeJzLYWBgYMpgTmEQTM4vTc5ISXLIyU9OzMnILy7JAUklMiTV____PyuDOZExFyjAnpKUmpZsbo5LMSc")
}

fn row(id: &str, doc: &Document) -> Value {
    json!({"id": id, "key": id, "value": {"rev": doc["_rev"]}, "doc": doc})
}

fn page(docs: &std::collections::BTreeMap<String, Document>, request: &Request, most: usize) -> Value {
    let start = parameter(request, "startkey").map(|key| serde_json::from_str::<String>(&key).unwrap());
    let limit: usize = parameter(request, "limit").unwrap().parse().unwrap();
    let from = docs.range(start.unwrap_or_default()..).filter(|(_, doc)| !doc.contains_key("_deleted"));
    let is_whole = parameter(request, "include_docs").as_deref() == Some("true");
    let shown = |(id, doc): (&String, &Document)| {
        let mut shown = row(id, doc);
        if !is_whole {
            shown.as_object_mut().unwrap().remove("doc");
        }
        shown
    };
    let rows: Vec<_> = from.take(limit.min(most)).map(shown).collect();
    json!({"total_rows": docs.len(), "offset": 0, "rows": rows})
}

fn by_keys(docs: &std::collections::BTreeMap<String, Document>, request: &Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let rows: Vec<_> = body["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| match docs.get(key.as_str().unwrap()) {
            None => json!({"key": key, "error": "not_found"}),
            Some(doc) if doc.contains_key("_deleted") => {
                json!({"id": key, "key": key, "value": {"rev": doc["_rev"], "deleted": true}, "doc": null})
            }
            Some(doc) => row(key.as_str().unwrap(), doc),
        })
        .collect();
    json!({"total_rows": docs.len(), "rows": rows})
}

fn changes(data: &Data, database: &str, request: &Request) -> Option<Value> {
    let since = parameter(request, "since").unwrap();
    let since: u64 = since.split('-').next().unwrap().parse().unwrap();
    let mut latest: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    let new = data.feed.partition_point(|changed| changed.seq <= since);
    for changed in data.feed[new..].iter().filter(|changed| changed.database == database) {
        latest.insert(&changed.id, changed.seq);
    }
    let timeout: u64 = parameter(request, "timeout").unwrap().parse().unwrap();
    let waited = u64::try_from(request.at.elapsed().as_millis()).unwrap();
    if latest.is_empty() && waited < timeout {
        return None;
    }
    // Not in the order of the changes, because CouchDB's shards answer in any order.
    let results: Vec<_> = latest
        .into_iter()
        .map(|(id, seq)| {
            let doc = &data.databases[database][id];
            let mut line = json!({"seq": place(seq), "id": id, "changes": [{"rev": doc["_rev"]}]});
            if doc.contains_key("_deleted") {
                line["deleted"] = true.into();
            }
            line
        })
        .collect();
    Some(json!({"results": results, "last_seq": place(data.seq()), "pending": 0}))
}
