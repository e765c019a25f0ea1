//! API keys: which account a key gives access to. Only the SHA-256 of a key is stored.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted, key_hash, owner};
use super::first_start::MASTER_KEY;
use super::handle::State;
use super::index::IndexError;
use super::keys;
use crate::model::AccountId;

/// The id of the configured master key. No stored key has it.
const CONFIGURED: &str = "configured";

/// A valid API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The account that the key gives access to.
    pub account: AccountId,
    /// The id of its document.
    pub id: String,
    /// A value that changes when the key's text changes.
    pub stamp: String,
}

impl State {
    /// Finds an API key by its text.
    pub fn api_key(&self, text: &str) -> Result<Option<ApiKey>, IndexError> {
        let hash = key_hash(text);
        // Hashes are compared and not keys, so the duration of the comparison tells nothing about the key.
        if self.master_key.as_ref() == Some(&hash) {
            return Ok(self.configured());
        }
        let found = self.shared.index()?.behind(Kind::Key, &keys::api_key(hash.as_bytes()))?;
        Ok(found.and_then(|doc| self.stored(&doc)))
    }

    /// Finds an API key by its id, if it is still valid.
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

    /// A stored key, if it is valid. The key that was made on the first start is not, while a master key is configured.
    fn stored(&self, doc: &Map<String, Value>) -> Option<ApiKey> {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        let id = text("_id").filter(|id| self.master_key.is_none() || *id != MASTER_KEY)?.to_owned();
        Some(ApiKey { account: owner(doc)?, id, stamp: stamp(text("pvt_key_hash")?) })
    }
}

fn stamp(hash: &str) -> String {
    hash.get(..16).unwrap_or_default().to_owned()
}
