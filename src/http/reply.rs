//! The response of a resource, before it is put into the envelope.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Stream;
use serde_json::{Map, Value, json};

use super::request::Request;

/// The `Expires` header of every response: none may be cached.
pub(super) const EXPIRES: &str = "Fri, 01 Jan 1999 00:00:00 GMT";

/// A body that is produced while it is sent. An error cuts it off.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Makes the envelope around a list, with the paging keys of the rows that were written.
pub(super) type Close = Box<dyn FnOnce(Option<Page>) -> Map<String, Value> + Send>;

/// A list that is written while it is read.
pub(super) trait Written: Debug + Send {
    /// The headers of the body.
    fn headers(&self, request: &Request) -> Vec<(&'static str, String)>;

    /// The body, piece by piece. `close` makes the part after the rows.
    fn body(self: Box<Self>, close: Close) -> Pieces;
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) data: Value,
    /// A list that is written while it is read. Takes the place of `data`.
    pub(super) stream: Option<Box<dyn Written>>,
    /// The revision of a document, or a hash of a list.
    pub(super) revision: Option<String>,
    pub(super) page: Option<Page>,
    /// The path of a new document.
    pub(super) location: Option<String>,
    /// A new token, which the response shows instead of the caller's.
    pub(super) auth_token: Option<String>,
}

/// The paging keys of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    pub(super) size: usize,
    pub(super) start_key: Option<String>,
    pub(super) next_start_key: Option<String>,
}

impl Reply {
    /// 200 with data.
    pub(super) fn ok(data: impl Into<Value>) -> Self {
        Self {
            status: 200,
            data: data.into(),
            stream: None,
            revision: None,
            page: None,
            location: None,
            auth_token: None,
        }
    }

    /// 200 with a list that is written while it is read.
    pub(super) fn streamed(list: impl Written + 'static) -> Self {
        Self { stream: Some(Box::new(list)), ..Self::ok(Value::Null) }
    }

    /// 201 with data and the path of the new document.
    pub(super) fn created(data: impl Into<Value>, location: String) -> Self {
        Self { status: 201, location: Some(location), ..Self::ok(data) }
    }

    /// 200 with the deleted document, marked as deleted in KAZOO's way.
    pub(super) fn deleted(mut shown: Map<String, Value>) -> Self {
        shown.insert("_read_only".into(), json!({"deleted": true}));
        Self::ok(shown)
    }

    /// Adds the revision of the stored document.
    pub(super) fn revision_of(mut self, stored: &Map<String, Value>) -> Self {
        self.revision = stored.get("_rev").and_then(Value::as_str).map(str::to_owned);
        self
    }
}
