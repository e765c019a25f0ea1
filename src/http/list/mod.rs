//! Lists. Every list of the API is filtered, ordered, paged, streamed or turned into CSV here, so all lists behave
//! alike (`docs/kazoo/webhooks.md#lists`). No item is missed or shown twice while others come and go, and no list is
//! held in memory as a whole.
//!
//! How a resource makes a list:
//!
//! - From a few items in memory: `List::of(call)?.rows(rows).await`, with `(key, row)` pairs in any order.
//! - From many items in memory: `List::of(call)?.answer(Rows::new(things, shape)).await`; rows are made when they are
//!   needed.
//! - From documents in memory: `List::of(call)?.documents(pairs).await`, with each stored document and its row.
//! - From disk: its own [`Source`] that reads a batch at a time (`webhooks.rs`, `attempts.rs`).
//!
//! A key is a text that orders the list and that `start_key` carries; no two items share one. Filters see the stored
//! document of [`Item::of`], then the row. A resource in `route::Resource` needs nothing else to be a list.

mod csv;
mod filter;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod paging;
mod source;
mod stream;
mod walk;

#[cfg(test)]
mod properties;

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use self::filter::Filters;
use self::paging::{Form, Paging};
use super::call::Call;
use super::errors::ApiError;
use super::negotiate;
use super::reply::{Page, Reply};
use super::request::Request;

use self::source::WithoutSecrets;
pub(super) use self::source::{Ask, Batch, Item, Rows, Source};
use self::stream::Streamed;
use self::walk::Walk;

/// A requested list.
#[derive(Debug)]
pub(super) struct List {
    filters: Filters,
    paging: Paging,
    form: Form,
    /// Whether secrets are hidden from rows and filters.
    masks_secrets: bool,
    /// The concurrent reads that the caller's tenant may make.
    turns: Arc<Semaphore>,
}

impl List {
    /// Parses the query string: 404 `faulty_request` for invalid paging, 400 for invalid times.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let request = call.request;
        let form = form(request);
        let paging = Paging::of(request, &call.api.options, form)?;
        let masks_secrets = call.masks_secrets();
        let turns = call.api.tenants.lists(call.tenant());
        Ok(Self { filters: Filters::of(request)?, paging, form, masks_secrets, turns })
    }

    /// The part of a document that is paged like a list: its first key, and the most rows.
    pub(super) fn part(&self) -> (Option<&str>, usize) {
        (self.paging.start.as_deref(), self.paging.size.unwrap_or(self.paging.most))
    }

    /// After how many examined items a page ends; `None`: it ends when it is full.
    pub(super) fn most_examined(&self) -> Option<usize> {
        self.paging.most_examined
    }

    /// The paging keys of such a part.
    pub(super) fn page_of(&self, size: usize, next: Option<&str>) -> Page {
        let encoded = |key: &str| paging::encode_key(key);
        Page { size, start_key: self.paging.start.as_deref().map(encoded), next_start_key: next.map(encoded) }
    }

    /// Answers with rows and their keys, in any order.
    pub(super) async fn rows(self, rows: Vec<(String, Value)>) -> Result<Reply, ApiError> {
        self.answer(Rows::new(rows, |row: &Value| Item::from(row.clone()))).await
    }

    /// Answers with rows made from stored documents, ordered by their ids.
    pub(super) async fn documents(
        self,
        documents: Vec<(Map<String, Value>, Value)>,
    ) -> Result<Reply, ApiError> {
        let id = |stored: &Map<String, Value>| {
            stored.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let items = documents.into_iter().map(|(stored, row)| (id(&stored), Item::of(stored, row)));
        self.answer(Rows::new(items.collect(), Item::clone)).await
    }

    /// The rows that pass the filters, for a list with its own order and without pages.
    pub(super) fn filtered(&self, rows: Vec<Value>) -> Vec<Value> {
        let matching = rows.into_iter().map(Item::from).filter(|item| self.filters.match_item(item));
        matching.map(|item| item.row).collect()
    }

    /// Answers with the items of a source.
    pub(super) async fn answer(self, source: impl Source + 'static) -> Result<Reply, ApiError> {
        let Self { filters, paging, form, masks_secrets, turns } = self;
        let source: Box<dyn Source> =
            if masks_secrets { Box::new(WithoutSecrets(source)) } else { Box::new(source) };
        let columns = if form == Form::Csv { source.columns() } else { Vec::new() };
        let mut walk = Walk::new(source, filters, &paging, turns);
        if form != Form::Page {
            // An error at the beginning can still be answered with its status.
            let first = walk.next().await?.unwrap_or_default();
            return Ok(Reply::streamed(Streamed { form, columns, first, walk }));
        }
        let mut rows = Vec::new();
        while let Some(more) = walk.next().await? {
            rows.extend(more);
            // A page ends before it is too large. A list that was requested as a whole is refused instead.
            let is_whole = paging.size.is_none();
            if rows.len() > paging.most
                || is_whole && paging.most_bytes.is_some_and(|most| walk.bytes() > most)
            {
                return Err(ApiError::range_too_large());
            }
        }
        let page = paging.size.map(|_| walk.page());
        let revision = (!rows.is_empty()).then(|| paging::hash(&rows, page.as_ref()));
        Ok(Reply { revision, page, ..Reply::ok(rows) })
    }
}

fn form(request: &Request) -> Form {
    if negotiate::asks_for_csv(request) {
        Form::Csv
    } else if request.flag("is_chunked") {
        Form::Chunked
    } else {
        Form::Page
    }
}
