//! Which account an API key lets in. A key is never stored as itself, only as its SHA-256.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted, key_hash, owner};
use super::first_start::MASTER_KEY;
use super::handle::State;
use super::index::IndexError;
use super::keys;
use crate::model::AccountId;

/// The id under which the configured master key goes; no stored key has it.
const CONFIGURED: &str = "configured";

/// An API key that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Whom it lets in.
    pub account: AccountId,
    /// Its document's id.
    pub id: String,
    /// Changes with the key's text.
    pub stamp: String,
}

impl State {
    /// The API key with this text.
    pub fn api_key(&self, text: &str) -> Result<Option<ApiKey>, IndexError> {
        let hash = key_hash(text);
        if self.master_key.as_ref() == Some(&hash) {
            return Ok(self.configured());
        }
        let found = self.shared.index()?.behind(Kind::Key, &keys::api_key(hash.as_bytes()))?;
        Ok(found.and_then(|doc| self.stored(&doc)))
    }

    /// The API key with this id, as long as it works.
    pub fn api_key_with_id(&self, id: &str) -> Result<Option<ApiKey>, IndexError> {
        if id == CONFIGURED {
            return Ok(self.configured());
        }
        Ok(self.get(Kind::Key, id)?.filter(|doc| !is_deleted(doc)).and_then(|doc| self.stored(&doc)))
    }

    fn configured(&self) -> Option<ApiKey> {
        let hash = self.master_key.as_ref()?;
        Some(ApiKey { account: self.settings.master, id: CONFIGURED.into(), stamp: stamp(hash) })
    }

    /// While a master key is configured, the one made on the first start does not work.
    fn stored(&self, doc: &Map<String, Value>) -> Option<ApiKey> {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        let id = text("_id").filter(|id| self.master_key.is_none() || *id != MASTER_KEY)?.to_owned();
        Some(ApiKey { account: owner(doc)?, id, stamp: stamp(text("pvt_key_hash")?) })
    }
}

fn stamp(hash: &str) -> String {
    hash.get(..16).unwrap_or_default().to_owned()
}
