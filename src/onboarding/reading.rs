//! Reads accounts, hooks, users and failure limits from KAZOO's documents. Pure.
//!
//! Documents are reduced to the fields that we use while they are read. Promise: no secret of an account's document
//! (API key, signature secret, tokens) leaves this file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::odd::Odd;
use crate::model::{AccountId, FailureLimits, HookId};

type Document = Map<String, Value>;

/// How a version of KAZOO stores whether an account is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// KAZOO 5: `pvt_enabled` alone decides.
    #[default]
    Current,
    /// KAZOO 4.3: `enabled` and `pvt_enabled` both decide.
    Classic,
}

/// An account's own failure limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnLimits {
    /// They could not be read: the stored limits stay.
    #[default]
    Unknown,
    /// The account has none.
    Absent,
    /// Its document; the system decides the values that the document lacks.
    Own(KazooLimits),
}

/// Failure limits. An ancestor decides an absent value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KazooLimits {
    /// The number of failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The time within which they are counted, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
}

impl KazooLimits {
    /// The limits in a document `configs_webhooks`, or in a section of the system's `webhooks`.
    #[must_use]
    pub fn of(doc: &Document) -> Self {
        let number = |field: &str| doc.get(field).and_then(Value::as_u64);
        Self {
            count: number("attempt_failure_count").and_then(|count| u32::try_from(count).ok()),
            window_ms: number("attempt_failure_expiry_ms").filter(|ms| *ms > 0),
        }
    }

    /// The limits in the form that the router uses.
    #[must_use]
    pub fn model(self) -> FailureLimits {
        FailureLimits { count: self.count, window_ms: self.window_ms }
    }
}

/// One account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KazooAccount {
    /// Its id.
    pub id: AccountId,
    /// The revision of the document that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its SIP realm, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// `pvt_tree`: its ancestors, the parent last.
    pub tree: Vec<AccountId>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether it is a reseller.
    pub reseller: bool,
    /// Labels that operators give accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Value>,
    /// When it was created, in Gregorian seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Its failure limits.
    #[serde(default)]
    pub limits: OwnLimits,
}

/// A document of the database `accounts`.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountDocument {
    /// An account.
    Account(Box<KazooAccount>),
    /// A deleted account whose document still exists.
    Deleted(AccountId),
    /// A part of an account's document; the account's own database has the complete document.
    Stub(AccountId),
    /// Something else.
    Other,
}

impl KazooAccount {
    /// Reads the account of a document from either database.
    #[must_use]
    pub fn found(doc: &Document, profile: Profile) -> AccountDocument {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        let flag = |field: &str| doc.get(field).and_then(flag_of);
        let Some(id) = text("_id").and_then(|id| id.parse().ok()) else { return AccountDocument::Other };
        if flag("pvt_deleted") == Some(true) || flag("_deleted") == Some(true) {
            return AccountDocument::Deleted(id);
        }
        if text("pvt_type").is_some_and(|kind| kind != "account") {
            return AccountDocument::Other;
        }
        let tree = doc.get("pvt_tree").and_then(Value::as_array);
        let (Some(tree), Some("account")) = (tree.and_then(|tree| ids(tree)), text("pvt_type")) else {
            return AccountDocument::Stub(id);
        };
        let is_public_on = profile == Profile::Current || flag("enabled").unwrap_or(true);
        AccountDocument::Account(Box::new(Self {
            id,
            rev: text("_rev").map(str::to_owned),
            name: text("name").map(str::to_owned),
            realm: text("realm").map(str::to_owned),
            tree,
            enabled: flag("pvt_enabled").unwrap_or(true) && is_public_on,
            reseller: flag("pvt_reseller").unwrap_or(false),
            flags: doc.get("flags").and_then(Value::as_array).cloned().unwrap_or_default(),
            created: doc.get("pvt_created").and_then(Value::as_u64),
            limits: OwnLimits::Unknown,
        }))
    }

    /// The least number of bytes of its texts.
    fn bytes(&self) -> usize {
        let texts = [&self.name, &self.realm].map(|text| text.as_ref().map_or(0, String::len));
        texts.iter().sum::<usize>() + self.tree.len() * size_of::<AccountId>() + json_bytes(&self.flags)
    }

    /// Whether the two fields for whether an account is enabled contradict each other.
    #[must_use]
    pub fn contradicts(doc: &Document) -> bool {
        let flag = |field: &str| doc.get(field).and_then(flag_of).unwrap_or(true);
        flag("enabled") != flag("pvt_enabled") && doc.contains_key("enabled")
    }
}

/// The ids of a tree; `None`: one of them is invalid.
fn ids(tree: &[Value]) -> Option<Vec<AccountId>> {
    tree.iter().map(|id| id.as_str()?.parse().ok()).collect()
}

fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

/// A boolean, or a string with the text of one.
fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KazooHook {
    /// Its id.
    pub id: HookId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// The revision of its document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<String>,
    /// Its public fields.
    pub doc: Document,
    /// Why KAZOO disabled it, if KAZOO did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_message: Option<String>,
}

/// Fields that KAZOO only shows, or once stored by mistake. They are not part of a hook.
const SHOWN_ONLY: [&str; 4] = ["id", "disable_reason", "paused", "secrets"];

