//! Builds the account tree from each account's parent; the rest of each stored tree is ignored. Pure.
//!
//! KAZOO moves a branch by writing the moved account first and then each descendant, so meanwhile the stored trees
//! disagree. But only the moved account gets a new parent. The chain of parents therefore already gives the tree as
//! it will be after the move, while the rest of a stored tree may be an old copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::odd::{Odd, OddKind};
use super::reading::KazooAccount;
use crate::model::AccountId;

/// The accounts that have a place in the tree, and what is odd about the others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Placed {
    /// The ancestors of each account, the master account first.
    pub trees: BTreeMap<AccountId, Vec<AccountId>>,
    /// Accounts whose stored tree differs from the chain of parents.
    pub half_moved: BTreeSet<AccountId>,
    /// What needs an operator's attention.
    pub odd: Vec<Odd>,
}

/// A tree deeper than this is taken for a circle.
const DEEPEST: usize = 1000;

/// Finds the place of each account below the master account.
#[must_use]
pub(super) fn place(accounts: &BTreeMap<AccountId, KazooAccount>, master: AccountId) -> Placed {
    let mut placed = Placed::default();
    let mut known: HashMap<AccountId, Option<Vec<AccountId>>> = HashMap::new();
    known.insert(master, Some(Vec::new()));
    for account in accounts.values() {
        let tree = tree_of(account, accounts, &mut known, &mut placed.odd);
        let Some(tree) = tree else { continue };
        if tree != account.tree && account.id != master {
            placed.half_moved.insert(account.id);
        }
        placed.trees.insert(account.id, tree);
    }
    placed
}

fn tree_of(
    account: &KazooAccount,
    accounts: &BTreeMap<AccountId, KazooAccount>,
    known: &mut HashMap<AccountId, Option<Vec<AccountId>>>,
    odd: &mut Vec<Odd>,
) -> Option<Vec<AccountId>> {
    // Go up until an ancestor with a known place is found, then down again.
    let (mut path, mut at) = (Vec::new(), account);
    let mut top = loop {
        if let Some(found) = known.get(&at.id) {
            break found.clone().map(|mut tree| {
                tree.push(at.id);
                tree
            });
        }
        let is_circle = path.len() >= DEEPEST || path.contains(&at.id);
        if is_circle {
            odd.push(Odd::new(
                OddKind::Circle,
                account.id,
                "the account stands below itself; it is left out",
            ));
            break None;
        }
        path.push(at.id);
        let Some(parent) = at.tree.last() else {
            let text = "the account has no parent and is not the master account; it is left out, with all \
                        accounts below it";
            odd.push(Odd::new(OddKind::SecondRoot, at.id, text));
            break None;
        };
        if let Some(above) = accounts.get(parent) {
            at = above;
        } else if known.contains_key(parent) {
            break known.get(parent).cloned().flatten().map(|mut tree| {
                tree.push(*parent);
                tree
            });
        } else {
            let text = format!("its parent {parent} does not exist; the account is left out until it does");
            odd.push(Odd::new(OddKind::Orphan, at.id, text));
            break None;
        }
    };
    if path.is_empty() {
        return known.get(&account.id).cloned().flatten();
    }
    for id in path.into_iter().rev() {
        let tree = top.take();
        top.clone_from(&tree);
        if let Some(below) = &mut top {
            below.push(id);
        }
        // Remembered for every account on the way, so that placing all accounts takes one step for each.
        known.insert(id, tree);
    }
    known.get(&account.id).cloned().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onboarding::testing::account;

    fn placed(accounts: &[KazooAccount]) -> Placed {
        place(&accounts.iter().map(|account| (account.id, account.clone())).collect(), AccountId(1))
    }

    fn tree(placed: &Placed, id: u128) -> Option<Vec<u128>> {
        placed.trees.get(&AccountId(id)).map(|tree| tree.iter().map(|id| id.0).collect())
    }

    #[test]
    fn the_chain_of_parents_decides_the_place_of_an_account() {
        let found =
            placed(&[account(1, &[]), account(2, &[1]), account(4, &[1, 3, 2]), account(5, &[1, 3, 2, 4])]);
        assert_eq!(tree(&found, 4), Some(vec![1, 2]));
        assert_eq!(tree(&found, 5), Some(vec![1, 2, 4]));
        assert_eq!(found.half_moved, BTreeSet::from([AccountId(4), AccountId(5)]));
        assert_eq!(found.odd, []);
    }

    #[test]
    fn an_account_without_its_parent_is_left_out_with_its_descendants_and_named_once() {
        let found = placed(&[account(1, &[]), account(3, &[1, 2]), account(4, &[1, 2, 3])]);
        assert_eq!((tree(&found, 3), tree(&found, 4), tree(&found, 1)), (None, None, Some(vec![])));
        let named: Vec<_> = found.odd.iter().map(|odd| (odd.what, odd.id.clone())).collect();
        assert_eq!(named, [(OddKind::Orphan, AccountId(3).to_string())]);
    }

    #[test]
    fn accounts_that_stand_below_each_other_are_left_out() {
        let found = placed(&[account(1, &[]), account(2, &[1, 3]), account(3, &[1, 2]), account(4, &[1, 2])]);
        assert!([2, 3, 4].iter().all(|id| tree(&found, *id).is_none()));
        assert!(found.odd.iter().any(|odd| odd.what == OddKind::Circle));
    }

    #[test]
    fn a_second_root_is_left_out() {
        let found = placed(&[account(1, &[]), account(2, &[]), account(3, &[2])]);
        assert_eq!((tree(&found, 2), tree(&found, 3)), (None, None));
        assert_eq!(found.odd.iter().filter(|odd| odd.what == OddKind::SecondRoot).count(), 1);
    }

    #[test]
    fn the_master_accounts_document_may_be_missing() {
        let found = placed(&[account(2, &[1])]);
        assert_eq!(tree(&found, 2), Some(vec![1]));
    }
}
