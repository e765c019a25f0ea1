//! An account: a tenant in the tree.

use super::AccountId;

/// What the way of an event needs to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its ancestors, root first (KAZOO's `pvt_tree`); empty for the master account.
    pub tree: Vec<AccountId>,
    /// Name, as shown.
    pub name: String,
    /// SIP realm, if it has one.
    pub realm: Option<String>,
    /// Whether it resells: the nearest reseller above an event's account is its `reseller_id`.
    pub is_reseller: bool,
    /// Whether its tokens and hooks work.
    pub enabled: bool,
}
