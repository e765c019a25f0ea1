//! Translates failure limits, so that each hook has the same limits here as in KAZOO. Pure.
//!
//! KAZOO takes the whole document: the account's, else its reseller's, else the system's. A value that the chosen
//! document lacks is the system's. We search each value separately: at the account, at its reseller, at the master
//! account. So an account gets its own values only where the two rules give different results.

use std::collections::BTreeMap;

use super::reading::{KazooAccount, KazooLimits, OwnLimits};
use crate::model::AccountId;

/// The values that KAZOO uses without any document.
const DEFAULTS: KazooLimits = KazooLimits { count: Some(6), window_ms: Some(60_000) };

/// The limits to store with each account whose own limits are known.
#[must_use]
pub(super) fn to_store(
    accounts: &BTreeMap<AccountId, KazooAccount>,
    trees: &BTreeMap<AccountId, Vec<AccountId>>,
    system: KazooLimits,
    master: AccountId,
) -> BTreeMap<AccountId, KazooLimits> {
    let own = |id: AccountId| match accounts.get(&id).map(|account| account.limits) {
        Some(OwnLimits::Own(limits)) => Some(limits),
        _ => None,
    };
    let reseller_of = |id: AccountId| {
        let tree = trees.get(&id).map(Vec::as_slice).unwrap_or_default();
        let resells = |above: &&AccountId| accounts.get(above).is_some_and(|account| account.reseller);
        tree.iter().rev().find(resells).or(tree.first()).copied()
    };
    let effective = |id: AccountId| {
        let document = own(id).or_else(|| reseller_of(id).and_then(own));
        document.map_or(system, |document| or(document, system))
    };
    let of_master = effective(master);
    // A customer's values depend on its reseller's stored values, so resellers go first. Above a reseller there
    // is only the master account.
    let mut stored: BTreeMap<AccountId, KazooLimits> = BTreeMap::from([(master, of_master)]);
    let mut order: Vec<_> = trees.iter().map(|(id, tree)| (tree.len(), *id)).collect();
    order.sort_unstable();
    for (_, id) in order.into_iter().filter(|(_, id)| *id != master) {
        let further_up =
            reseller_of(id).and_then(|reseller| stored.get(&reseller)).copied().unwrap_or_default();
        // What the account would get here without its own values. Only what differs is stored, so that later
        // changes further up still reach it.
        let without = or(or(further_up, of_master), DEFAULTS);
        let wanted = or(effective(id), DEFAULTS);
        stored.insert(
            id,
            KazooLimits {
                count: wanted.count.filter(|_| wanted.count != without.count),
                window_ms: wanted.window_ms.filter(|_| wanted.window_ms != without.window_ms),
            },
        );
    }
    let is_known = |id: &AccountId| {
        *id == master || accounts.get(id).is_some_and(|account| account.limits != OwnLimits::Unknown)
    };
    stored.retain(|id, _| is_known(id));
    stored
}

fn or(limits: KazooLimits, further_up: KazooLimits) -> KazooLimits {
    KazooLimits {
        count: limits.count.or(further_up.count),
        window_ms: limits.window_ms.or(further_up.window_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onboarding::testing;

    fn limits(count: Option<u32>, window_ms: Option<u64>) -> KazooLimits {
        KazooLimits { count, window_ms }
    }

    fn account(id: u128, tree: &[u128], reseller: bool, own: OwnLimits) -> KazooAccount {
        KazooAccount { reseller, limits: own, ..testing::account(id, tree) }
    }

    /// The limits of an account by our rule: its own, else its reseller's, else the master account's.
    fn here(stored: &BTreeMap<AccountId, KazooLimits>, chain: &[u128]) -> KazooLimits {
        let found = chain.iter().map(|id| stored.get(&AccountId(*id)).copied().unwrap_or_default());
        or(found.fold(KazooLimits::default(), or), DEFAULTS)
    }

    #[test]
    fn what_counts_here_is_what_counts_in_kazoo() {
        let accounts = [
            account(1, &[], false, OwnLimits::Absent),
            account(2, &[1], true, OwnLimits::Own(limits(Some(20), Some(300_000)))),
            // A document without a count: the count is the system's, not the reseller's.
            account(3, &[1, 2], false, OwnLimits::Own(limits(None, Some(1000)))),
            account(4, &[1, 2], false, OwnLimits::Absent),
            account(5, &[1], false, OwnLimits::Absent),
            account(6, &[1, 2], false, OwnLimits::Own(limits(Some(20), None))),
            account(7, &[1, 2], false, OwnLimits::Unknown),
        ];
        let accounts: BTreeMap<_, _> = accounts.into_iter().map(|account| (account.id, account)).collect();
        let trees = accounts.values().map(|account| (account.id, account.tree.clone())).collect();
        let stored = to_store(&accounts, &trees, limits(Some(10), None), AccountId(1));
        assert_eq!(here(&stored, &[1]), limits(Some(10), Some(60_000)));
        assert_eq!(here(&stored, &[2, 1]), limits(Some(20), Some(300_000)));
        assert_eq!(here(&stored, &[3, 2, 1]), limits(Some(10), Some(1000)));
        assert_eq!(here(&stored, &[4, 2, 1]), limits(Some(20), Some(300_000)));
        assert_eq!(here(&stored, &[5, 1]), limits(Some(10), Some(60_000)));
        assert_eq!(here(&stored, &[6, 2, 1]), limits(Some(20), Some(60_000)));
        assert_eq!(stored.get(&AccountId(4)), Some(&KazooLimits::default()), "only differences are stored");
        assert_eq!(stored.get(&AccountId(7)), None, "an account with unknown limits is not changed");
    }
}
