//! The ids of accounts and hooks, found by their tags, so that a new id is compared with the few that it could collide with
//! and not with all.

use std::collections::BTreeSet;

use super::document::Kind;
use crate::model::DocumentId;

/// Ids in use, each under the tags of itself and of the id derived from it.
#[derive(Debug, Default)]
pub(super) struct Ids(BTreeSet<(u64, DocumentId, Kind)>);

impl Ids {
    pub(super) fn add(&mut self, id: DocumentId, kind: Kind) {
        self.0.extend(tags(id).map(|tag| (tag, id, kind)));
    }

    pub(super) fn remove(&mut self, id: DocumentId, kind: Kind) {
        for tag in tags(id) {
            self.0.remove(&(tag, id, kind));
        }
    }

    /// Whether an id cannot be used for a new document of a kind: a document of another kind has it, or it collides with
    /// an id in use. A document of the same kind and id is not considered.
    pub(super) fn is_taken(&self, id: DocumentId, kind: Kind) -> bool {
        let with_tag = |tag| {
            // The least entry with this tag, because `Account` is the first kind.
            let range = (tag, DocumentId(0), Kind::Account)..;
            self.0.range(range).take_while(move |(of, ..)| *of == tag)
        };
        let is_taken =
            |(_, other, of): &(u64, DocumentId, Kind)| (*other == id && *of != kind) || other.collides(id);
        tags(id).into_iter().flat_map(with_tag).any(is_taken)
    }
}

fn tags(id: DocumentId) -> [u64; 2] {
    [id.tag(), id.one_shot().tag()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ids of few kinds of tags: equal ones, ids with the same tag, and derived ids.
    fn ids() -> impl Strategy<Value = (DocumentId, Kind)> {
        (0..4_u128, 0..3_u128, any::<bool>(), any::<bool>()).prop_map(
            |(number, salt, is_derived, is_hook)| {
                let id = DocumentId((number ^ salt) << 64 | salt);
                (
                    if is_derived { DocumentId::from(id.one_shot()) } else { id },
                    if is_hook { Kind::Hook } else { Kind::Account },
                )
            },
        )
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_comparison_with_all_ids_finds(
            used in prop::collection::vec(ids(), 0..4), (given, kind) in ids(),
        ) {
            let mut index = Ids::default();
            for (id, kind) in &used {
                index.add(*id, *kind);
            }
            let is_taken = |(other, of): &(DocumentId, Kind)| (*other == given && *of != kind) || other.collides(given);
            prop_assert_eq!(index.is_taken(given, kind), used.iter().any(is_taken));
            for (id, kind) in &used {
                index.remove(*id, *kind);
            }
            prop_assert!(index.0.is_empty());
        }
    }
}
