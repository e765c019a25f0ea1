//! The way through a source: batch after batch, filtered, until the page is full or the list over.

use std::fmt;

use serde_json::Value;

use super::filter::Filters;
use super::paging::{Paging, encode_key};
use super::source::{Ask, Source};
use crate::http::errors::ApiError;
use crate::http::reply::Page;

/// A list under way. At most two chunks of rows are in memory.
pub(in crate::http) struct Walk {
    source: Box<dyn Source>,
    filters: Filters,
    paging: Paging,
    /// The key to go on with; `None`: the beginning.
    at: Option<String>,
    is_over: bool,
    served: usize,
    first: Option<String>,
    next: Option<String>,
}

impl Walk {
    pub(super) fn new(source: Box<dyn Source>, filters: Filters, paging: &Paging) -> Self {
        let (paging, at) = (paging.clone(), paging.start.clone());
        Self { source, filters, paging, at, is_over: false, served: 0, first: None, next: None }
    }

    /// The next rows; `None` when the page is full or the list over.
    pub(in crate::http) async fn next(&mut self) -> Result<Option<Vec<Value>>, ApiError> {
        let mut rows = Vec::new();
        while !self.is_over && rows.len() < self.paging.chunk {
            let ask = Ask { from: self.at.take(), ascending: self.paging.ascending, most: self.most() };
            let batch = self.source.batch(ask).await?;
            self.at = batch.next;
            self.is_over = self.at.is_none();
            for (key, item) in batch.items {
                if self.is_behind_the_end(&key) {
                    self.is_over = true;
                    break;
                }
                if !self.filters.match_item(&item) {
                    continue;
                }
                if self.paging.size == Some(self.served) {
                    (self.is_over, self.next) = (true, Some(key));
                    break;
                }
                self.served += 1;
                self.first.get_or_insert(key);
                rows.push(item.row);
            }
            if !self.is_over && self.paging.size.is_some() && self.source.is_spent() {
                (self.is_over, self.next) = (true, self.at.take());
            }
            // A filter that lets little through reads much: others have their turn in between.
            tokio::task::yield_now().await;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }

    /// What a batch needs at most: one more than the page tells where the next one starts.
    fn most(&self) -> usize {
        let missing = self.paging.size.map(|size| size.saturating_sub(self.served).saturating_add(1));
        let chunk = self.paging.chunk;
        missing.filter(|_| self.filters.is_empty()).map_or(chunk, |missing| missing.min(chunk))
    }

    fn is_behind_the_end(&self, key: &str) -> bool {
        let end = self.paging.end.as_deref();
        end.is_some_and(|end| if self.paging.ascending { key > end } else { key < end })
    }

    /// The paging keys of what has been walked.
    pub(super) fn page(&self) -> Page {
        Page {
            size: self.served,
            start_key: self.paging.start.as_ref().or(self.first.as_ref()).map(|key| encode_key(key)),
            next_start_key: self.next.as_ref().map(|key| encode_key(key)),
        }
    }

    /// Whether the answer shows paging keys.
    pub(super) fn is_paged(&self) -> bool {
        self.paging.size.is_some()
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("paging", &self.paging).field("at", &self.at).finish_non_exhaustive()
    }
}
