//! Reads the documents of a CouchDB's database: all of them page by page, or some by their ids.
//!
//! Promise: a document that is too large for an answer is named and left out, and does not keep the others from being read.

use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::client::{Answer, Ask, SourceError};
use super::couch::Couch;
use super::couch_feed::{reason, strange};
use super::{ACCOUNTS, HOOKS, too_many};
use crate::model::DocumentId;
use crate::onboarding::odd::{Odd, OddKind};

type Document = Map<String, Value>;

/// The number of documents in a page.
const PAGE: usize = 500;
/// The number of documents that one request reads by their ids.
const KEYS: usize = 200;

impl Couch {
    /// Reads all documents of a database, page by page. A page that failed is read again. More than `most`
    /// documents are an error, and so are pages that make no progress. Returns the documents that were too large.
    pub(super) async fn pages(
        &self,
        database: &str,
        most: usize,
        mut take: impl FnMut(Document) -> Result<(), SourceError>,
    ) -> Result<Vec<Odd>, SourceError> {
        let path = format!("{database}/_all_docs");
        let (mut last, mut size, mut seen): (Option<String>, usize, usize) = (None, PAGE, 0);
        let mut too_large = Vec::new();
        loop {
            let rows = match self.page(&path, last.as_deref(), size).await {
                // Documents differ in size, so the size of a page is found by trying.
                Err(SourceError::TooLarge { .. }) if size > 1 => {
                    size /= 2;
                    continue;
                }
                // A page of one also has the last document of the previous page. Without it, the next one may fit.
                Err(SourceError::TooLarge { .. }) => {
                    self.next(database, last.as_deref(), &mut too_large).await?
                }
                rows => rows?,
            };
            size = (size * 2).min(PAGE);
            let mut is_end = true;
            for mut row in rows {
                let Some(id) = row.get("id").and_then(Value::as_str).map(str::to_owned) else {
                    return Err(strange(&path, "a row without an id"));
                };
                // A page begins with the last row of the previous page.
                if last.as_ref() == Some(&id) {
                    continue;
                }
                seen += 1;
                if seen > most {
                    return Err(too_many(if database == ACCOUNTS { ACCOUNTS } else { HOOKS }, most));
                }
                is_end = false;
                let is_design = id.starts_with("_design/");
                last = Some(id);
                if let Some(Value::Object(doc)) = row.get_mut("doc").filter(|_| !is_design) {
                    take(std::mem::take(doc))?;
                }
            }
            // Only an empty page is the end, because a server may send fewer rows than requested.
            if is_end {
                return Ok(too_large);
            }
        }
    }

    /// A page with `size` documents after `last`. Size 0: only the id of the next document.
    async fn page(&self, path: &str, last: Option<&str>, size: usize) -> Result<Vec<Value>, SourceError> {
        let mut query = vec![
            ("include_docs", (size > 0).to_string()),
            ("conflicts", (size > 0).to_string()),
            ("limit", (size.max(1) + 1).to_string()),
        ];
        query.extend(last.iter().map(|last| ("startkey", json!(last).to_string())));
        rows(self.client.ask(Ask::get(path, &query)).await?, path)
    }

    /// The row of the document after `last`, which is read alone. If even so it is too large, the row stays without it.
    async fn next(
        &self,
        database: &str,
        last: Option<&str>,
        too_large: &mut Vec<Odd>,
    ) -> Result<Vec<Value>, SourceError> {
        let rows = self.page(&format!("{database}/_all_docs"), last, 0).await?;
        let text = |row: &Value| row.get("id").and_then(Value::as_str).map(str::to_owned);
        let Some(mut row) = rows.into_iter().find(|row| text(row).as_deref() != last) else {
            return Ok(Vec::new());
        };
        let id = text(&row).unwrap_or_default();
        // Only an account or a hook is of interest, and their ids need no escaping in a path.
        let doc = match id.parse::<DocumentId>() {
            Ok(safe) => self.get(&format!("{database}/{safe}")).await,
            Err(_) => Ok(None),
        };
        match doc {
            Ok(doc) => {
                if let (Some(row), Some(doc)) = (row.as_object_mut(), doc) {
                    row.insert("doc".to_owned(), Value::Object(doc));
                }
            }
            Err(SourceError::TooLarge { .. }) => {
                let text = "the document is larger than an answer may be; it is left out";
                too_large.push(Odd::new(OddKind::TooLarge, id, text));
            }
            Err(error) => return Err(error),
        }
        Ok(vec![row])
    }

    /// Reads documents by their ids. The answer does not contain missing ones, nor any that is too large.
    pub(super) async fn keyed(
        &self,
        database: &str,
        ids: &[impl Serialize],
    ) -> Result<Vec<Document>, SourceError> {
        let path = format!("{database}/_all_docs");
        let mut docs = Vec::new();
        let mut parts: Vec<_> = ids.chunks(KEYS).collect();
        while let Some(ids) = parts.pop() {
            let body = json!({"keys": ids});
            let query = [("include_docs", "true".to_owned())];
            let ask = Ask { method: Method::POST, body: Some(&body), ..Ask::get(&path, &query) };
            let answer = match self.client.ask(ask).await {
                Err(SourceError::TooLarge { .. }) => {
                    if ids.len() > 1 {
                        let (first, second) = ids.split_at(ids.len() / 2);
                        parts.extend([first, second]);
                    }
                    continue;
                }
                answer => answer?,
            };
            docs.extend(rows(answer, &path)?.into_iter().filter_map(|mut row| match row.get_mut("doc") {
                Some(Value::Object(doc)) => Some(std::mem::take(doc)),
                _ => None,
            }));
        }
        Ok(docs)
    }
}

/// The rows of a list.
fn rows(answer: Answer, path: &str) -> Result<Vec<Value>, SourceError> {
    let Answer { status, mut body } = answer;
    match body.get_mut("rows") {
        Some(Value::Array(rows)) if status == 200 => Ok(std::mem::take(rows)),
        _ => {
            let text = format!("no rows, but '{}'; is this the address of CouchDB?", reason(&body));
            Err(strange(path, text))
        }
    }
}
