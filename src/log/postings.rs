//! The places of one tag's records in one segment: numbers and positions, delta-coded, about four bytes for each
//! record.
//!
//! Every 128th entry is marked, so that a lookup in a long list decodes only a part of it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;

use super::bytes::{put_varint, small, take_varint};

const STRIDE: u32 = 128;

/// A record's number and position within its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct RecordPlace {
    pub(super) seq: u32,
    pub(super) pos: u32,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Postings {
    bytes: Vec<u8>,
    count: u32,
    last: RecordPlace,
    /// For every 128th entry: the entry before it, and the position of its bytes.
    marks: Vec<(RecordPlace, u32)>,
}

impl Postings {
    /// Adds a record. Both numbers must be larger than those of the record before.
    pub(super) fn push(&mut self, place: RecordPlace) {
        if self.count > 0 && self.count.is_multiple_of(STRIDE) {
            self.marks.push((self.last, small(self.bytes.len() as u64)));
        }
        put_varint(&mut self.bytes, u64::from(place.seq.wrapping_sub(self.last.seq)));
        put_varint(&mut self.bytes, u64::from(place.pos.wrapping_sub(self.last.pos)));
        self.last = place;
        self.count += 1;
    }

    /// The bytes for the index file, and the number of entries.
    pub(super) fn encoded(&self) -> (&[u8], u32) {
        (&self.bytes, self.count)
    }

    /// Decodes the bytes that `encoded` returned; `None` when they are malformed.
    pub(super) fn decode(bytes: &[u8], count: u32) -> Option<Self> {
        let mut list = Self { bytes: Vec::with_capacity(bytes.len()), ..Self::default() };
        let mut rest = bytes;
        for _ in 0..count {
            let place = next(&mut rest, list.last)?;
            list.push(place);
        }
        rest.is_empty().then_some(list)
    }

    /// Approximate size in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.capacity() + self.marks.capacity() * size_of::<(RecordPlace, u32)>() + size_of::<Self>()
    }

    /// The entries from record `seq` on, in order.
    pub(super) fn from(&self, seq: u32) -> impl Iterator<Item = RecordPlace> + '_ {
        let before = self.marks.partition_point(|(place, _)| place.seq < seq);
        self.entries_behind(before).skip_while(move |place| place.seq < seq)
    }

    /// The last `most` entries before record `seq`, in order.
    pub(super) fn before(&self, seq: u32, most: usize) -> Vec<RecordPlace> {
        let before = self.marks.partition_point(|(place, _)| place.seq < seq);
        let blocks = most.div_ceil(STRIDE as usize);
        let mut found: Vec<RecordPlace> =
            self.entries_behind(before.saturating_sub(blocks)).take_while(|place| place.seq < seq).collect();
        found.drain(..found.len().saturating_sub(most));
        found
    }

    /// Entries from the `marks`-th mark on; 0 means from the start.
    fn entries_behind(&self, marks: usize) -> impl Iterator<Item = RecordPlace> + '_ {
        let start = marks.checked_sub(1).and_then(|at| self.marks.get(at)).copied();
        let (mut last, at) = start.unwrap_or_default();
        let mut rest = self.bytes.get(at as usize..).unwrap_or(&[]);
        std::iter::from_fn(move || {
            last = next(&mut rest, last)?;
            Some(last)
        })
    }
}

/// The first `most` records of several lists within a range, in order and each once. Decodes little more of each list than
/// is taken from it, because there may be thousands of lists.
pub(super) fn first_places(lists: &[&Postings], seqs: Range<u32>, most: usize) -> Vec<RecordPlace> {
    let within = |place: &RecordPlace| place.seq < seqs.end;
    let mut lists: Vec<_> = lists.iter().map(|list| list.from(seqs.start).take_while(within)).collect();
    let firsts = lists.iter_mut().enumerate().filter_map(|(at, list)| Some(Reverse((list.next()?, at))));
    let mut firsts: BinaryHeap<_> = firsts.collect();
    let mut places = Vec::new();
    while places.len() < most
        && let Some(Reverse((place, at))) = firsts.pop()
    {
        if places.last() != Some(&place) {
            places.push(place);
        }
        firsts.extend(lists.get_mut(at).and_then(Iterator::next).map(|place| Reverse((place, at))));
    }
    places
}

