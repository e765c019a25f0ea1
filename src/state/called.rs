//! Accounts by realm and by name.
//!
//! Several accounts may have one name, and in data of earlier versions one realm in two spellings. So a realm leads to an
//! account only when there is no doubt, and for a name there is an order in which nobody pushes anybody else back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Account, AccountId, name_key, realm_key};

/// Levels of the tree at which branches take turns.
const MOST_LEVELS: usize = 64;

/// Which accounts are called what.
#[derive(Debug, Default)]
pub(super) struct Called {
    realms: HashMap<String, BTreeSet<AccountId>>,
    names: HashMap<String, BTreeSet<AccountId>>,
}

impl Called {
    pub(super) fn add(&mut self, account: &Account) {
        if let Some(realm) = &account.realm {
            self.realms.entry(realm_key(realm)).or_default().insert(account.id);
        }
        self.names.entry(name_key(&account.name)).or_default().insert(account.id);
    }

    pub(super) fn remove(&mut self, account: &Account) {
        if let Some(realm) = &account.realm {
            forget(&mut self.realms, &realm_key(realm), account.id);
        }
        forget(&mut self.names, &name_key(&account.name), account.id);
    }

    /// The accounts with a realm, however it is written.
    pub(super) fn with_realm(&self, realm: &str) -> impl Iterator<Item = AccountId> {
        self.realms.get(&realm_key(realm)).into_iter().flatten().copied()
    }

    /// The accounts with a name, however it is written.
    pub(super) fn with_name(&self, name: &str) -> impl Iterator<Item = AccountId> {
        self.names.get(&name_key(name)).into_iter().flatten().copied()
    }
}

fn forget(index: &mut HashMap<String, BTreeSet<AccountId>>, key: &str, id: AccountId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// The account whose realm is meant: the only one, or else the only one whose realm is written as realms are compared.
pub(super) fn meant(realm: &str, found: &[Arc<Account>]) -> Option<AccountId> {
    let key = realm_key(realm);
    let plain = found
        .iter()
        .filter(|account| account.realm.as_ref().is_some_and(|own| own.to_ascii_lowercase() == key));
    let plain: Vec<_> = plain.collect();
    match (found, plain.as_slice()) {
        ([only], _) => Some(only.id),
        (_, [only]) => Some(only.id),
        _ => None,
    }
}

/// Puts accounts in an order that is fair to every branch of the tree, at each level of it: an account comes before those
/// below it, and the branches below one account take turns. So an account that makes thousands below it with the
/// name of another puts one of them before the other account, and not thousands.
pub(super) fn in_turns(accounts: Vec<Arc<Account>>) -> Vec<Arc<Account>> {
    turns(accounts, 0)
}

fn turns(accounts: Vec<Arc<Account>>, depth: usize) -> Vec<Arc<Account>> {
    // One account needs no turns; nor does a level deeper than any tree.
    if accounts.len() < 2 || depth > MOST_LEVELS {
        return accounts;
    }
    let mut branches: BTreeMap<AccountId, Vec<Arc<Account>>> = BTreeMap::new();
    let mut ordered = Vec::with_capacity(accounts.len());
    for account in accounts {
        // The account on this level that is the account itself or above it.
        match account.tree.get(depth) {
            Some(above) => branches.entry(*above).or_default().push(account),
            None => branches.entry(account.id).or_default().insert(0, account),
        }
    }
    let mut lines: Vec<_> = branches
        .into_values()
        .map(|branch| {
            let (mut own, below): (Vec<_>, Vec<_>) =
                branch.into_iter().partition(|account| account.tree.len() <= depth);
            own.extend(turns(below, depth + 1));
            own.into_iter()
        })
        .collect();
    while !lines.is_empty() {
        lines.retain_mut(|line| line.next().map(|account| ordered.push(account)).is_some());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FailureLimits, Id};

    fn account(id: u128, tree: &[u128], realm: &str) -> Arc<Account> {
        Arc::new(Account {
            id: Id(id),
            tree: tree.iter().map(|id| Id(*id)).collect(),
            name: "Acme".to_owned(),
            realm: Some(realm.to_owned()),
            is_reseller: false,
            enabled: true,
            failure_limits: FailureLimits::default(),
        })
    }

    #[test]
    fn nobody_pushes_a_namesake_back_by_making_many_accounts() {
        let mut accounts: Vec<_> = (1000..2000).map(|id| account(id, &[1, 2], "r")).collect();
        accounts.push(account(2, &[1], "r"));
        accounts.push(account(900, &[1, 3], "r"));
        accounts.push(account(5000, &[1, 4, 6], "r"));
        accounts.extend((3000..4000).map(|id| account(id, &[1, 4, 5], "r")));
        let place = |ordered: &[Arc<Account>], id| ordered.iter().position(|a| a.id == Id(id)).unwrap();
        let ordered = in_turns(accounts.clone());
        assert_eq!(ordered.len(), accounts.len());
        assert!(place(&ordered, 2) < 3, "an account comes before those below it");
        assert!(place(&ordered, 900) < 3, "one branch is one turn");
        assert!(place(&ordered, 5000) < 6, "branches below one account take turns, too");
    }

    #[test]
    fn a_realm_in_two_spellings_leads_to_the_account_with_the_plain_one() {
        let (plain, alike) = (account(1, &[], "A.example"), account(2, &[], "a.example."));
        let both = [Arc::clone(&plain), Arc::clone(&alike)];
        assert_eq!(meant("a.example.", &both), Some(Id(1)));
        assert_eq!(meant("a.example", std::slice::from_ref(&alike)), Some(Id(2)));
        assert_eq!(meant("a.example", &[alike.clone(), alike]), None);
        assert_eq!(meant("a.example", &[]), None);
    }
}
