//! Tokens that are revoked before their time is over: remembered durably, until it is.

use serde_json::{Map, Value, json};

use super::{Auth, Caller};
use crate::state::{Expect, IndexError, Kind, Write, WriteError};

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// As many are revoked as are remembered.
    #[error("{0} tokens are revoked, the most that are remembered")]
    TooMany(usize),
    /// The state does not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<IndexError> for RevokeError {
    fn from(error: IndexError) -> Self {
        Self::Write(error.into())
    }
}

impl Auth {
    /// Revokes the caller's token; durable when this answers. What is over anyway is forgotten on the way.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), RevokeError> {
        let now_s = self.now_s();
        let known = self.state.all(Kind::Revocation)?;
        let count = known.len();
        let over = known.into_iter().filter(|doc| expiry(doc) <= now_s);
        let mut writes: Vec<_> = over.filter_map(|doc| Some(forget(doc.get("_id")?.as_str()?))).collect();
        if count - writes.len() >= self.options.most_revoked {
            return Err(RevokeError::TooMany(self.options.most_revoked));
        }
        let doc = json!({"exp": caller.expires_s, "pvt_account_id": caller.account});
        let doc = doc.as_object().cloned();
        let id = caller.identity.clone();
        writes.push(Write { kind: Kind::Revocation, id, doc, expect: Expect::Any });
        self.state.write(writes).await?;
        Ok(())
    }

    pub(super) fn is_revoked(&self, identity: &str) -> Result<bool, IndexError> {
        Ok(self.state.get(Kind::Revocation, identity)?.is_some())
    }
}

fn expiry(doc: &Map<String, Value>) -> u64 {
    doc.get("exp").and_then(Value::as_u64).unwrap_or(0)
}

fn forget(id: &str) -> Write {
    Write { kind: Kind::Revocation, id: id.to_owned(), doc: None, expect: Expect::Any }
}
