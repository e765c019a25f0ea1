//! Tokens that are revoked before their time is over: remembered durably, until it is.

use serde_json::json;

use super::{Auth, Caller};
use crate::state::{Expect, IndexError, Kind, Write, WriteError};

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

impl Auth {
    /// Revokes the caller's token; durable when this answers. Revocations whose token has expired are forgotten on the
    /// way. The rest are bounded for each account, so that nobody can use up another account's.
    pub async fn revoke(&self, caller: &Caller) -> Result<(), RevokeError> {
        let now_s = self.now_s();
        if self.state.live_revocations(caller.account, now_s) >= self.options.most_revoked {
            return Err(RevokeError::TooMany(self.options.most_revoked));
        }
        let over = self.state.expired_revocations(now_s, MOST_FORGOTTEN);
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
