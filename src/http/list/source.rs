//! Sources of list items, read a batch at a time in the order of their keys.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::http::errors::ApiError;
use crate::http::ports::Answer;
use crate::model::{masked, without_secrets};

/// One item of a list.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::http) struct Item {
    /// The stored document, which filters check first.
    pub(super) seen: Map<String, Value>,
    /// The row that clients get.
    pub(super) row: Value,
}

impl Item {
    /// A row made from a stored document. Filters see the whole document except secrets and their hashes; otherwise a
    /// client could find out a secret by guessing.
    pub(in crate::http) fn of(mut stored: Map<String, Value>, row: Value) -> Self {
        stored.retain(|field, _| !is_secret(field));
        Self { seen: stored, row }
    }

    /// The same item with one more field in its row.
    pub(in crate::http) fn with(mut self, field: &str, value: Value) -> Self {
        if let Value::Object(row) = &mut self.row {
            row.insert(field.to_owned(), value);
        }
        self
    }
}

fn is_secret(field: &str) -> bool {
    let private = field.strip_prefix("pvt_").unwrap_or_default();
    let is_verifier = private.ends_with("_auth") || private.ends_with("_hash") || private.ends_with("stamp");
    field == "secret" || is_verifier || private.contains("secret") || private.contains("password")
}

impl From<Value> for Item {
    fn from(row: Value) -> Self {
        Self { seen: Map::new(), row }
    }
}

/// A request for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Ask {
    /// The first key, whether or not an item has it; `None` for the beginning of the order.
    pub(in crate::http) from: Option<String>,
    /// By rising keys; otherwise by falling ones.
    pub(in crate::http) ascending: bool,
    /// The most items.
    pub(in crate::http) most: usize,
}

impl Ask {
    /// The first key, parsed as the type of the list's keys.
    pub(in crate::http) fn start<T: FromStr>(&self) -> Result<Option<T>, ApiError> {
        let parsed = self.from.as_deref().map(str::parse).transpose();
        parsed.map_err(|_| ApiError::faulty_request("invalid start key"))
    }
}

/// A batch of items in the requested order.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Batch {
    /// The items with their keys.
    pub(in crate::http) items: Vec<(String, Item)>,
    /// The key at which to continue; `None` at the end of the list.
    pub(in crate::http) next: Option<String>,
}

/// The source of a list.
pub(in crate::http) trait Source: Send + Sync {
    /// Reads items from a key on. A batch may be empty and have a `next`, but every `next` must be further on.
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>>;
    /// Whether the page must end here because enough was read for it. `next_start_key` then continues the list.
    fn is_spent(&self) -> bool {
        false
    }
    /// The columns of its CSV form: top-level fields of its rows.
    fn columns(&self) -> Vec<String>;
}

/// A source whose secrets are masked before filters see them. Otherwise a client could find out a secret by guessing.
pub(super) struct WithoutSecrets<S>(pub(super) S);

impl<S: Source> Source for WithoutSecrets<S> {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(async move {
            let mut batch = self.0.batch(ask).await?;
            for (_, item) in &mut batch.items {
                item.seen = without_secrets(&item.seen);
                item.row = masked("", &item.row);
            }
            Ok(batch)
        })
    }

    fn is_spent(&self) -> bool {
        self.0.is_spent()
    }

    fn columns(&self) -> Vec<String> {
        self.0.columns()
    }
}

/// A source of things in memory. Its items are made when they are requested.
pub(in crate::http) struct Rows<T, F> {
    /// The things, by rising keys.
    things: Vec<(String, T)>,
    shape: F,
}

impl<T, F: Fn(&T) -> Item> Rows<T, F> {
    /// Takes things with their keys, in any order, and a function that makes an item of one.
    pub(in crate::http) fn new(mut things: Vec<(String, T)>, shape: F) -> Self {
        things.sort_by(|a, b| a.0.cmp(&b.0));
        Self { things, shape }
    }

    fn ascending(&self, ask: &Ask) -> Batch {
        let start = ask.from.as_ref().map_or(0, |from| self.things.partition_point(|(key, _)| key < from));
        let mut rest = self.things.iter().skip(start);
        let items = rest.by_ref().take(ask.most).map(|thing| self.item(thing)).collect();
        Batch { items, next: rest.next().map(|(key, _)| key.clone()) }
    }

    fn descending(&self, ask: &Ask) -> Batch {
        let all = self.things.len();
        let end = ask.from.as_ref().map_or(all, |from| self.things.partition_point(|(key, _)| key <= from));
        let mut rest = self.things.iter().take(end).rev();
        let items = rest.by_ref().take(ask.most).map(|thing| self.item(thing)).collect();
        Batch { items, next: rest.next().map(|(key, _)| key.clone()) }
    }

    fn item(&self, (key, thing): &(String, T)) -> (String, Item) {
        (key.clone(), (self.shape)(thing))
    }
}

impl<T: Send + Sync, F: Fn(&T) -> Item + Send + Sync> Source for Rows<T, F> {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        let batch = if ask.ascending { self.ascending(&ask) } else { self.descending(&ask) };
        Box::pin(std::future::ready(Ok(batch)))
    }

    /// All fields of all rows, in the order of their first appearance.
    fn columns(&self) -> Vec<String> {
        let mut columns = Map::new();
        for (_, thing) in &self.things {
            let row = (self.shape)(thing).row;
            columns
                .extend(row.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), Value::Null)));
        }
        columns.into_iter().map(|(name, _)| name).collect()
    }
}

impl<T, F> fmt::Debug for Rows<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("things", &self.things.len()).finish_non_exhaustive()
    }
}
