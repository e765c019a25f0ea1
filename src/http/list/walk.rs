//! Reads a source batch by batch and filters it, until the page is full or the list ends.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::filter::Filters;
use super::paging::{Paging, encode_key};
use super::source::{Ask, Source};
use crate::http::errors::ApiError;
use crate::http::reply::Page;
use crate::model::json_weight;

/// The bytes of rows after which a chunk ends.
const CHUNK_BYTES: usize = 1 << 20;

/// A list being read. At most two chunks of rows are in memory.
pub(in crate::http) struct Walk {
    source: Box<dyn Source>,
    filters: Filters,
    paging: Paging,
    /// The concurrent reads that the caller's tenant may make.
    turns: Arc<Semaphore>,
    /// The key at which to continue; `None` at the beginning.
    at: Option<String>,
    is_over: bool,
    served: usize,
    /// The items that the filters have seen.
    examined: usize,
    /// The bytes of the rows returned so far.
    bytes: usize,
    first: Option<String>,
    next: Option<String>,
}

impl Walk {
    pub(super) fn new(
        source: Box<dyn Source>,
        filters: Filters,
        paging: &Paging,
        turns: Arc<Semaphore>,
    ) -> Self {
        let (paging, at) = (paging.clone(), paging.start.clone());
        Self {
            source,
            filters,
            paging,
            turns,
            at,
            is_over: false,
            served: 0,
            examined: 0,
            bytes: 0,
            first: None,
            next: None,
        }
    }

    /// The next rows; `None` when the page is full or the list has ended.
    pub(in crate::http) async fn next(&mut self) -> Result<Option<Vec<Value>>, ApiError> {
        let mut rows = Vec::new();
        // Fails only if the semaphore is closed, which never happens.
        let _turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let enough = self.bytes.saturating_add(CHUNK_BYTES);
        while !self.is_over && rows.len() < self.paging.chunk && self.bytes < enough {
            let ask = Ask { from: self.at.take(), ascending: self.paging.ascending, most: self.most() };
            let batch = self.source.batch(ask).await?;
            self.at = batch.next;
            self.is_over = self.at.is_none();
            self.examined += batch.items.len();
            for (key, item) in batch.items {
                if self.is_behind_the_end(&key) {
                    self.is_over = true;
                    break;
                }
                if !self.filters.match_item(&item) {
                    continue;
                }
                let weight = json_weight(&item.row);
                if self.paging.size == Some(self.served) || self.is_heavy(weight) {
                    (self.is_over, self.next) = (true, Some(key));
                    break;
                }
                self.served += 1;
                self.bytes += weight;
                self.first.get_or_insert(key);
                rows.push(item.row);
            }
            if !self.is_over && self.paging.size.is_some() && self.is_spent() {
                (self.is_over, self.next) = (true, self.at.take());
            }
            // A selective filter reads much, so other tasks get a turn in between.
            tokio::task::yield_now().await;
        }
        Ok((!rows.is_empty()).then_some(rows))
    }

    /// The size of the next batch. One more row than the page needs gives the start of the next page.
    fn most(&self) -> usize {
        let missing = self.paging.size.map(|size| size.saturating_sub(self.served).saturating_add(1));
        let chunk = self.paging.chunk;
        missing.filter(|_| self.filters.is_empty()).map_or(chunk, |missing| missing.min(chunk))
    }

    /// Whether enough was examined for this page.
    fn is_spent(&self) -> bool {
        self.source.is_spent() || self.paging.most_examined.is_some_and(|most| self.examined >= most)
    }

    /// Whether a row of this size is too much for a page that already has rows.
    fn is_heavy(&self, weight: usize) -> bool {
        let over = |most: usize| self.bytes.saturating_add(weight) > most;
        self.served > 0 && self.paging.size.is_some() && self.paging.most_bytes.is_some_and(over)
    }

    /// The bytes of the rows so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_behind_the_end(&self, key: &str) -> bool {
        let end = self.paging.end.as_deref();
        end.is_some_and(|end| if self.paging.ascending { key > end } else { key < end })
    }

    /// The paging keys of what has been read.
    pub(super) fn page(&self) -> Page {
        Page {
            size: self.served,
            start_key: self.paging.start.as_ref().or(self.first.as_ref()).map(|key| encode_key(key)),
            next_start_key: self.next.as_ref().map(|key| encode_key(key)),
        }
    }

    /// Whether the response has paging keys.
    pub(super) fn is_paged(&self) -> bool {
        self.paging.size.is_some()
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("paging", &self.paging).field("at", &self.at).finish_non_exhaustive()
    }
}
