//! Both logs and the state, for reads beside the engine.

use std::sync::Arc;

use super::filed::Filed;
use crate::kazoo;
use crate::log::ReaderOf;
use crate::model::{EventOffset, Hook, HookId, LedgerOffset, ReplayId};
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Kind, State};

/// Both logs and the state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The events log.
    pub events: ReaderOf<EventOffset>,
    /// The ledger.
    pub ledger: ReaderOf<LedgerOffset>,
    /// Hooks, accounts and replays.
    pub state: State,
}

impl Logs {
    /// A hook. It may be deleted: its attempts can still be read.
    #[must_use]
    pub fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        let deleted = || self.state.get(Kind::Hook, &id.to_string()).ok().flatten();
        let read = |doc| kazoo::hook_from_document(&doc).ok().map(Arc::new);
        self.state.hook(id).or_else(|| deleted().and_then(read))
    }

    /// Finds the records of these hooks among those of all hooks.
    pub fn filed(&self, hooks: impl IntoIterator<Item = Arc<Hook>>) -> Filed {
        Filed::new(hooks, &self.state.all_hooks())
    }

    /// The hook of a replay that runs or ended recently.
    #[must_use]
    pub fn replay_of(&self, replay: ReplayId) -> Option<HookId> {
        let doc = self.state.get(Kind::Replay, &replay.to_string()).ok().flatten()?;
        Some(ReplayJob::from_document(doc)?.hook)
    }
}
