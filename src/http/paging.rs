//! Pages of a list: `page_size`, `start_key`, `paginate`, `ascending` (`webhooks.md` 5.5).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::errors::ApiError;
use super::options::Options;
use super::reply::{Page, Reply};
use super::request::Request;
use crate::state::hex;

/// How a list was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    /// `None`: all of it.
    pub(super) size: Option<usize>,
    /// The plain key at which the page starts.
    pub(super) start: Option<String>,
    pub(super) ascending: bool,
    most: usize,
}

impl Paging {
    pub(super) fn of(request: &Request, options: &Options) -> Result<Self, ApiError> {
        let size = match request.query("page_size") {
            None => options.page_size,
            Some(text) => match text.parse::<i64>() {
                Err(_) => return Err(ApiError::faulty_request("invalid page size")),
                Ok(size) if size < 1 => {
                    return Err(ApiError::faulty_request("page size must be at least 1"));
                }
                Ok(size) => usize::try_from(size).unwrap_or(usize::MAX).min(options.max_page_size),
            },
        };
        let all = request.query("paginate") == Some("false");
        Ok(Self {
            size: (!all).then_some(size),
            start: request.query("start_key").filter(|key| !key.is_empty()).map(decode_key),
            ascending: request.flag("ascending"),
            most: options.max_page_size,
        })
    }

    /// Rows to look for at most; one more than this is too many for a list that is not paged.
    pub(super) fn limit(&self) -> usize {
        self.size.unwrap_or(self.most)
    }

    /// The page of a list that is at hand as a whole: rows with their sort keys, in any order.
    pub(super) fn page(&self, mut rows: Vec<(String, Value)>) -> Result<Reply, ApiError> {
        rows.sort_by(|a, b| if self.ascending { a.0.cmp(&b.0) } else { b.0.cmp(&a.0) });
        if let Some(start) = &self.start {
            rows.retain(|(key, _)| if self.ascending { key >= start } else { key <= start });
        }
        let next = rows.get(self.limit()).map(|(key, _)| key.clone());
        if self.size.is_none() && next.is_some() {
            return Err(ApiError::range_too_large());
        }
        let first = rows.first().map(|(key, _)| key.clone());
        let rows = rows.into_iter().take(self.limit()).map(|(_, row)| row).collect();
        Ok(self.reply(rows, first, next))
    }

    /// A page of rows that were picked already.
    pub(super) fn reply(&self, rows: Vec<Value>, first: Option<String>, next: Option<String>) -> Reply {
        let page = Page {
            size: rows.len(),
            start_key: self.start.clone().or(first).map(|key| encode_key(&key)),
            next_start_key: next.map(|key| encode_key(&key)),
        };
        let revision = (!rows.is_empty()).then(|| hash(&rows));
        Reply { revision, page: self.size.map(|_| page), ..Reply::ok(rows) }
    }
}

fn hash(rows: &[Value]) -> String {
    let text = serde_json::to_vec(rows).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, &text);
    hex(digest.as_ref().get(..16).unwrap_or_default())
}

fn encode_key(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Keys are opaque; one that is none of ours counts as it stands.
fn decode_key(text: &str) -> String {
    let decoded = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use warp::http::{HeaderMap, Method};

    use super::*;

    fn ask(query: &str) -> Result<Paging, ApiError> {
        Paging::of(&Request::new(Method::GET, "/", query, HeaderMap::new()), &Options::default())
    }

    fn rows() -> Vec<(String, Value)> {
        (0..5).map(|n| (format!("k{n}"), n.into())).collect()
    }

    #[test]
    fn pages_follow_each_other_from_last_to_first_without_overlap() {
        let mut seen = Vec::new();
        let mut query = "page_size=2".to_owned();
        for _ in 0..10 {
            let reply = ask(&query).unwrap().page(rows()).unwrap();
            seen.extend(reply.data.as_array().unwrap().clone());
            match reply.page.unwrap().next_start_key {
                Some(next) => query = format!("page_size=2&start_key={next}"),
                None => break,
            }
        }
        assert_eq!(Value::from(seen), serde_json::json!([4, 3, 2, 1, 0]));
    }

    #[test]
    fn a_page_size_that_is_none_is_refused() {
        assert_eq!(ask("page_size=0").unwrap_err(), ApiError::faulty_request("page size must be at least 1"));
        assert_eq!(ask("page_size=x").unwrap_err(), ApiError::faulty_request("invalid page size"));
    }

    #[test]
    fn a_list_that_is_not_paged_has_no_paging_keys() {
        let reply = ask("paginate=false&ascending=true").unwrap().page(rows()).unwrap();
        assert_eq!((reply.page, reply.data), (None, serde_json::json!([0, 1, 2, 3, 4])));
    }
}
