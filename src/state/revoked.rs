//! Revoked tokens by account and by expiry, so that adding a revocation does not read all others.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::document::{JournalEntry, Kind, owner};
use crate::model::AccountId;

/// Revocations ordered by the expiry of their token, in seconds since 1970.
type ByTime = BTreeSet<(u64, String)>;

/// All stored revocations.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    of: HashMap<String, (u64, Option<AccountId>)>,
    all: ByTime,
    by_account: HashMap<AccountId, ByTime>,
}

impl Revoked {
    /// Takes a document in its present form.
    pub(super) fn note(&mut self, entry: &JournalEntry) {
        if entry.kind != Kind::Revocation {
            return;
        }
        // The former entry goes first: a token that is revoked again may have a later expiry by now.
        if let Some((expiry, account)) = self.of.remove(&entry.id) {
            let key = (expiry, entry.id.clone());
            self.all.remove(&key);
            if let Some(account) = account
                && let Some(own) = self.by_account.get_mut(&account)
            {
                own.remove(&key);
                if own.is_empty() {
                    self.by_account.remove(&account);
                }
            }
        }
        let Some(doc) = &entry.doc else { return };
        let expiry = doc.get("exp").and_then(Value::as_u64).unwrap_or(0);
        let key = (expiry, entry.id.clone());
        if let Some(account) = owner(doc) {
            self.by_account.entry(account).or_default().insert(key.clone());
        }
        self.all.insert(key);
        self.of.insert(entry.id.clone(), (expiry, owner(doc)));
    }

    /// The number of an account's revocations whose tokens have not expired.
    pub(super) fn live(&self, account: AccountId, now_s: u64) -> usize {
        let after = (now_s.saturating_add(1), String::new());
        self.by_account.get(&account).map_or(0, |own| own.range(after..).count())
    }

    /// The ids of at most `most` revocations whose tokens have expired, oldest first.
    pub(super) fn over(&self, now_s: u64, most: usize) -> Vec<String> {
        self.all
            .iter()
            .take_while(|(expiry, _)| *expiry <= now_s)
            .take(most)
            .map(|(_, id)| id.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn revocations_count_for_their_account_until_their_tokens_expire() {
        let mut revoked = Revoked::default();
        let mut put = |id: &str, account: u128, expiry: Option<u64>| {
            let doc = expiry.map(|exp| json!({"exp": exp, "pvt_account_id": AccountId(account)}));
            let doc = doc.and_then(|doc| doc.as_object().cloned());
            revoked.note(&JournalEntry { kind: Kind::Revocation, id: id.to_owned(), doc });
            ([1, 2].map(|account| revoked.live(AccountId(account), 10)), revoked.over(10, 2))
        };
        let over = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(put("a", 1, Some(11)), ([1, 0], over(&[])));
        assert_eq!(put("a", 1, Some(11)), ([1, 0], over(&[])), "once");
        assert_eq!(put("b", 2, Some(10)), ([1, 0], over(&["b"])));
        assert_eq!(put("c", 2, Some(12)), ([1, 1], over(&["b"])));
        assert_eq!(put("b", 2, None), ([1, 1], over(&[])));
        assert_eq!(put("a", 1, None), ([0, 1], over(&[])));
        assert!(revoked.by_account.len() == 1 && revoked.of.len() == 1);
    }
}
