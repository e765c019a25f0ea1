//! The router: an index of hooks by account and family. It finds the hooks that may want an event with hash lookups, so the
//! cost of an event does not grow with the number of hooks.

use std::collections::HashMap;

use crate::model::{Account, AccountId, Event, Family, Hook, Trigger};

/// The index. `S` is the owner's name for a hook.
#[derive(Debug, Default)]
pub struct Router<S> {
    /// All hooks, by their accounts.
    own: HashMap<Key, Vec<S>>,
    /// The hooks that include descendants, by their accounts.
    below: HashMap<Key, Vec<S>>,
}

/// An account and a family; `None` for hooks that want all families.
type Key = (AccountId, Option<Family>);

fn key(hook: &Hook) -> Key {
    let family = match hook.trigger {
        Trigger::All => None,
        Trigger::Family(family) => Some(family),
    };
    (hook.account, family)
}

impl<S: Copy + PartialEq> Router<S> {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self { own: HashMap::new(), below: HashMap::new() }
    }

    /// Adds a hook with the name `slot`.
    pub fn insert(&mut self, hook: &Hook, slot: S) {
        self.own.entry(key(hook)).or_default().push(slot);
        if hook.include_subaccounts {
            self.below.entry(key(hook)).or_default().push(slot);
        }
    }

    /// Removes a hook, which must be as it was when it was inserted.
    pub fn remove(&mut self, hook: &Hook, slot: S) {
        for index in [&mut self.own, &mut self.below] {
            if let Some(slots) = index.get_mut(&key(hook)) {
                slots.retain(|s| *s != slot);
                if slots.is_empty() {
                    index.remove(&key(hook));
                }
            }
        }
    }

    /// Calls `found` for each hook that asks for one of `families` or for all of them: the hooks of the event's account, and
    /// those of its ancestors that include descendants. The caller checks the hooks' filters.
    pub fn candidates(
        &self,
        account: &Account,
        families: impl Iterator<Item = Family>,
        mut found: impl FnMut(S),
    ) {
        let wanted = families.map(Some).chain([None]);
        for family in wanted {
            for slot in self.own.get(&(account.id, family)).into_iter().flatten() {
                found(*slot);
            }
            // Most installations have no such hooks, and accounts may be deep in the tree.
            if self.below.is_empty() {
                continue;
            }
            for ancestor in &account.tree {
                for slot in self.below.get(&(*ancestor, family)).into_iter().flatten() {
                    found(*slot);
                }
            }
        }
    }
}

/// Whether an event's account is in a hook's reach; `account` is the event's.
#[must_use]
pub fn in_reach(hook: &Hook, account: &Account) -> bool {
    account.id == hook.account || (hook.include_subaccounts && account.tree.contains(&hook.account))
}

/// A hash of an event's account and subject: the key of its lane. Checkpoints store it, so it must never change.
#[must_use]
pub fn subject_hash(event: &Event<'_>) -> u64 {
    // FNV-1a. The hash of the standard library may change with every release.
    let account = event.account.unwrap_or_default().0.to_be_bytes();
    account
        .iter()
        .chain(event.subject.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::hook;

    fn account(id: u128, tree: &[u128]) -> Account {
        Account {
            id: crate::model::AccountId(id),
            tree: tree.iter().map(|t| crate::model::AccountId(*t)).collect(),
            name: String::new(),
            realm: None,
            is_reseller: false,
            enabled: true,
            failure_limits: crate::model::FailureLimits::default(),
        }
    }

    fn found(router: &Router<u32>, account: &Account, families: &[Family]) -> Vec<u32> {
        let mut slots = Vec::new();
        router.candidates(account, families.iter().copied(), |s| slots.push(s));
        slots.sort_unstable();
        slots
    }

    #[test]
    fn an_event_finds_the_hooks_of_its_account_and_those_of_ancestors_that_include_descendants() {
        let mut router = Router::new();
        let mut own = hook(1);
        own.account = crate::model::AccountId(5);
        router.insert(&own, 1_u32);
        let mut above = hook(2);
        above.account = crate::model::AccountId(4);
        above.trigger = Trigger::All;
        router.insert(&above, 2);
        above.include_subaccounts = true;
        router.insert(&above, 3);
        let event_account = account(5, &[4]);
        assert_eq!(found(&router, &event_account, &[Family::ChannelCreate]), [1, 3]);
        assert_eq!(found(&router, &event_account, &[Family::Object]), [3]);
        assert_eq!(found(&router, &account(4, &[]), &[Family::Object]), [2, 3]);
        router.remove(&above, 3);
        assert_eq!(found(&router, &event_account, &[Family::Object]), [] as [u32; 0]);
    }
}
