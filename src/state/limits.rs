//! The limits of an account: how many and how large documents it may have, and how fast it may change them.
//!
//! A document that exceeds a limit introduced later stays: it can be read, made smaller, disabled and deleted. The
//! program's own changes are not limited.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::document::{JournalEntry, Kind, is_deleted, owner};
use crate::model::{AccountId, ByteRate};

/// The limits. Each corresponds to a key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of one document's public fields, as JSON.
    pub document_bytes: usize,
    /// Webhooks of one account.
    pub hooks: usize,
    /// Users of one account.
    pub users: usize,
    /// API keys of one account.
    pub api_keys: usize,
    /// Accounts directly below one account.
    pub children: usize,
    /// The number of ancestors of an account.
    pub depth: usize,
    /// Soft-deleted hooks of one account, and soft-deleted accounts of one tenant, whose documents are kept.
    pub deleted: usize,
    /// Bytes of all documents of a tenant with all its accounts, including soft-deleted ones. Does not apply to
    /// changes of the master account.
    pub tenant_bytes: u64,
    /// The rate of one account's changes, in bytes of journal and audit trail. The master account has no rate.
    pub changes: ByteRate,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            document_bytes: 64 << 10,
            hooks: 10_000,
            users: 10_000,
            api_keys: 1000,
            children: 100_000,
            depth: 32,
            deleted: 1000,
            tenant_bytes: 256 << 20,
            changes: ByteRate { burst: 4 << 20, per_second: 64 << 10 },
        }
    }
}

/// The limit that a change would exceed. The text names the key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The document would be too large.
    #[error("document would have {bytes} bytes, at most {max} are allowed (limits.max_document_bytes)")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The account already has the most documents of this kind.
    #[error("account may have at most {max} {what} (limits.max_{what}_per_account)")]
    TooMany {
        /// `hooks`, `users`, `api_keys` or `children`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The account would have too many ancestors.
    #[error(
        "account would have {depth} accounts above it, at most {max} are allowed (limits.max_account_depth)"
    )]
    TooDeep {
        /// The number of ancestors.
        depth: usize,
        /// The limit.
        max: usize,
    },
    /// The documents of the tenant use all of its space.
    #[error(
        "the tenant's documents, with those of all its accounts, would take more than {max} bytes \
         (limits.max_tenant_bytes); delete some: accounts, users, keys, or webhooks with should_soft_delete=false"
    )]
    TenantFull {
        /// The limit.
        max: u64,
    },
    /// The account makes changes too fast.
    #[error("account makes changes too fast (limits.change_bytes_per_second)")]
    TooFast {
        /// The time until the same change would be accepted.
        wait: Duration,
    },
}

impl DocumentLimits {
    /// Refuses a document that is too large, unless it does not grow or is deleted.
    pub(super) fn check_size(
        &self,
        before: Option<&Map<String, Value>>,
        after: Option<&Map<String, Value>>,
    ) -> Result<(), LimitError> {
        let Some(after) = after.filter(|doc| !is_deleted(doc)) else { return Ok(()) };
        let (bytes, max) = (public_bytes(after), self.document_bytes);
        if bytes <= max || before.is_some_and(|before| bytes <= public_bytes(before)) {
            return Ok(());
        }
        Err(LimitError::TooLarge { bytes, max })
    }

    /// Refuses an account that would be too deep in the tree, unless it is not deeper than before.
    pub(super) fn check_depth(
        &self,
        before: Option<&Map<String, Value>>,
        after: Option<&Map<String, Value>>,
    ) -> Result<(), LimitError> {
        let depth_of = |doc: Option<&Map<String, Value>>| {
            doc.filter(|doc| !is_deleted(doc)).and_then(|doc| doc.get("pvt_tree")?.as_array().map(Vec::len))
        };
        let (depth, max) = (depth_of(after).unwrap_or(0), self.depth);
        if depth <= max || depth_of(before).is_some_and(|before| depth <= before) {
            return Ok(());
        }
        Err(LimitError::TooDeep { depth, max })
    }

    /// The name and limit of a kind of document in an account; `None` when documents of the kind are not counted.
    pub(super) fn most(&self, kind: Kind) -> Option<(&'static str, usize)> {
        match kind {
            Kind::Hook => Some(("hooks", self.hooks)),
            Kind::User => Some(("users", self.users)),
            Kind::Key => Some(("api_keys", self.api_keys)),
            Kind::Account => Some(("children", self.children)),
            Kind::Setting | Kind::Replay | Kind::Revocation | Kind::Link => None,
        }
    }
}

/// The size of the fields that clients write. The flag `enabled` does not count, so a document that is too large can be
/// disabled.
fn public_bytes(doc: &Map<String, Value>) -> usize {
    let is_public = |name: &str| !name.starts_with('_') && !name.starts_with("pvt_") && name != "enabled";
    let fields = doc.iter().filter(|(name, _)| is_public(name));
    // 4 bytes for the quotes, the colon and the comma.
    fields.map(|(name, value)| name.len() + 4 + json_bytes(value)).sum()
}

