//! Hints name accounts and hooks that may have changed in a KAZOO. They come from its messages and from feeds of
//! changes, in any order, repeated or lost. A hint makes the sync read a document again; it may also name the least
//! revision to expect.
//!
//! Promise: hints take bounded memory. When more hints wait than are kept apart, the sync reads everything instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio::sync::Notify;

use super::revisions::Generation;
use crate::kazoo::database_account;
use crate::model::{AccountId, Event, HookId, Source};

/// The largest number of accounts and hooks that wait by name.
const MOST: usize = 5000;

/// A document that may have changed, with the revision that it has at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// An account, or its failure limits.
    Account(AccountId, Option<Generation>),
    /// A hook, and its account if that is known.
    Hook(HookId, Option<AccountId>, Option<Generation>),
    /// The failure limits of the system, or a change so large that reading everything is simpler.
    All,
}

/// The hint in a message from KAZOO's broker. A client could submit the same message, so messages from clients give
/// no hint.
pub(super) fn hint_of(event: &Event<'_>) -> Option<Hint> {
    if event.source != Source::Amqp || event.exchange != "configuration" || !event.name.starts_with("doc_") {
        return None;
    }
    let mut parts = event.routing_key.split('.').skip(1);
    let (database, kind) = (parts.next()?, parts.next()?);
    hint(database, kind, event.subject, event.account, generation(event.body))
}

/// The revision in a message.
fn generation(body: &[u8]) -> Option<Generation> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "Rev")]
        rev: String,
    }
    Generation::of(&serde_json::from_slice::<Named>(body).ok()?.rev)
}

fn hint(
    database: &str,
    kind: &str,
    id: &str,
    account: Option<AccountId>,
    generation: Option<Generation>,
) -> Option<Hint> {
    match (database, kind) {
        ("accounts", _) => Some(Hint::Account(id.parse().ok()?, generation)),
        // KAZOO omits the type when it deletes a hook because the hook's account is deleted.
        ("webhooks", "webhook" | "undefined") => Some(Hint::Hook(id.parse().ok()?, account, generation)),
        ("system_config", _) => matches!(id, "webhooks" | "accounts").then_some(Hint::All),
        // The account's own database has a copy with revisions of its own, which cannot be compared with the
        // aggregate's.
        (database, "account" | "account_config") => {
            let is_ours = kind == "account" || id == "configs_webhooks";
            let account = database_account(database).filter(|_| is_ours)?;
            Some(Hint::Account(account, None))
        }
        _ => None,
    }
}

/// The hint in a line of a feed of changes.
pub(super) fn hint_of_change(is_account: bool, id: &str, rev: Option<&str>) -> Option<Hint> {
    let database = if is_account { "accounts" } else { "webhooks" };
    hint(database, "undefined", id, None, rev.and_then(Generation::of))
}

/// A hook to read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PendingHook {
    /// Its account, if that is known.
    pub(super) account: Option<AccountId>,
    /// The revision that it has at least.
    pub(super) generation: Option<Generation>,
}

/// The hints that wait.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pending {
    /// Accounts to read again, with the revision that each has at least.
    pub(super) accounts: BTreeMap<AccountId, Option<Generation>>,
    /// Hooks to read again.
    pub(super) hooks: BTreeMap<HookId, PendingHook>,
    /// Read everything.
    pub(super) all: bool,
}

impl Pending {
    /// Adds a hint.
    pub(super) fn add(&mut self, hint: Hint) {
        match hint {
            Hint::Account(id, generation) => {
                let known = self.accounts.entry(id).or_default();
                *known = generation.max(*known);
            }
            Hint::Hook(id, account, generation) => {
                let known = self.hooks.entry(id).or_default();
                known.account = account.or(known.account);
                known.generation = generation.max(known.generation);
            }
            Hint::All => self.all = true,
        }
        if self.count() > MOST {
            *self = Self { all: true, ..Self::default() };
        }
    }

    /// The number of accounts and hooks that wait.
    pub(super) fn count(&self) -> usize {
        self.accounts.len() + self.hooks.len()
    }
}

