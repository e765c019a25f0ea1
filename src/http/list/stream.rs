//! A list on its way to the client while it is read: as an envelope written in pieces, or as CSV.
//!
//! What goes wrong once the first piece is out ends the connection in the midst of the body, so that the client
//! cannot take a part for the whole.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Map, Value};

use super::{Form, Walk, csv};
use crate::http::envelope::Frame;
use crate::http::reply::Reply;
use crate::http::request::Request;
use crate::http::response::EXPIRES;

/// A list to be written as it is read.
#[derive(Debug)]
pub(in crate::http) struct Streamed {
    pub(in crate::http) form: Form,
    /// Of CSV.
    pub(super) columns: Vec<String>,
    /// Rows that were read already.
    pub(super) first: Vec<Value>,
    pub(super) walk: Walk,
}

/// Where the writing stands.
enum Step {
    Opening(Streamed),
    Rows { list: Streamed, is_first: bool },
    Over,
}

impl Streamed {
    /// The headers that tell what the body is; `file_name` or `x-file-name` names a download.
    pub(in crate::http) fn headers(&self, request: &Request) -> Vec<(&'static str, String)> {
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

    /// The body, piece by piece.
    pub(in crate::http) fn body(
        self,
        frame: Frame,
    ) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
        stream::unfold((Step::Opening(self), frame), |(step, frame)| async move {
            let (piece, next) = step.next(&frame).await?;
            Some((piece.map(Bytes::from), (next, frame)))
        })
        .fuse()
    }
}

/// A name that is safe within quotes and names no folder.
fn file_name(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    name.chars().map(|c| if is_safe(c) { c } else { '_' }).take(120).collect()
}

impl Step {
    /// The next piece and what comes after it.
    async fn next(self, frame: &Frame) -> Option<(io::Result<Vec<u8>>, Self)> {
        let (mut list, is_first) = match self {
            Self::Opening(mut list) => {
                let rows = std::mem::take(&mut list.first);
                let is_first = rows.is_empty();
                let mut piece = match list.form {
                    Form::Csv => csv::header(&list.columns),
                    Form::Page | Form::Chunked => b"{\"data\":[".to_vec(),
                };
                piece.extend(list.piece(&rows, true));
                return Some((Ok(piece), Self::Rows { list, is_first }));
            }
            Self::Rows { list, is_first } => (list, is_first),
            Self::Over => return None,
        };
        match list.walk.next().await {
            Ok(Some(rows)) => {
                let piece = list.piece(&rows, is_first);
                Some((Ok(piece), Self::Rows { list, is_first: false }))
            }
            Ok(None) => Some((Ok(list.closing(frame)), Self::Over)),
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

    fn closing(&self, frame: &Frame) -> Vec<u8> {
        if self.form == Form::Csv {
            return Vec::new();
        }
        let page = self.walk.is_paged().then(|| self.walk.page());
        let envelope = frame.success(Reply { page, ..Reply::ok(Value::Null) });
        // As in KAZOO, whatever stands behind the rows is text.
        let trailer: Map<String, Value> = envelope
            .into_iter()
            .filter(|(name, _)| name != "data")
            .map(|(name, value)| (name, if value.is_string() { value } else { value.to_string().into() }))
            .collect();
        let trailer = Value::Object(trailer).to_string();
        format!("],{}", trailer.strip_prefix('{').unwrap_or_default()).into_bytes()
    }
}