/// The last `most` records of several lists before record `seq`, in order and each once.
pub(super) fn last_places(lists: &[&Postings], seq: u32, most: usize) -> Vec<RecordPlace> {
    let mut places: BTreeSet<RecordPlace> = BTreeSet::new();
    for list in lists {
        let is_full = |places: &BTreeSet<RecordPlace>| places.len() == most;
        // Not decoded: of thousands of lists, most end before the last records of all.
        if is_full(&places) && places.first().is_none_or(|first| list.last <= *first) {
            continue;
        }
        for place in list.before(seq, most).into_iter().rev() {
            // The list's other records are further to the front.
            if is_full(&places) && places.first().is_some_and(|first| place <= *first) {
                break;
            }
            places.insert(place);
            if places.len() > most {
                places.pop_first();
            }
        }
    }
    places.into_iter().collect()
}

fn next(rest: &mut &[u8], last: RecordPlace) -> Option<RecordPlace> {
    let seq = u32::try_from(take_varint(rest)?).ok()?;
    let pos = u32::try_from(take_varint(rest)?).ok()?;
    Some(RecordPlace { seq: last.seq.checked_add(seq)?, pos: last.pos.checked_add(pos)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: u32) -> Vec<RecordPlace> {
        (0..count).map(|n| RecordPlace { seq: n * 3, pos: 32 + n * 500 }).collect()
    }

    fn list(places: &[RecordPlace]) -> Postings {
        let mut list = Postings::default();
        for place in places {
            list.push(*place);
        }
        list
    }

    #[test]
    fn entries_are_found_from_any_record_in_both_directions() {
        for count in [0, 1, 127, 128, 129, 700] {
            let all = places(count);
            let list = list(&all);
            for seq in [0, 1, 2, 3, 380, 384, 385, 1000, 3000] {
                let expected: Vec<_> = all.iter().copied().filter(|p| p.seq >= seq).collect();
                assert_eq!(list.from(seq).collect::<Vec<_>>(), expected, "{count} from {seq}");
                for most in [0, 1, 5, 128, 300, 5000] {
                    let mut expected: Vec<_> = all.iter().copied().filter(|p| p.seq < seq).collect();
                    expected.drain(..expected.len().saturating_sub(most));
                    assert_eq!(list.before(seq, most), expected, "{count}: {most} before {seq}");
                }
            }
        }
    }

    #[test]
    fn several_lists_are_read_as_one_from_either_end() {
        let all = places(900);
        let of = |remainders: &[usize]| {
            let is_one = |(at, _): &(usize, &RecordPlace)| remainders.contains(&(at % 5));
            all.iter().enumerate().filter(is_one).map(|(_, place)| *place).collect::<Vec<_>>()
        };
        let parts = [list(&of(&[0])), list(&of(&[1])), list(&of(&[3]))];
        // The same list twice, as for two accounts with the same tag.
        let lists = [&parts[0], &parts[2], &parts[1], &parts[0]];
        let joined = of(&[0, 1, 3]);
        for seq in [0, 1, 700, 1400, 2700, 5000] {
            for most in [0, 1, 7, 200, 5000] {
                let from: Vec<_> = joined.iter().copied().filter(|p| p.seq >= seq && p.seq < 2000).collect();
                assert_eq!(first_places(&lists, seq..2000, most), from[..most.min(from.len())]);
                let before: Vec<_> = joined.iter().copied().filter(|p| p.seq < seq).collect();
                assert_eq!(last_places(&lists, seq, most), before[before.len().saturating_sub(most)..]);
            }
        }
    }

    #[test]
    fn only_bytes_that_were_encoded_are_decoded() {
        let all = places(300);
        let list = list(&all);
        let (bytes, count) = list.encoded();
        let again = Postings::decode(bytes, count).unwrap();
        assert_eq!(again.from(0).collect::<Vec<_>>(), all);
        assert!(Postings::decode(bytes, count + 1).is_none());
        assert!(Postings::decode(bytes, count - 1).is_none());
    }
}
