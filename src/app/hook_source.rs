//! What webhooks do, for websocket clients: from the queues, the history and the state.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::history::History;
use crate::live::{HookQueue, HookSource, Scopes};
use crate::model::{AttemptNewsPage, EventNewsPage, EventOffset, Hook, LedgerOffset};
use crate::queues::Queues;
use crate::state::State;

/// The queues and the state, for websocket clients.
#[derive(Debug, Clone)]
pub(super) struct HooksOfQueues {
    queues: Queues,
    history: History,
    state: State,
}

impl HooksOfQueues {
    pub(super) fn new(queues: &Queues, history: &History, state: &State) -> Self {
        Self { queues: queues.clone(), history: history.clone(), state: state.clone() }
    }

    fn hooks(&self, of: &Scopes) -> Vec<Arc<Hook>> {
        let hooks = match of.named() {
            Some(ids) => ids.into_iter().filter_map(|id| self.state.hook(id)).collect(),
            None => self.state.all_hooks(),
        };
        hooks.into_iter().filter(|hook| of.covers(hook.account, hook.id)).collect()
    }
}

impl HookSource for HooksOfQueues {
    fn ledger(&self) -> watch::Receiver<u64> {
        self.history.ledger_grows()
    }

    fn attempts(
        &self,
        from: LedgerOffset,
        of: Arc<Scopes>,
    ) -> BoxFuture<'_, Result<AttemptNewsPage, String>> {
        Box::pin(async move {
            let watched = move |account, hook| of.covers(account, hook);
            self.history.attempts_since(from, watched).await.map_err(|error| error.to_string())
        })
    }

    fn events(&self, from: EventOffset, of: Arc<Scopes>) -> BoxFuture<'_, Result<EventNewsPage, String>> {
        Box::pin(async move {
            let accounts = of.accounts();
            self.history.events_since(from, accounts).await.map_err(|error| error.to_string())
        })
    }

    fn queues(&self, of: Arc<Scopes>) -> BoxFuture<'_, Result<Vec<HookQueue>, String>> {
        Box::pin(async move {
            let hooks = self.hooks(&of);
            let statuses = self.queues.statuses(&hooks).await.map_err(|error| error.to_string())?;
            let found = hooks.into_iter().zip(statuses).filter_map(|(hook, status)| {
                // A hook that was created just now gets a queue before the next look.
                let pulse = self.queues.pulse(hook.id);
                Some(HookQueue { hook, status: status?, pulse })
            });
            Ok(found.collect())
        })
    }
}
