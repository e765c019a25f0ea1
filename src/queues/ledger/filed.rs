//! Whose a ledger record is. The log files records under `Id::tag`, which two ids may share, and a hook's id may be
//! taken again after the hook was deleted. So what a tag finds is compared by its whole ids before anybody sees it.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::LedgerRecord;
use crate::log::Record;
use crate::model::{Hook, HookId, Id};

/// Hooks whose records are read.
#[derive(Debug)]
pub struct Filed {
    hooks: HashMap<HookId, Arc<Hook>>,
    /// For each tag the only hook that has it; `None`: several hooks share the tag.
    only: HashMap<u64, Option<HookId>>,
    /// The hook of each replay that was met; `None`: the replay is not known any more.
    replays: HashMap<Id, Option<HookId>>,
}

impl Filed {
    /// `all` are the hooks of the whole installation: they tell which tags are shared.
    pub fn new(hooks: impl IntoIterator<Item = Arc<Hook>>, all: &[Arc<Hook>]) -> Self {
        let hooks: HashMap<HookId, Arc<Hook>> = hooks.into_iter().map(|hook| (hook.id, hook)).collect();
        let mut only: HashMap<u64, Option<HookId>> = HashMap::new();
        for id in hooks.keys() {
            only.entry(id.tag()).and_modify(|one| *one = None).or_insert(Some(*id));
        }
        for other in all.iter().filter(|other| !hooks.contains_key(&other.id)) {
            if let Some(one) = only.get_mut(&other.id.tag()) {
                *one = None;
            }
        }
        Self { hooks, only, replays: HashMap::new() }
    }

    /// The tags to read.
    #[must_use]
    pub fn tags(&self) -> Vec<u64> {
        self.only.keys().copied().collect()
    }

    /// The hooks.
    pub fn hooks(&self) -> impl Iterator<Item = &Arc<Hook>> {
        self.hooks.values()
    }

    /// The hook that a record belongs to, if it is one of these; `replay_of` looks up the hook of a replay.
    pub fn hook_of(
        &mut self,
        record: &Record,
        decoded: &LedgerRecord,
        replay_of: impl FnOnce(Id) -> Option<HookId>,
    ) -> Option<&Arc<Hook>> {
        let (queue, event) = match decoded {
            LedgerRecord::Attempt(attempt) => (attempt.queue, attempt.offset),
            LedgerRecord::Settled { queue, offset, .. } => (*queue, *offset),
            _ => return None,
        };
        let is_live = queue.tag() == record.tag;
        let id = if is_live {
            queue
        } else {
            let known = *self.replays.entry(queue).or_insert_with(|| replay_of(queue));
            // Of an old replay only the ledger is left. Its records are shown when the tag leaves no doubt.
            known.or_else(|| self.only.get(&record.tag).copied().flatten())?
        };
        let hook = self.hooks.get(&id).filter(|hook| hook.id.tag() == record.tag)?;
        let is_of_former_hook = record.offset < hook.birth.ledger || (is_live && event < hook.birth.events);
        (!is_of_former_hook).then_some(hook)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Settlement;
    use super::*;
    use crate::model::{Birth, Family, Trigger};

    fn hook(id: Id) -> Arc<Hook> {
        Arc::new(Hook::new(id, Id(7), Trigger::Family(Family::Callflow), String::new()))
    }

    fn settled(queue: Id) -> LedgerRecord {
        LedgerRecord::Settled { queue, offset: 5, how: Settlement::Dead }
    }

    fn record(tag: u64, offset: u64) -> Record {
        Record { offset, time_us: 0, tag, flags: 0, payload: Vec::new().into() }
    }

    /// Ids that equal another one in a reduced form.
    fn alike(id: Id, kind: u8, noise: u64) -> Id {
        let (high, low) = (id.0 >> 64, id.0 & u128::from(u64::MAX));
        match kind {
            0 => Id(low << 64 | high),
            1 => Id((high ^ u128::from(noise)) << 64 | (low ^ u128::from(noise))),
            2 => id.one_shot(),
            3 => Id(id.0 ^ u128::from(noise)),
            _ => Id(high << 64 | u128::from(noise)),
        }
    }

    proptest! {
        #[test]
        fn no_record_of_another_id_is_shown(id: u128, kind in 0..5_u8, noise: u64) {
            let (one, other) = (Id(id), alike(Id(id), kind, noise));
            prop_assume!(one != other);
            let mut filed = Filed::new([hook(one)], &[hook(one), hook(other)]);
            let found = filed.hook_of(&record(other.tag(), 9), &settled(other), |_| None).cloned();
            prop_assert_eq!(found, None);
            let replay = Id(!id);
            let found = filed.hook_of(&record(other.tag(), 9), &settled(replay), |_| Some(other)).cloned();
            prop_assert_eq!(found, None);
            // A replay that nobody knows any more, under a tag that two hooks share.
            let found = filed.hook_of(&record(other.tag(), 9), &settled(Id(!id ^ 1)), |_| None).cloned();
            prop_assert_eq!(found, None);
            let own = filed.hook_of(&record(one.tag(), 9), &settled(one), |_| None).map(|hook| hook.id);
            prop_assert_eq!(own, Some(one));
        }

        #[test]
        fn an_id_that_is_taken_again_shows_no_record_of_before(id: u128, ledger in 1..100_u64, offset: u64) {
            let mut again = Hook::clone(&hook(Id(id)));
            again.birth = Birth { ledger, events: 5 };
            let mut filed = Filed::new([Arc::new(again)], &[]);
            let tag = Id(id).tag();
            let is_shown = filed.hook_of(&record(tag, offset), &settled(Id(id)), |_| None).is_some();
            prop_assert_eq!(is_shown, offset >= ledger);
            // An attempt of the former hook that ended later.
            let late = LedgerRecord::Settled { queue: Id(id), offset: 4, how: Settlement::Dead };
            prop_assert!(filed.hook_of(&record(tag, u64::MAX), &late, |_| None).is_none());
        }
    }
}
