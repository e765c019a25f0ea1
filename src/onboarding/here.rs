//! The part of this installation's state that a plan needs to know.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::model::AccountId;
use crate::state::{IndexError, Kind, State, is_deleted, is_mirrored};

type Document = Map<String, Value>;

/// Gives access to the documents of this installation.
pub trait Here {
    /// The root of the account tree here.
    fn master(&self) -> AccountId;
    /// A document, also a deleted one.
    fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError>;
    /// The ids of all mirrored documents of a kind that are not deleted.
    fn mirrored(&self, kind: Kind) -> Result<Vec<String>, IndexError>;
    /// The account that has a realm.
    fn with_realm(&self, realm: &str) -> Option<AccountId>;
}

impl Here for State {
    fn master(&self) -> AccountId {
        self.settings().master
    }

    fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        State::get(self, kind, id)
    }

    fn mirrored(&self, kind: Kind) -> Result<Vec<String>, IndexError> {
        let ids: Vec<String> = match kind {
            Kind::Account => self.accounts().iter().map(|account| account.id.to_string()).collect(),
            Kind::Hook => self.all_hooks().iter().map(|hook| hook.id.to_string()).collect(),
            _ => {
                let all = self.all(kind)?;
                let text = |doc: &Document| doc.get("_id").and_then(Value::as_str).map(str::to_owned);
                all.iter().filter(|doc| is_mirrored(doc) && !is_deleted(doc)).filter_map(text).collect()
            }
        };
        let mut mirrored = Vec::new();
        for id in ids {
            if State::get(self, kind, &id)?.is_some_and(|doc| is_mirrored(&doc) && !is_deleted(&doc)) {
                mirrored.push(id);
            }
        }
        Ok(mirrored)
    }

    fn with_realm(&self, realm: &str) -> Option<AccountId> {
        self.account_of_realm(realm)
    }
}

/// An installation as its API showed it, or an empty one. Documents are kept as text, because parsed ones take several
/// times as much memory.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    master: AccountId,
    documents: HashMap<(Kind, String), Box<str>>,
    mirrored: BTreeSet<(Kind, String)>,
    realms: HashMap<String, AccountId>,
}

impl Snapshot {
    /// An empty installation with this root of the tree.
    #[must_use]
    pub fn of(master: AccountId) -> Self {
        Self { master, ..Self::default() }
    }

    /// Adds a document, in place of one with its id.
    pub fn put(&mut self, kind: Kind, id: &str, doc: &Document) {
        self.remove(kind, id);
        let key = (kind, id.to_owned());
        if let (Kind::Account, Ok(account), Some(realm)) = (kind, id.parse(), realm(doc)) {
            self.realms.insert(realm, account);
        }
        if is_mirrored(doc) && !is_deleted(doc) {
            self.mirrored.insert(key.clone());
        }
        self.documents.insert(key, serde_json::to_string(doc).unwrap_or_default().into());
    }

    /// Removes a document.
    pub fn remove(&mut self, kind: Kind, id: &str) {
        let key = (kind, id.to_owned());
        let Some(text) = self.documents.remove(&key) else { return };
        self.mirrored.remove(&key);
        let doc: Document = serde_json::from_str(&text).unwrap_or_default();
        if let (Kind::Account, Some(realm)) = (kind, realm(&doc)) {
            self.realms.remove(&realm);
        }
    }
}

fn realm(doc: &Document) -> Option<String> {
    doc.get("realm").and_then(Value::as_str).map(str::to_ascii_lowercase)
}

impl Here for Snapshot {
    fn master(&self) -> AccountId {
        self.master
    }

    fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        let text = self.documents.get(&(kind, id.to_owned()));
        Ok(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    fn mirrored(&self, kind: Kind) -> Result<Vec<String>, IndexError> {
        Ok(self.mirrored.iter().filter(|(of, _)| *of == kind).map(|(_, id)| id.clone()).collect())
    }

    fn with_realm(&self, realm: &str) -> Option<AccountId> {
        self.realms.get(&realm.to_ascii_lowercase()).copied()
    }
}
