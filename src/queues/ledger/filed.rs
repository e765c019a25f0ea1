//! Finds the hook to which a ledger record belongs. The log finds records by the tag of their hook, but two ids may have the
//! same tag, and the id of a deleted hook may be used again. So the whole ids are compared before anybody gets to see a
//! record.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::LedgerRecord;
use crate::log::Record;
use crate::model::{Hook, HookId, LedgerOffset, ReplayId};

/// The hooks whose records are read.
#[derive(Debug)]
pub struct Filed {
    hooks: HashMap<HookId, Arc<Hook>>,
    /// The hook of each tag. `None`: several hooks have this tag.
    only: HashMap<u64, Option<HookId>>,
    /// The hook of each replay that was met. `None`: the replay is no longer known.
    replays: HashMap<ReplayId, Option<HookId>>,
}

impl Filed {
    /// `all` are the hooks of the whole installation, which show what tags are shared.
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

    /// The hook to which a record belongs, if it is one of these hooks. `replay_of` looks up the hook of a replay.
    pub fn hook_of(
        &mut self,
        record: &Record<LedgerOffset>,
        decoded: &LedgerRecord,
        replay_of: impl FnOnce(ReplayId) -> Option<HookId>,
    ) -> Option<&Arc<Hook>> {
        let (queue, event) = match decoded {
            LedgerRecord::Attempt(attempt) => (attempt.queue, attempt.offset),
            LedgerRecord::Settled { queue, offset, .. } => (*queue, *offset),
            _ => return None,
        };
        // The records of a replay have the tag of its hook, not of the replay.
        let is_live = queue.tag() == record.tag;
        let id = if is_live {
            queue.as_hook()
        } else {
            let replay = queue.as_replay();
            let known = *self.replays.entry(replay).or_insert_with(|| replay_of(replay));
            // The document of an old replay is gone. Its records are used only if no other hook has the same tag.
            known.or_else(|| self.only.get(&record.tag).copied().flatten())?
        };
        let hook = self.hooks.get(&id).filter(|hook| hook.id.tag() == record.tag)?;
        // An attempt of the deleted hook may have ended after the birth of the new one, so the event's offset counts, too. A
        // replay may repeat events from before the birth.
        let is_of_former_hook = record.offset < hook.birth.ledger || (is_live && event < hook.birth.events);
        (!is_of_former_hook).then_some(hook)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::Settlement;
    use super::*;
    use crate::model::{AccountId, Birth, EventOffset, Family, QueueId, Trigger};

    fn hook(id: HookId) -> Arc<Hook> {
        Arc::new(Hook::new(id, AccountId::default(), Trigger::Family(Family::Callflow), String::new()))
    }

    fn settled(queue: QueueId) -> LedgerRecord {
        LedgerRecord::Settled { queue, offset: EventOffset(5), how: Settlement::Dead }
    }

    fn record(tag: u64, offset: u64) -> Record<LedgerOffset> {
        Record { offset: LedgerOffset(offset), time_us: 0, tag, flags: 0, payload: Vec::new().into() }
    }

    /// An id that equals the given one in some shortened or derived form.
    fn alike(id: HookId, kind: u8, noise: u64) -> HookId {
        let (high, low) = (id.0 >> 64, id.0 & u128::from(u64::MAX));
        match kind {
            0 => HookId(low << 64 | high),
            1 => HookId((high ^ u128::from(noise)) << 64 | (low ^ u128::from(noise))),
            2 => AccountId(id.0).one_shot(),
            3 => HookId(id.0 ^ u128::from(noise)),
            _ => HookId(high << 64 | u128::from(noise)),
        }
    }

    proptest! {
        #[test]
        fn no_record_of_another_id_is_found(id: u128, kind in 0..5_u8, noise: u64) {
            let (one, other) = (HookId(id), alike(HookId(id), kind, noise));
            prop_assume!(one != other);
            let mut filed = Filed::new([hook(one)], &[hook(one), hook(other)]);
            let found = filed.hook_of(&record(other.tag(), 9), &settled(other.into()), |_| None).cloned();
            prop_assert_eq!(found, None);
            let replay = QueueId(!id);
            let found = filed.hook_of(&record(other.tag(), 9), &settled(replay), |_| Some(other)).cloned();
            prop_assert_eq!(found, None);
            // An old replay, under a tag that two hooks share.
            let found = filed.hook_of(&record(other.tag(), 9), &settled(QueueId(!id ^ 1)), |_| None).cloned();
            prop_assert_eq!(found, None);
            let own = filed.hook_of(&record(one.tag(), 9), &settled(one.into()), |_| None).map(|hook| hook.id);
            prop_assert_eq!(own, Some(one));
        }

        #[test]
        fn a_hook_with_the_id_of_a_deleted_one_has_no_records_from_before_its_birth(id: u128, ledger in 1..100_u64, offset: u64) {
            let mut again = Hook::clone(&hook(HookId(id)));
            again.birth = Birth { ledger: LedgerOffset(ledger), events: EventOffset(5), is_late: false };
            let mut filed = Filed::new([Arc::new(again)], &[]);
            let tag = HookId(id).tag();
            let is_found = filed.hook_of(&record(tag, offset), &settled(QueueId(id)), |_| None).is_some();
            prop_assert_eq!(is_found, offset >= ledger);
            // An attempt of the deleted hook that ended after the birth of the new one.
            let late = LedgerRecord::Settled { queue: QueueId(id), offset: EventOffset(4), how: Settlement::Dead };
            prop_assert!(filed.hook_of(&record(tag, u64::MAX), &late, |_| None).is_none());
        }
    }
}
