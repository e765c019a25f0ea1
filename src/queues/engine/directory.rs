//! What the queues ask the state about accounts and documents. An interface, so that the simulation can answer instead.

use std::fmt::Debug;
use std::sync::Arc;

use crate::model::{Account, AccountId, FailureLimits, Hook, HookId, ReplayId};
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Kind, State};

/// Accounts and documents. Every answer is as of now, and comes without waiting.
pub trait Directory: Send + Sync + Debug {
    /// The account, if it exists and is not deleted.
    fn account(&self, id: AccountId) -> Option<Arc<Account>>;
    /// The tenant that an account belongs to.
    fn tenant_of(&self, id: AccountId) -> AccountId;
    /// Whether `ancestor` is `id` or above it.
    fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool;
    /// Whether an account exists and is enabled; and its failure limits, its own or else its reseller's.
    fn standing(&self, id: AccountId) -> (bool, FailureLimits);
    /// All hooks.
    fn hooks(&self) -> Vec<Arc<Hook>>;
    /// The hook of a replay, by the replay's document.
    fn hook_of_replay(&self, id: ReplayId) -> Option<HookId>;
    /// Whether the document of this replay says that it has not ended. True also when the document cannot be read.
    fn runs_replay(&self, id: ReplayId) -> bool;
}

impl Directory for State {
    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.account(id)
    }

    fn tenant_of(&self, id: AccountId) -> AccountId {
        self.tenant_of(id)
    }

    fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        self.is_ancestor_or_self(ancestor, id)
    }

    fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        self.standing(id)
    }

    fn hooks(&self) -> Vec<Arc<Hook>> {
        self.all_hooks()
    }

    fn hook_of_replay(&self, id: ReplayId) -> Option<HookId> {
        let document = self.get(Kind::Replay, &id.to_string()).ok().flatten()?;
        Some(ReplayJob::from_document(document)?.hook)
    }

    fn runs_replay(&self, id: ReplayId) -> bool {
        match self.get(Kind::Replay, &id.to_string()) {
            Ok(None) => false,
            Ok(Some(document)) => ReplayJob::from_document(document).is_none_or(|job| !job.has_ended()),
            Err(_) => true,
        }
    }
}
