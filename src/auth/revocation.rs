//! Revoked tokens. A revocation is stored until its token expires.

use serde_json::json;

use super::{Auth, Caller};
use crate::state::{Expect, IndexError, Kind, Write, WriteError};

/// The most expired revocations that one write removes, to keep the write small. The next write removes more.
const MOST_FORGOTTEN: usize = 256;

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The account has the most revocations that are stored.
    #[error("{0} tokens of the account are revoked already, the most that are stored")]
    TooMany(usize),
    /// The state cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Auth {
    /// Revokes the caller's token and stores that. Removes revocations whose tokens have expired. The number of
    /// others is bounded per account, so no account can use up the space of another.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), RevokeError> {
        let now_s = self.now_s();
        if self.state.live_revocations(caller.account, now_s) >= self.options.most_revoked {
            return Err(RevokeError::TooMany(self.options.most_revoked));
        }
        let over = self.state.expired_revocations(now_s, MOST_FORGOTTEN);
        // Old ones are removed with the same write, so nothing has to clean up at intervals.
        let mut writes: Vec<_> = over.into_iter().map(forget).collect();
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

fn forget(id: String) -> Write {
    Write { kind: Kind::Revocation, id, doc: None, expect: Expect::Any }
}
