//! The part of this installation's state that a plan needs to know.

use std::collections::BTreeMap;

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

/// An installation as its API showed it, or an empty one.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The root of the tree.
    pub master: AccountId,
    /// Documents by kind and id.
    pub documents: BTreeMap<(Kind, String), Document>,
}

impl Here for Snapshot {
    fn master(&self) -> AccountId {
        self.master
    }

    fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        Ok(self.documents.get(&(kind, id.to_owned())).cloned())
    }

    fn mirrored(&self, kind: Kind) -> Result<Vec<String>, IndexError> {
        let of_kind = self.documents.iter().filter(|((of, _), _)| *of == kind);
        let live = of_kind.filter(|(_, doc)| is_mirrored(doc) && !is_deleted(doc));
        Ok(live.map(|((_, id), _)| id.clone()).collect())
    }

    fn with_realm(&self, realm: &str) -> Option<AccountId> {
        let has = |doc: &Document| {
            doc.get("realm").and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(realm))
        };
        let accounts =
            self.documents.iter().filter(|((kind, _), doc)| *kind == Kind::Account && !is_deleted(doc));
        accounts.filter(|(_, doc)| has(doc)).find_map(|((_, id), _)| id.parse().ok())
    }
}
