//! Both logs and the state, as readings beside the engine need them.

use std::sync::Arc;

use super::filed::Filed;
use crate::kazoo;
use crate::log::Reader;
use crate::model::{Hook, HookId, Id};
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Kind, State};

/// What readings read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The events log.
    pub events: Reader,
    /// The ledger.
    pub ledger: Reader,
    /// Hooks, accounts and replays.
    pub state: State,
}

impl Logs {
    /// A hook, also one that was deleted: its attempts can still be looked up.
    #[must_use]
    pub fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        let deleted = || self.state.get(Kind::Hook, &id.to_string()).ok().flatten();
        let read = |doc| kazoo::hook_from_document(&doc).ok().map(Arc::new);
        self.state.hook(id).or_else(|| deleted().and_then(read))
    }

    /// These hooks, told apart from all others of the installation.
    pub fn filed(&self, hooks: impl IntoIterator<Item = Arc<Hook>>) -> Filed {
        Filed::new(hooks, &self.state.all_hooks())
    }

    /// The hook of a replay that is under way or ended recently.
    #[must_use]
    pub fn replay_of(&self, replay: Id) -> Option<HookId> {
        let doc = self.state.get(Kind::Replay, &replay.to_string()).ok().flatten()?;
        Some(ReplayJob::from_document(doc)?.hook)
    }
}