/// The size of a value as JSON.
pub(super) fn json_bytes(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}

/// Whether a change frees space or reduces work. Such changes are accepted even when the disk is nearly full.
pub(super) fn cleans_up(before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> bool {
    let Some(after) = after.filter(|doc| !is_deleted(doc)) else { return true };
    let is_on = |doc: &Map<String, Value>| {
        let flag = |name| doc.get(name).and_then(Value::as_bool).unwrap_or(true);
        flag("enabled") && flag("pvt_enabled")
    };
    before.is_some_and(is_on) && !is_on(after)
}

/// The account that a document counts for: its owner, or the parent of an account. Deleted documents do not count.
pub(super) fn holder(kind: Kind, doc: Option<&Map<String, Value>>) -> Option<AccountId> {
    let doc = doc.filter(|doc| !is_deleted(doc))?;
    match kind {
        Kind::Account => doc.get("pvt_tree")?.as_array()?.last()?.as_str()?.parse().ok(),
        Kind::Hook | Kind::User | Kind::Key => owner(doc),
        Kind::Setting | Kind::Replay | Kind::Revocation | Kind::Link => None,
    }
}

/// The number of documents of each kind in every account.
#[derive(Debug, Default)]
pub(super) struct Census {
    of: HashMap<(Kind, String), AccountId>,
    counts: HashMap<(Kind, AccountId), usize>,
}

impl Census {
    /// Counts a document in its present form.
    pub(super) fn note(&mut self, entry: &JournalEntry) {
        let (kind, key) = (entry.kind, (entry.kind, entry.id.clone()));
        let now = holder(kind, entry.doc.as_ref());
        let before = match now {
            Some(account) => self.of.insert(key, account),
            None => self.of.remove(&key),
        };
        if before == now {
            return;
        }
        if let Some(account) = now {
            *self.counts.entry((kind, account)).or_default() += 1;
        }
        if let Some(account) = before {
            let count = self.counts.entry((kind, account)).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&(kind, account));
            }
        }
    }

    /// The number of documents of a kind that an account has.
    pub(super) fn count(&self, kind: Kind, account: AccountId) -> usize {
        self.counts.get(&(kind, account)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doc(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_document_above_the_limit_may_shrink_be_disabled_and_be_deleted() {
        let limits = DocumentLimits { document_bytes: 100, ..DocumentLimits::default() };
        let large = doc(&json!({"custom_data": "x".repeat(200), "enabled": true, "_rev": "1-a"}));
        let with = |name: &str, value: Value| {
            let mut changed = large.clone();
            changed.insert(name.to_owned(), value);
            limits.check_size(Some(&large), Some(&changed))
        };
        assert!(limits.check_size(None, Some(&large)).is_err());
        assert!(with("name", json!("n")).is_err());
        assert_eq!(with("custom_data", json!("x".repeat(150))), Ok(()));
        assert_eq!(with("enabled", json!(false)), Ok(()));
        assert_eq!(with("pvt_deleted", json!(true)), Ok(()));
        assert_eq!(
            with("pvt_request_id", json!("r".repeat(256))),
            Ok(()),
            "clients do not write private fields"
        );
        assert_eq!(limits.check_size(Some(&large), None), Ok(()));
    }

    #[test]
    fn deleting_and_disabling_clean_up_and_enabling_does_not() {
        let on = doc(&json!({"name": "n"}));
        let off = doc(&json!({"enabled": false}));
        let deleted = doc(&json!({"pvt_deleted": true}));
        assert!(cleans_up(Some(&on), None) && cleans_up(Some(&on), Some(&deleted)));
        assert!(cleans_up(Some(&on), Some(&off)) && !cleans_up(Some(&off), Some(&off)));
        assert!(
            !cleans_up(Some(&off), Some(&on)) && !cleans_up(None, Some(&off)) && !cleans_up(None, Some(&on))
        );
    }

    #[test]
    fn documents_count_for_the_account_that_has_them_now() {
        let mut census = Census::default();
        let mut put = |kind, id: &str, value: Option<Value>| {
            census.note(&JournalEntry { kind, id: id.to_owned(), doc: value.as_ref().map(doc) });
            [1, 2].map(|account| census.count(kind, AccountId(account)))
        };
        let of = |account: u128| Some(json!({"pvt_account_id": AccountId(account)}));
        assert_eq!(put(Kind::Hook, "a", of(1)), [1, 0]);
        assert_eq!(put(Kind::Hook, "a", of(1)), [1, 0]);
        assert_eq!(put(Kind::Hook, "b", of(1)), [2, 0]);
        assert_eq!(put(Kind::Hook, "b", of(2)), [1, 1]);
        assert_eq!(
            put(Kind::Hook, "a", Some(json!({"pvt_account_id": AccountId(1), "pvt_deleted": true}))),
            [0, 1]
        );
        assert_eq!(put(Kind::Hook, "b", None), [0, 0]);
        assert_eq!(put(Kind::Account, "c", Some(json!({"pvt_tree": [AccountId(1), AccountId(2)]}))), [0, 1]);
    }
}
