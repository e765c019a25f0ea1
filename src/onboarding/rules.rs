//! How a plan is made, and which part of a reading it is about.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::model::AccountId;

/// The part of a reading that a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// All accounts and hooks. Only such a plan can find missing documents.
    #[default]
    All,
    /// These accounts with all accounts below them, and all hooks of the reading.
    Below(BTreeSet<AccountId>),
    /// These accounts and their hooks.
    Only(BTreeSet<AccountId>),
}

impl Scope {
    /// Whether the plan is about an account, whose ancestors are `tree`.
    pub(super) fn has_account(&self, id: AccountId, tree: &[AccountId]) -> bool {
        match self {
            Self::All => true,
            Self::Below(tops) => tops.contains(&id) || tree.iter().any(|above| tops.contains(above)),
            Self::Only(accounts) => accounts.contains(&id),
        }
    }

    /// Whether the plan is about the hooks of an account.
    pub(super) fn has_hook_of(&self, account: AccountId) -> bool {
        !matches!(self, Self::Only(accounts) if !accounts.contains(&account))
    }
}

/// How a plan is made.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Addresses that hooks may name although they are special (`delivery.allow_addresses`).
    pub allow: Vec<IpNet>,
    /// The largest number of hooks of one account (`limits.max_hooks_per_account`).
    pub most_hooks: usize,
    /// The largest document, in bytes (`limits.max_document_bytes`).
    pub most_bytes: usize,
    /// Import a hook once, and leave it alone afterwards.
    pub hooks_once: bool,
    /// Do not move an account while KAZOO has moved only a part of its tree.
    pub half_moved_wait: bool,
    /// Whether limits that are remembered with an account are kept up to date even if nothing else changes. Without it, two
    /// imports from different sources would change each other's.
    pub remembers_limits: bool,
    /// What the plan is about.
    pub scope: Scope,
}
