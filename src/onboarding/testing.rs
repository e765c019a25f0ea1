//! What several tests of this room need.

use super::reading::{KazooAccount, OwnLimits};
use crate::model::AccountId;

/// An account of a KAZOO, enabled, whose own limits have not been read.
pub(in crate::onboarding) fn account(id: u128, tree: &[u128]) -> KazooAccount {
    KazooAccount {
        id: AccountId(id),
        rev: None,
        name: Some(format!("account {id}")),
        realm: None,
        tree: tree.iter().map(|id| AccountId(*id)).collect(),
        enabled: true,
        reseller: false,
        flags: Vec::new(),
        created: None,
        limits: OwnLimits::Unknown,
    }
}
