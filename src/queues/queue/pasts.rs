//! What is known of deliveries that have been tried and are not in the window.
//!
//! A hook whose receiver is down has dozens of them. While the hook is disabled, only the number of attempts of each matters,
//! because all tries begin again when the hook is enabled. So that number is kept by itself: it takes a third of the memory.

use std::collections::BTreeMap;

use super::window::Past;
use crate::model::EventOffset;

/// The pasts of deliveries by offset. Each is known either whole or only by its number of attempts.
#[derive(Debug, Default)]
pub(super) struct Pasts {
    whole: BTreeMap<EventOffset, Past>,
    attempts: BTreeMap<EventOffset, u16>,
}

impl Pasts {
    /// Whether nothing is known of any delivery.
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.attempts.is_empty()
    }

    /// Whether something is known of a delivery.
    pub(super) fn contains(&self, offset: EventOffset) -> bool {
        self.whole.contains_key(&offset) || self.attempts.contains_key(&offset)
    }

    /// Adds a past, or replaces that of the same offset.
    pub(super) fn insert(&mut self, offset: EventOffset, past: Past) {
        self.take(offset);
        if is_whole(&past) {
            self.whole.insert(offset, past);
        } else {
            self.attempts.insert(offset, past.attempts);
        }
    }

    /// Adds pasts, or replaces those of the same offsets.
    pub(super) fn extend(&mut self, pasts: impl IntoIterator<Item = (EventOffset, Past)>) {
        let (whole, rest): (Vec<_>, Vec<_>) = pasts.into_iter().partition(|(_, past)| is_whole(past));
        for (offset, _) in whole.iter().chain(&rest) {
            self.take(*offset);
        }
        // A map that is filled one by one in descending order takes twice the memory.
        self.whole.append(&mut whole.into_iter().collect());
        self.attempts.append(&mut rest.into_iter().map(|(offset, past)| (offset, past.attempts)).collect());
    }

    /// Removes and returns the past of a delivery, if anything is known of it.
    pub(super) fn take(&mut self, offset: EventOffset) -> Option<Past> {
        let whole = self.whole.remove(&offset);
        whole.or_else(|| self.attempts.remove(&offset).map(Past::of_attempts))
    }

    /// Every delivery gets new tries: only the numbers of attempts are kept.
    pub(super) fn forget_tries(&mut self) {
        if !self.whole.is_empty() {
            let whole = std::mem::take(&mut self.whole);
            self.attempts
                .append(&mut whole.into_iter().map(|(offset, past)| (offset, past.attempts)).collect());
        }
    }

    /// Forgets the deliveries below an offset.
    pub(super) fn forget_below(&mut self, next: EventOffset) {
        if !self.is_empty() {
            self.whole = self.whole.split_off(&next);
            self.attempts = self.attempts.split_off(&next);
        }
    }

    /// All pasts: the whole ones first, each kind by offset.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EventOffset, Past)> {
        let attempts = self.attempts.iter().map(|(offset, attempts)| (*offset, Past::of_attempts(*attempts)));
        self.whole.iter().map(|(offset, past)| (*offset, *past)).chain(attempts)
    }
}

/// Whether more is known than the number of attempts.
fn is_whole(past: &Past) -> bool {
    *past != Past::of_attempts(past.attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    fn past(attempts: u16, tries: u16) -> Past {
        Past { attempts, tries, due: Some(Moment::from_micros(7)), first_failed: None }
    }

    #[test]
    fn a_past_is_the_same_whichever_way_it_is_kept() {
        let mut pasts = Pasts::default();
        let known = [(3, past(2, 1)), (1, Past::of_attempts(4)), (2, past(0, 1)), (5, Past::default())];
        pasts.extend(known.map(|(offset, past)| (EventOffset(offset), past)));
        // A later past replaces an earlier one of the other kind.
        pasts.extend([(EventOffset(3), Past::of_attempts(9))]);
        pasts.insert(EventOffset(1), past(5, 5));
        let mut found: Vec<_> = pasts.iter().collect();
        found.sort_by_key(|(offset, _)| *offset);
        let expected = [(1, past(5, 5)), (2, past(0, 1)), (3, Past::of_attempts(9)), (5, Past::default())];
        assert_eq!(found, expected.map(|(offset, past)| (EventOffset(offset), past)));
        assert!(pasts.contains(EventOffset(3)) && !pasts.contains(EventOffset(4)));
        assert_eq!(pasts.take(EventOffset(3)), Some(Past::of_attempts(9)));
        assert_eq!((pasts.take(EventOffset(3)), pasts.take(EventOffset(4))), (None, None));
    }

    #[test]
    fn forgotten_tries_leave_the_attempts_and_what_is_below_an_offset_goes() {
        let mut pasts = Pasts::default();
        pasts
            .extend((0..40).map(|offset| (EventOffset(offset), past(1 + u16::try_from(offset).unwrap(), 3))));
        pasts.forget_tries();
        pasts.extend([(EventOffset(39), past(8, 2))]);
        pasts.forget_below(EventOffset(38));
        let left = [(EventOffset(39), past(8, 2)), (EventOffset(38), Past::of_attempts(39))];
        assert_eq!(pasts.iter().collect::<Vec<_>>(), left);
        pasts.forget_below(EventOffset(40));
        assert!(pasts.is_empty());
    }
}
