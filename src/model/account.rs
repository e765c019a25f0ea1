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
    /// When failures disable one of its hooks, where it differs from its reseller and the system.
    pub failure_limits: FailureLimits,
}

/// When failed attempts disable a hook; what is absent is decided further up (KAZOO's account configuration
/// `webhooks`, `docs/kazoo/webhooks.md#disabling`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureLimits {
    /// `attempt_failure_count`: so many failures; 0 never disables.
    pub count: Option<u32>,
    /// `attempt_failure_expiry_ms`: within this time.
    pub window_ms: Option<u64>,
}

impl FailureLimits {
    /// These limits, with another's where they say nothing.
    #[must_use]
    pub fn or(self, further_up: Self) -> Self {
        Self { count: self.count.or(further_up.count), window_ms: self.window_ms.or(further_up.window_ms) }
    }
}
