//! Lookup of accounts by realm and by name.
//!
//! Names are not unique, and data of earlier versions may have one realm in two spellings. So a realm leads to an
//! account only when it is unambiguous, and accounts of the same name are ordered such that no account can push back
//! another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Account, AccountId, name_key, realm_key};

/// The most levels of the tree at which branches take turns.
const MOST_LEVELS: usize = 64;

/// The index of accounts by realm and by name.
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

    /// The accounts with a realm in any spelling.
    pub(super) fn with_realm(&self, realm: &str) -> impl Iterator<Item = AccountId> {
        self.realms.get(&realm_key(realm)).into_iter().flatten().copied()
    }

    /// The accounts with a name in any spelling.
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

/// The account that a realm leads to: the only one found, or the only one whose realm is spelled in its normal form.
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

/// Orders accounts fairly for every branch of the tree: an account comes before its descendants, and the branches
/// below an account take turns. If somebody creates thousands of accounts with the name of another account, only one
/// of them comes before that account.
pub(super) fn in_turns(accounts: Vec<Arc<Account>>) -> Vec<Arc<Account>> {
    turns(accounts, 0)
}

fn turns(accounts: Vec<Arc<Account>>, depth: usize) -> Vec<Arc<Account>> {
    // A single account needs no turns. The bound on the depth is above that of any tree.
    if accounts.len() < 2 || depth > MOST_LEVELS {
        return accounts;
    }
    let mut branches: BTreeMap<AccountId, Vec<Arc<Account>>> = BTreeMap::new();
    let mut ordered = Vec::with_capacity(accounts.len());
    for account in accounts {
        // The ancestor on this level, or the account itself.
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
    use crate::model::FailureLimits;

    fn account(id: u128, tree: &[u128], realm: &str) -> Arc<Account> {
        Arc::new(Account {
            id: AccountId(id),
            tree: tree.iter().map(|id| AccountId(*id)).collect(),
            name: "Acme".to_owned(),
            realm: Some(realm.to_owned()),
            is_reseller: false,
            enabled: true,
            failure_limits: FailureLimits::default(),
        })
    }

    #[test]
    fn many_accounts_of_one_name_in_a_branch_do_not_push_back_another_account() {
        let mut accounts: Vec<_> = (1000..2000).map(|id| account(id, &[1, 2], "r")).collect();
        accounts.push(account(2, &[1], "r"));
        accounts.push(account(900, &[1, 3], "r"));
        accounts.push(account(5000, &[1, 4, 6], "r"));
        accounts.extend((3000..4000).map(|id| account(id, &[1, 4, 5], "r")));
        let place =
            |ordered: &[Arc<Account>], id| ordered.iter().position(|a| a.id == AccountId(id)).unwrap();
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
        assert_eq!(meant("a.example.", &both), Some(AccountId(1)));
        assert_eq!(meant("a.example", std::slice::from_ref(&alike)), Some(AccountId(2)));
        assert_eq!(meant("a.example", &[alike.clone(), alike]), None);
        assert_eq!(meant("a.example", &[]), None);
    }
}
