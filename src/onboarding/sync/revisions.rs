//! Remembers the last applied revision of each document, so that a database replica that lags behind does not undo a
//! change. Pure.
//!
//! Promise: a document older than the last applied one, or older than a hint says, is not applied at first. If the
//! same older revision is read repeatedly, it is applied: a database that was restored from a backup keeps its older
//! revisions.

use std::collections::HashMap;

use crate::model::DocumentId;
use crate::state::Kind;

/// The number of times for which an older revision is not applied.
const MOST_DOUBTS: u8 = 3;

/// The number in a CouchDB revision: `7` of `7-41c0aa`. Each change of the document raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

impl Generation {
    /// The generation of a revision; `None`: it does not have CouchDB's form.
    pub(super) fn of(rev: &str) -> Option<Self> {
        rev.split_once('-')?.0.parse().ok().map(Self)
    }
}

struct AppliedRevision {
    generation: Generation,
    doubts: u8,
}

/// The last applied revision of each document.
#[derive(Default)]
pub(super) struct Revisions(HashMap<(Kind, DocumentId), AppliedRevision>);

impl Revisions {
    /// Whether to apply a document that was read. `hinted` is the revision in a hint.
    pub(super) fn accept(
        &mut self,
        key: (Kind, DocumentId),
        read: Option<Generation>,
        hinted: Option<Generation>,
    ) -> bool {
        let Some(read) = read else { return true };
        let known = self.0.entry(key).or_insert(AppliedRevision { generation: read, doubts: 0 });
        if Some(read) >= hinted.max(Some(known.generation)) || known.doubts >= MOST_DOUBTS {
            *known = AppliedRevision { generation: read, doubts: 0 };
            return true;
        }
        known.doubts += 1;
        false
    }

    /// Forgets a deleted document.
    pub(super) fn forget(&mut self, key: (Kind, DocumentId)) {
        self.0.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_revision_counts_only_after_several_readings() {
        let (mut revisions, key) = (Revisions::default(), (Kind::Hook, DocumentId(1)));
        let of = Generation::of;
        assert!(revisions.accept(key, of("2-a"), None));
        assert!(!revisions.accept(key, of("2-a"), of("3-b")), "the hint has a later revision");
        assert!(revisions.accept(key, of("3-b"), of("3-b")));
        assert!((0..MOST_DOUBTS).all(|_| !revisions.accept(key, of("2-a"), None)));
        assert!(revisions.accept(key, of("2-a"), None), "restored from a backup");
        assert!(revisions.accept(key, of("3-c"), None));
        assert!(revisions.accept(key, None, of("9-x")), "the API names no revisions");
        revisions.forget(key);
        assert!(revisions.accept(key, of("1-a"), None));
    }

    #[test]
    fn a_revision_begins_with_its_number() {
        assert_eq!(Generation::of("12-ab"), Some(Generation(12)));
        assert!(Generation::of("10-a") > Generation::of("9-f"));
        assert_eq!((Generation::of(""), Generation::of("x-1")), (None, None));
    }
}