impl KazooHook {
    /// The hook in a stored document; `None`: the document is not a hook, or is deleted.
    #[must_use]
    pub fn of_document(doc: &Document) -> Option<Self> {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        let is_deleted = |field: &str| doc.get(field).and_then(flag_of) == Some(true);
        if text("pvt_type") != Some("webhook") || is_deleted("pvt_deleted") || is_deleted("_deleted") {
            return None;
        }
        let (id, account) = (text("_id")?.parse().ok()?, text("pvt_account_id")?.parse().ok()?);
        let mut hook = Self::of_public(id, account, doc);
        hook.rev = text("_rev").map(str::to_owned);
        hook.disabled_message = text("pvt_disabled_message").map(str::to_owned);
        Some(hook)
    }

    /// The hook in a document as KAZOO's API shows it.
    #[must_use]
    pub fn of_public(id: HookId, account: AccountId, doc: &Document) -> Self {
        let is_public =
            |key: &str| !key.starts_with('_') && !key.starts_with("pvt_") && !SHOWN_ONLY.contains(&key);
        let public = doc.iter().filter(|(key, value)| is_public(key) && !value.is_null());
        let doc = public.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { id, account, rev: None, doc, disabled_message: None }
    }

    /// Whether the hook is enabled. The default is true.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.doc.get("enabled").and_then(flag_of).unwrap_or(true)
    }
}

/// A secret that is as good as a password: prints as `***` and is never written to a file.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A person who logs in to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KazooUser {
    /// Their id.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The revision of their document.
    pub rev: String,
    /// The name that they log in with.
    pub username: String,
    /// Whether they administer the account.
    pub is_admin: bool,
    /// Whether they may log in.
    pub enabled: bool,
    /// MD5 of name and password.
    pub md5: Option<PasswordHash>,
    /// SHA-1 of name and password.
    pub sha1: Option<PasswordHash>,
}

impl KazooUser {
    /// The user in a document of an account's database; `None`: it has no name or no password to log in with.
    #[must_use]
    pub fn of_document(account: AccountId, doc: &Document) -> Option<Self> {
        let text = |field: &str| doc.get(field).and_then(Value::as_str);
        let is_deleted = doc.get("pvt_deleted").and_then(flag_of) == Some(true);
        if text("pvt_type") != Some("user") || is_deleted {
            return None;
        }
        let hash = |field: &str, digits: usize| {
            let text = text(field).map(str::to_ascii_lowercase)?;
            let is_hash = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then_some(PasswordHash(text))
        };
        let (md5, sha1) = (hash("pvt_md5_auth", 32), hash("pvt_sha1_auth", 40));
        let username = text("username").filter(|name| !name.is_empty() && name.len() <= 254)?;
        (md5.is_some() || sha1.is_some()).then_some(())?;
        Some(Self {
            id: text("_id")?.to_owned(),
            account,
            rev: text("_rev").unwrap_or_default().to_owned(),
            username: username.to_lowercase(),
            is_admin: text("priv_level") == Some("admin"),
            // KAZOO's views find only users with an explicit `enabled`.
            enabled: doc.get("enabled").and_then(flag_of) == Some(true),
            md5,
            sha1,
        })
    }
}

/// The content of a KAZOO, as far as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Its master account, if the KAZOO names it.
    pub master: Option<AccountId>,
    /// The failure limits of the system; absent: KAZOO's defaults.
    pub system: KazooLimits,
    /// Accounts by id.
    pub accounts: BTreeMap<AccountId, KazooAccount>,
    /// Deleted accounts whose documents still exist.
    pub deleted: BTreeSet<AccountId>,
    /// Hooks by id.
    pub hooks: BTreeMap<HookId, KazooHook>,
    /// Users, if they were requested.
    pub users: Vec<KazooUser>,
    /// Oddities that were found while reading.
    pub odd: Vec<Odd>,
    /// Whether everything was read. Only then can a document be missing in KAZOO.
    pub is_complete: bool,
    /// The least number of bytes in the texts of accounts and hooks.
    pub bytes: usize,
}

impl Reading {
    /// Adds an account, in place of one with its id.
    pub fn add_account(&mut self, account: KazooAccount) {
        self.bytes += account.bytes();
        let before = self.accounts.insert(account.id, account);
        self.bytes = self.bytes.saturating_sub(before.map_or(0, |before| before.bytes()));
    }

    /// Adds a hook, in place of one with its id.
    pub fn add_hook(&mut self, hook: KazooHook) {
        self.bytes += json_bytes(&hook.doc);
        let before = self.hooks.insert(hook.id, hook);
        self.bytes = self.bytes.saturating_sub(before.map_or(0, |before| json_bytes(&before.doc)));
    }

    /// The master account: the configured one. Otherwise the oldest account without a parent, as KAZOO chooses it.
    #[must_use]
    pub fn master(&self) -> Option<AccountId> {
        let oldest = || {
            let roots = self.accounts.values().filter(|account| account.tree.is_empty());
            roots.min_by_key(|account| (account.created.unwrap_or(u64::MAX), account.id)).map(|root| root.id)
        };
        self.master.or_else(oldest)
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
