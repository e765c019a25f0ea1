//! Streams a list to the client while it is read: as an envelope in pieces, or as CSV.
//!
//! An error after the first piece cuts the connection in the middle of the body, so that the client cannot mistake a
//! part for the whole.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value};

use super::csv;
use super::paging::Form;
use super::walk::Walk;
use crate::http::reply::{Close, EXPIRES, Pieces, Written};
use crate::http::request::Request;

/// A list to be streamed.
#[derive(Debug)]
pub(super) struct Streamed {
    pub(super) form: Form,
    /// The columns of CSV.
    pub(super) columns: Vec<String>,
    /// Rows that have already been read.
    pub(super) first: Vec<Value>,
    pub(super) walk: Walk,
}

/// The state of writing.
enum Step {
    Opening(Streamed, Close),
    Rows { list: Streamed, close: Close, is_first: bool },
    Over,
}

impl Written for Streamed {
    /// The headers. `file_name` or `x-file-name` sets the name of a download.
    fn headers(&self, request: &Request) -> Vec<(&'static str, String)> {
        let mut headers = vec![("expires", EXPIRES.to_owned())];
        if self.form != Form::Csv {
            headers.push(("content-type", "application/json".to_owned()));
            return headers;
        }
        let named = request.query("file_name").or_else(|| request.header("x-file-name"));
        let usual = || request.segments.last().map(|name| format!("{name}.csv"));
        let name = named.map(str::to_owned).or_else(usual).unwrap_or_default();
        headers.push(("content-type", "text/csv; charset=utf-8".to_owned()));
        headers.push(("content-disposition", format!("attachment; filename=\"{}\"", file_name(&name))));
        headers
    }

    fn body(self: Box<Self>, close: Close) -> Pieces {
        let pieces = stream::unfold(Step::Opening(*self, close), |step| async move {
            let (piece, next) = step.next().await?;
            Some((piece.map(Bytes::from), next))
        });
        Box::pin(pieces.fuse())
    }
}

/// A file name that is safe within quotes and names no directory.
fn file_name(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    name.chars().map(|c| if is_safe(c) { c } else { '_' }).take(120).collect()
}

impl Step {
    /// The next piece, and the state after it.
    async fn next(self) -> Option<(io::Result<Vec<u8>>, Self)> {
        let (mut list, close, is_first) = match self {
            Self::Opening(mut list, close) => {
                let rows = std::mem::take(&mut list.first);
                let is_first = rows.is_empty();
                let mut piece = match list.form {
                    Form::Csv => csv::header(&list.columns),
                    Form::Page | Form::Chunked => b"{\"data\":[".to_vec(),
                };
                piece.extend(list.piece(&rows, true));
                return Some((Ok(piece), Self::Rows { list, close, is_first }));
            }
            Self::Rows { list, close, is_first } => (list, close, is_first),
            Self::Over => return None,
        };
        match list.walk.next().await {
            Ok(Some(rows)) => {
                let piece = list.piece(&rows, is_first);
                Some((Ok(piece), Self::Rows { list, close, is_first: false }))
            }
            Ok(None) => Some((Ok(list.closing(close)), Self::Over)),
            Err(error) => {
                tracing::warn!(status = error.status, "a list was cut off: {}", error.message);
                Some((Err(io::Error::other(error.message)), Self::Over))
            }
        }
    }
}

impl Streamed {
    fn piece(&self, rows: &[Value], is_first: bool) -> Vec<u8> {
        if self.form == Form::Csv {
            return csv::rows(&self.columns, rows);
        }
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            if at > 0 || !is_first {
                text.push(',');
            }
            text.push_str(&row.to_string());
        }
        text.into_bytes()
    }

    fn closing(&self, close: Close) -> Vec<u8> {
        if self.form == Form::Csv {
            return Vec::new();
        }
        let page = self.walk.is_paged().then(|| self.walk.page());
        let envelope = close(page);
        // As in KAZOO, all values after the rows are texts.
        let trailer: Map<String, Value> = envelope
            .into_iter()
            .filter(|(name, _)| name != "data")
            .map(|(name, value)| (name, if value.is_string() { value } else { value.to_string().into() }))
            .collect();
        let trailer = Value::Object(trailer).to_string();
        format!("],{}", trailer.strip_prefix('{').unwrap_or_default()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;
    use warp::http::{HeaderMap, Method};

    use super::*;
    use crate::http::errors::ApiError;
    use crate::http::list::{Ask, Batch, Filters, Item, Paging, Source};
    use crate::http::options::ApiOptions;
    use crate::http::ports::Answer;

    /// A source that fails after two items.
    struct Broken;

    impl Source for Broken {
        fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
            let batch = match ask.from.as_deref() {
                None => Ok(Batch {
                    items: vec![("b".into(), Item::from(json!({"n": 1})))],
                    next: Some("a".into()),
                }),
                Some("a") => Ok(Batch {
                    items: vec![("a".into(), Item::from(json!({"n": 2})))],
                    next: Some("0".into()),
                }),
                Some(_) => Err(ApiError::unavailable(&"broken")),
            };
            Box::pin(std::future::ready(batch))
        }

        fn columns(&self) -> Vec<String> {
            vec!["n".into()]
        }
    }

    async fn pieces(form: Form) -> (String, Option<io::Error>) {
        let request = Request::new(Method::GET, "/", "chunk_size=1", HeaderMap::new());
        let paging = Paging::of(&request, &ApiOptions::default(), form).expect("paging");
        let walk = Walk::new(Box::new(Broken), Filters::default(), &paging, Arc::new(Semaphore::new(1)));
        let list = Streamed { form, columns: Broken.columns(), first: Vec::new(), walk };
        let mut body = Box::new(list).body(Box::new(|_| Map::new()));
        let mut text = String::new();
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => text.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => return (text, Some(error)),
            }
        }
        (text, None)
    }

    #[tokio::test]
    async fn a_list_that_fails_is_cut_in_the_middle_and_never_closed() {
        let (text, error) = pieces(Form::Chunked).await;
        assert_eq!((text.as_str(), error.is_some()), ("{\"data\":[{\"n\":1},{\"n\":2}", true));
        let (text, error) = pieces(Form::Csv).await;
        assert_eq!((text.as_str(), error.is_some()), ("n\r\n1\r\n2\r\n", true));
    }

    #[test]
    fn a_file_name_is_safe_within_quotes_and_names_no_directory() {
        assert_eq!(file_name("../a \"b\"\r\nü.csv"), ".._a _b____.csv");
        assert_eq!(file_name(&"x".repeat(500)).len(), 120);
    }
}
