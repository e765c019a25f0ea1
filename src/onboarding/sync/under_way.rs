//! A full reading under way: the lists have been read, and the details of accounts are read and written step by step.
//!
//! Promise: what a step has written is not read again. When a reading breaks off, the next attempt continues with the
//! step that failed. After a restart of the program, the accounts whose failure limits are stored are known, so the
//! reading begins with the others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tokio::sync::watch;

use super::status::{ReadingStatus, SyncStatus};
use crate::model::AccountId;
use crate::onboarding::documents::own_limits;
use crate::onboarding::reading::{KazooAccount, OwnLimits, Reading};
use crate::onboarding::source::{Part, Progress, Stage, Want};
use crate::onboarding::tree::place;
use crate::state::{Kind, State};

/// The longest time after its last step for which a reading that broke off is continued, in seconds. A later attempt begins
/// again, because the lists are cheap and may have changed.
const KEPT_S: u64 = 3600;

/// A full reading under way.
pub(super) struct UnderWay {
    pub(super) reading: Reading,
    /// The accounts whose details are still to be read, in their order.
    wants: Vec<Want>,
    done: usize,
    /// Whether each step is written when it has been read. A reading of one step is written at its end.
    pub(super) is_long: bool,
    touched_s: u64,
}

impl UnderWay {
    pub(super) fn new(reading: Reading, wants: Vec<Want>, step: usize, now_s: u64) -> Self {
        let is_long = wants.len() > step;
        Self { reading, wants, done: 0, is_long, touched_s: now_s }
    }

    /// Whether a reading that broke off is continued.
    pub(super) fn is_fresh(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.touched_s) <= KEPT_S && !self.reading.accounts.is_empty()
    }

    /// The accounts of the next step; none: the reading is complete.
    pub(super) fn step(&self, most: usize) -> Vec<Want> {
        self.wants.iter().skip(self.done).take(most).copied().collect()
    }

    /// Where the next step stands.
    pub(super) fn part<'a>(&self, progress: &'a dyn Progress) -> Part<'a> {
        Part { progress, before: self.done, of: self.wants.len() }
    }

    /// Notes a finished step.
    pub(super) fn finished(&mut self, count: usize, now_s: u64) {
        self.done += count;
        self.touched_s = now_s;
    }
}

/// Takes the failure limits that are known over into new lists: those of the last reading, otherwise those stored with the
/// accounts.
pub(super) fn recall(reading: &mut Reading, last: &BTreeMap<AccountId, KazooAccount>, state: &State) {
    for account in reading.accounts.values_mut() {
        let known = last.get(&account.id).map(|last| last.limits).unwrap_or_default();
        account.limits = if known == OwnLimits::Unknown {
            let stored = state.get(Kind::Account, &account.id.to_string()).ok().flatten();
            stored.map(|doc| own_limits(&doc)).unwrap_or_default()
        } else {
            known
        };
    }
}

/// Which details a full reading reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Whether hooks are read with each account, because no list has them.
    pub(super) hooks: bool,
    /// The number of accounts whose limits are known and are read again nevertheless. A message about a change may have been
    /// lost, so each account gets its turn.
    pub(super) again: usize,
}

/// The accounts whose details are to be read: those without limits first, and parents before their descendants, so that
/// each step can be written. `turn` is the account that was read again last.
pub(super) fn wants(
    reading: &Reading,
    master: AccountId,
    needs: Needs,
    turn: &mut Option<AccountId>,
) -> Vec<Want> {
    let is_known = |account: &&KazooAccount| account.limits != OwnLimits::Unknown;
    let after = turn.map_or(Bound::Unbounded, Bound::Excluded);
    let later = reading.accounts.range((after, Bound::Unbounded));
    let earlier = turn.map(|turn| reading.accounts.range(..=turn)).into_iter().flatten();
    let in_turn = later.chain(earlier).map(|(_, account)| account).filter(is_known).take(needs.again);
    let again: Vec<AccountId> = in_turn.map(|account| account.id).collect();
    *turn = again.last().copied();
    let again: BTreeSet<AccountId> = again.into_iter().collect();
    let want = |account: &KazooAccount| {
        let limits = !is_known(&account) || again.contains(&account.id);
        (limits || needs.hooks).then_some(Want { account: account.id, limits })
    };
    let mut wants: Vec<Want> = reading.accounts.values().filter_map(want).collect();
    let trees = place(&reading.accounts, master).trees;
    wants.sort_by_cached_key(|want| {
        let is_new = reading.accounts.get(&want.account).is_some_and(|account| !is_known(&account));
        (!is_new, trees.get(&want.account).map_or(usize::MAX, Vec::len), want.account)
    });
    wants
}

/// Shows the progress of a reading in the status.
pub(super) struct Shown(pub(super) watch::Sender<SyncStatus>);

impl Progress for Shown {
    fn at(&self, stage: Stage, done: usize, of: Option<usize>) {
        // Nobody has to wake up for it.
        self.0.send_if_modified(|status| {
            status.reading = Some(ReadingStatus { stage, done, of });
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onboarding::testing;

    fn account(id: u128, tree: &[u128], limits: OwnLimits) -> KazooAccount {
        KazooAccount { limits, ..testing::account(id, tree) }
    }

    fn ids(wants: &[Want]) -> Vec<u128> {
        wants.iter().map(|want| want.account.0).collect()
    }

    #[test]
    fn unknown_accounts_come_first_after_their_parents_and_known_ones_in_turn() {
        let mut reading = Reading::default();
        for (id, tree) in [(1, &[][..]), (2, &[1, 9]), (5, &[1]), (6, &[1]), (9, &[1])] {
            let limits = if [5, 6, 1].contains(&id) { OwnLimits::Absent } else { OwnLimits::Unknown };
            reading.add_account(account(id, tree, limits));
        }
        let (mut turn, needs) = (None, Needs { hooks: false, again: 2 });
        let mut next = || ids(&wants(&reading, AccountId(1), needs, &mut turn));
        assert_eq!(next(), [9, 2, 1, 5]);
        assert_eq!(next(), [9, 2, 1, 6], "the turn begins again after the last account");
        assert_eq!(next(), [9, 2, 5, 6]);
        let all = wants(&reading, AccountId(1), Needs { hooks: true, again: 0 }, &mut None);
        let without_limits: Vec<_> =
            all.iter().filter(|want| !want.limits).map(|want| want.account.0).collect();
        assert_eq!((ids(&all), without_limits), (vec![9, 2, 1, 5, 6], vec![1, 5, 6]));
    }

    #[test]
    fn a_reading_that_broke_off_continues_with_the_step_that_failed_unless_it_is_old() {
        let mut reading = Reading::default();
        (1..=3).for_each(|id| reading.add_account(account(id, &[], OwnLimits::Unknown)));
        let all = wants(&reading, AccountId(1), Needs { hooks: false, again: 0 }, &mut None);
        let mut under_way = UnderWay::new(reading, all, 2, 1000);
        assert_eq!((under_way.is_long, ids(&under_way.step(2))), (true, vec![1, 2]));
        under_way.finished(2, 5000);
        assert_eq!(ids(&under_way.step(2)), [3]);
        assert!(under_way.is_fresh(5000 + KEPT_S) && !under_way.is_fresh(5001 + KEPT_S));
        under_way.finished(1, 5000);
        assert_eq!(under_way.step(2), []);
    }
}
