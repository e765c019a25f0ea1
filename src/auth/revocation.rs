//! Tokens that are revoked before their time is over: remembered durably, until it is.

use serde_json::{Map, Value, json};

use super::{Auth, Caller};
use crate::state::{Expect, IndexError, Kind, Write, WriteError, owner};

/// Expired revocations that one write forgets: it must stay small, and the next one forgets more.
const MOST_FORGOTTEN: usize = 256;

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// As many of the account's are revoked as are remembered.
    #[error("{0} tokens of the account are revoked, the most that are remembered")]
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
    /// Revokes the caller's token; durable when this answers. Revocations whose token has expired are forgotten on the
    /// way. The rest are bounded for each account, so that nobody can use up another account's.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), RevokeError> {
        let now_s = self.now_s();
        let (over, kept): (Vec<_>, Vec<_>) =
            self.state.all(Kind::Revocation)?.into_iter().partition(|doc| expiry(doc) <= now_s);
        let own = kept.iter().filter(|doc| owner(doc) == Some(caller.account)).count();
        if own >= self.options.most_revoked {
            return Err(RevokeError::TooMany(self.options.most_revoked));
        }
        let over = over.iter().filter_map(|doc| Some(forget(doc.get("_id")?.as_str()?)));
        let mut writes: Vec<_> = over.take(MOST_FORGOTTEN).collect();
        let doc = json!({"exp": caller.expires_s, "pvt_account_id": caller.account});
        let doc = doc.as_object().cloned();
        let id = caller.standing.identity.clone();
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
