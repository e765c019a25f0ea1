//! Limits how many accounts and hooks the sync may delete because they are missing in KAZOO. Pure.

use crate::state::Kind;

/// This many accounts, and this many hooks, may always be deleted within the time, whatever the percentage is.
const ALWAYS: usize = 10;
/// Deletions within this many seconds are counted together.
const WITHIN_S: u64 = 3600;

/// The deletions of the last hour.
#[derive(Debug)]
pub(super) struct Allowance {
    /// The part of the imported documents that may be deleted within the time.
    percent: usize,
    since_s: u64,
    accounts: usize,
    hooks: usize,
}

impl Allowance {
    /// Nothing has been deleted yet.
    pub(super) fn new(percent: usize) -> Self {
        Self { percent, since_s: 0, accounts: 0, hooks: 0 }
    }

    /// Whether `count` more may be deleted now. `all` is the number of imported documents, without those deleted
    /// already. `Err` has the limit.
    pub(super) fn check(&mut self, kind: Kind, count: usize, all: usize, now_s: u64) -> Result<(), usize> {
        if now_s.saturating_sub(self.since_s) >= WITHIN_S {
            *self = Self { since_s: now_s, ..Self::new(self.percent) };
        }
        let deleted = *self.of(kind);
        // The percentage is of all documents at the start of the hour, so those deleted since then count too.
        let most = ((all + deleted) * self.percent / 100).max(ALWAYS);
        if deleted + count > most { Err(most) } else { Ok(()) }
    }

    /// Counts a deletion.
    pub(super) fn count(&mut self, kind: Kind) {
        *self.of(kind) += 1;
    }

    fn of(&mut self, kind: Kind) -> &mut usize {
        if kind == Kind::Hook { &mut self.hooks } else { &mut self.accounts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_of_an_hour_are_counted_together() {
        let mut allowance = Allowance::new(10);
        assert_eq!(allowance.check(Kind::Hook, 51, 500, 10_000), Err(50));
        for _ in 0..5 {
            assert_eq!(allowance.check(Kind::Hook, 10, 500, 10_000), Ok(()));
            (0..10).for_each(|_| allowance.count(Kind::Hook));
        }
        assert_eq!(allowance.check(Kind::Hook, 1, 450, 10_060), Err(50));
        assert_eq!(allowance.check(Kind::Account, 10, 20, 10_060), Ok(()), "ten are always allowed");
        assert_eq!(allowance.check(Kind::Hook, 45, 450, 14_000), Ok(()), "an hour later");
    }
}