/// Collects hints until a round takes them.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pending: Mutex<Pending>,
    ring: Notify,
}

impl Hints {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hint.
    pub(super) fn add(&self, hint: Hint) {
        self.pending().add(hint);
        self.ring.notify_one();
    }

    /// Waits for a hint.
    pub(super) async fn rung(&self) {
        self.ring.notified().await;
    }

    /// Takes all hints.
    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending())
    }

    /// Returns hints whose documents could not be read.
    pub(super) fn put_back(&self, pending: Pending) {
        let mut now = self.pending();
        for (id, generation) in pending.accounts {
            now.add(Hint::Account(id, generation));
        }
        for (id, PendingHook { account, generation }) in pending.hooks {
            now.add(Hint::Hook(id, account, generation));
        }
        now.all |= pending.all;
    }

    /// The number of accounts and hooks that wait.
    pub(super) fn count(&self) -> usize {
        self.pending().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Encoding, Mended};

    #[test]
    fn messages_name_the_documents_to_read_again() {
        let (account, hook) = (AccountId(7), HookId(9));
        let own = crate::kazoo::account_database(account);
        let third = Generation::of("3-ab");
        let cases = [
            ("accounts", "account", account.to_string(), Some(Hint::Account(account, third))),
            (&own, "account", account.to_string(), Some(Hint::Account(account, None))),
            (&own, "account_config", "configs_webhooks".to_owned(), Some(Hint::Account(account, None))),
            (&own, "account_config", "configs_callflow".to_owned(), None),
            (&own, "user", hook.to_string(), None),
            ("webhooks", "webhook", hook.to_string(), Some(Hint::Hook(hook, Some(account), third))),
            ("webhooks", "undefined", hook.to_string(), Some(Hint::Hook(hook, Some(account), third))),
            ("webhooks", "webhook", "no-id".to_owned(), None),
            ("system_config", "config", "webhooks".to_owned(), Some(Hint::All)),
            ("system_config", "config", "ecallmgr".to_owned(), None),
        ];
        for (database, kind, id, expected) in cases {
            assert_eq!(hint(database, kind, &id, Some(account), third), expected, "{database} {kind} {id}");
        }
    }

    #[test]
    fn only_messages_of_the_broker_count_and_not_what_clients_submit() {
        let (id, key) = (AccountId(7).to_string(), "doc_edited.accounts.account.x");
        let event = |source, exchange| Event {
            source,
            encoding: Encoding::Plain,
            family: None,
            account: Some(AccountId(7)),
            internal_leg: false,
            mended: Mended::default(),
            quarantine: None,
            category: "configuration",
            name: "doc_edited",
            subject: &id,
            msg_id: "m",
            detail: "account",
            exchange,
            routing_key: key,
            trace: None,
            trace_state: "",
            handed_in: None,
            body: br#"{"Rev": "3-ab"}"#,
        };
        let third = Generation::of("3-ab");
        assert_eq!(hint_of(&event(Source::Amqp, "configuration")), Some(Hint::Account(AccountId(7), third)));
        assert_eq!(hint_of(&event(Source::Amqp, "callevt")), None);
        assert_eq!(hint_of(&event(Source::Http, "")), None);
        assert_eq!(hint_of(&event(Source::Internal, "configuration")), None);
    }

    #[test]
    fn a_flood_of_hints_takes_bounded_memory_and_everything_is_read() {
        let mut pending = Pending::default();
        for number in 0..=MOST as u128 {
            pending.add(Hint::Account(AccountId(number), None));
        }
        assert_eq!(pending, Pending { all: true, ..Pending::default() });
    }

    #[test]
    fn a_hint_without_a_revision_does_not_erase_a_known_one() {
        let mut pending = Pending::default();
        let (second, third) = (Generation::of("2-ab"), Generation::of("3-ab"));
        pending.add(Hint::Hook(HookId(1), Some(AccountId(2)), third));
        pending.add(Hint::Hook(HookId(1), None, second));
        let known = PendingHook { account: Some(AccountId(2)), generation: third };
        assert_eq!(pending.hooks.get(&HookId(1)), Some(&known));
    }
}
