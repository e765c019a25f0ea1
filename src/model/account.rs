//! An account in the tree of accounts.

use super::AccountId;

/// The parts of an account that routing and delivery need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Account id.
    pub id: AccountId,
    /// Ancestors, root first (KAZOO's `pvt_tree`); empty for the master account.
    pub tree: Vec<AccountId>,
    /// Display name.
    pub name: String,
    /// SIP realm, if it has one.
    pub realm: Option<String>,
    /// Whether the account is a reseller. The nearest reseller above an event's account becomes `reseller_id`.
    pub is_reseller: bool,
    /// Whether the account's tokens and hooks work.
    pub enabled: bool,
    /// The failure limits of the account's hooks, where they differ from the reseller's and the system's.
    pub failure_limits: FailureLimits,
}

/// The failures that disable a hook. An absent value is taken from the reseller or the system (KAZOO's account
/// configuration `webhooks`, `docs/kazoo/webhooks.md#disabling`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureLimits {
    /// `attempt_failure_count`: number of failures; 0 never disables.
    pub count: Option<u32>,
    /// `attempt_failure_expiry_ms`: time within which the failures count.
    pub window_ms: Option<u64>,
}

impl FailureLimits {
    /// These limits, with absent values taken from another's.
    #[must_use]
    pub fn or(self, further_up: Self) -> Self {
        Self { count: self.count.or(further_up.count), window_ms: self.window_ms.or(further_up.window_ms) }
    }
}
