//! Accounts that become known after their first events: the events wait in the engine, and are then routed in their order.

use std::time::Duration;

use super::oracle::wants;
use super::world::World;
use crate::model::{Account, AccountId, Event, EventOffset, FailureLimits, Family, Hook, HookId};
use crate::queues::Directory;

/// Accounts that are unknown at one time.
const MOST_UNKNOWN: usize = 2;
/// Events that are younger than this when their account becomes known are delivered. Older ones may have been given up.
const SURELY_WAITS: Duration = Duration::from_secs(55);

impl World {
    /// An account that has no document yet.
    pub(super) fn unknown_account(&mut self) -> AccountId {
        if self.unknown.len() < MOST_UNKNOWN {
            let id = AccountId(self.new_id());
            self.unknown.push(id);
        }
        self.random.pick(&self.unknown).unwrap_or_default()
    }

    /// The document of an unknown account arrives, below an account that is known.
    pub(super) fn account_becomes_known(&mut self) {
        let Some(id) = self.random.pick(&self.unknown) else { return };
        let Some(parent) = self.random.pick(&self.tenants.all()) else { return };
        self.unknown.retain(|other| *other != id);
        let account = Account {
            id,
            tree: parent.tree.iter().chain([&parent.id]).copied().collect(),
            name: String::new(),
            realm: None,
            is_reseller: false,
            enabled: true,
            failure_limits: FailureLimits::default(),
        };
        self.put_account(account);
        let since = self.time.now() - SURELY_WAITS;
        for offset in self.oracle.logged_since(id, since) {
            self.wanted_late(offset, None);
        }
    }

    /// An event of an account that was unknown when the event arrived: all hooks that want it now have to get it, or only this one.
    pub(super) fn wanted_late(&mut self, offset: EventOffset, only: Option<HookId>) {
        let Some(logged) = self.oracle.events.get(&offset) else { return };
        let Some(account) = self.tenants.account(logged.account) else { return };
        let event = Event::decode(&logged.record).unwrap();
        let due = if event.family == Some(Family::Callflow) {
            only.is_none().then(|| account.id.one_shot()).into_iter().collect::<Vec<HookId>>()
        } else {
            let wanting = |hook: &&Hook| {
                let is_meant = only.is_none_or(|only| only == hook.id);
                is_meant && hook.start_offset <= offset && wants(hook, &account, &event)
            };
            self.hooks.values().map(|hook| &**hook).filter(wanting).map(|hook| hook.id).collect()
        };
        for hook in due {
            self.oracle.due.entry(hook.into()).or_default().insert(offset);
            self.settled_below.entry(hook).and_modify(|below| *below = offset.min(*below));
        }
    }

    /// Whether an event waits in an engine for its account.
    pub(super) fn still_waits(&self, offset: EventOffset) -> bool {
        let account = self.oracle.events.get(&offset).map(|logged| logged.account);
        account.is_some_and(|account| self.life.engines().any(|engine| engine.unknown.holds(account)))
    }

    /// The offset at which a new hook of an account begins: the first event that waits for the account, or the log's end.
    pub(super) fn start_of_hook(&self, account: AccountId) -> EventOffset {
        let waiting = self.life.engines().filter_map(|engine| engine.unknown.first_waiting(account)).min();
        waiting.unwrap_or_else(|| self.life.events.reader.end())
    }
}
