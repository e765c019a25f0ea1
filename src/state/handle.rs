//! The handle of the state. Reads return at once; writes return when they are on disk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::audit_page::{self, AuditPage, AuditQuery};
use super::document::Kind;
use super::first_start::Settings;
use super::index::IndexError;
use super::keys;
use super::shared::Shared;
use super::write::{By, MirroredBy, StateRequest, Write, WriteError};
use crate::log;
use crate::model::{Account, AccountId, Actor, FailureLimits, Hook, HookId};

type Document = Map<String, Value>;

/// Accounts, hooks, keys and settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Sender<StateRequest>,
    pub(super) settings: Arc<Settings>,
    /// The hash of the configured master key. When set, the stored key of the first start is not valid.
    pub(super) master_key: Option<String>,
    /// The actor that the audit trail names for changes through this handle.
    pub(super) by: By,
    pub(super) trail: log::Reader,
    pub(super) kept: log::Reader,
}

impl State {
    /// A handle whose changes the audit trail attributes to `actor`.
    #[must_use]
    pub fn acting_for(&self, actor: Actor) -> Self {
        Self { by: Some(Arc::new(actor)), ..self.clone() }
    }

    /// A counter that changes after every change of documents, once reads return the new documents.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// The identity that was created on the first start.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A document as stored, with its private fields. Returns soft-deleted documents too.
    pub fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        self.shared.index()?.get(kind, id)
    }

    /// All documents of a kind, in order of their ids.
    pub fn all(&self, kind: Kind) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.all(kind)
    }

    /// At most `most` documents of a kind, from an id on (existing or not), by rising or falling ids. Returns soft-deleted
    /// documents too.
    pub fn some(
        &self,
        kind: Kind,
        from: Option<&str>,
        ascending: bool,
        most: usize,
    ) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.some(kind, from, ascending, most)
    }

    /// The hook documents of an account in order of their ids, without deleted ones.
    pub fn hooks_of(&self, account: AccountId) -> Result<Vec<Document>, IndexError> {
        self.owned(Kind::Hook, account)
    }

    /// At most `most` hook documents of an account, from an id on (existing or not), by rising or falling ids.
    pub fn hooks_from(
        &self,
        account: AccountId,
        from: Option<HookId>,
        ascending: bool,
        most: usize,
    ) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.hooks_from(account, from, ascending, most)
    }

    /// The documents of a kind that an account owns, in order of their ids, without deleted ones.
    pub fn owned(&self, kind: Kind, account: AccountId) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.owned(kind, account)
    }

    /// The user of an account whose credentials have this hash (KAZOO's two forms of credentials).
    pub fn user_with(&self, account: AccountId, verifier: &str) -> Result<Option<Document>, IndexError> {
        self.shared.index()?.behind(Kind::User, &keys::verifier(account, verifier))
    }

    /// Writes all documents or none. Returns them as stored, in order, once they are durable.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Document>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(StateRequest::Write { writes, by: self.by.clone(), mirrored: None, reply }, answer).await
    }

    /// Writes documents of another system, like [`State::write`] but without an event, because the other system has
    /// announced the changes already.
    pub(super) async fn write_mirrored(
        &self,
        writes: Vec<Write>,
        by: MirroredBy,
    ) -> Result<Vec<Document>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(StateRequest::Write { writes, by: self.by.clone(), mirrored: Some(by), reply }, answer).await
    }

    /// Changes one document atomically and returns it as stored.
    pub async fn update(
        &self,
        kind: Kind,
        id: &str,
        edit: impl FnOnce(&mut Document) + Send + 'static,
    ) -> Result<Document, WriteError> {
        let (reply, answer) = oneshot::channel();
        let by = self.by.clone();
        let command = StateRequest::Update { kind, id: id.to_owned(), edit: Box::new(edit), by, reply };
        let written = self.ask(command, answer).await?;
        Ok(written.into_iter().next().unwrap_or_default())
    }

    /// Whether the owner task answers within the time. Requests are answered in order, so earlier ones are done then.
    pub async fn is_alive(&self, within: Duration) -> bool {
        // No document has this id, so nothing is changed or written.
        let asked = self.update(Kind::Setting, "", |_| {});
        let answered = tokio::time::timeout(within, asked).await;
        answered.is_ok_and(|answer| !matches!(answer, Err(WriteError::Unavailable(_))))
    }

    async fn ask(
        &self,
        command: StateRequest,
        answer: oneshot::Receiver<Result<Vec<Document>, WriteError>>,
    ) -> Result<Vec<Document>, WriteError> {
        let ended = || WriteError::Unavailable("the program is ending".into());
        self.commands.send(command).await.map_err(|_| ended())?;
        // Without an answer, the change may be on disk or not.
        answer.await.map_err(|_| ended())?
    }

    /// An account that is not deleted.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.shared.view().account(id)
    }

    /// The account with a SIP realm, in any spelling.
    #[must_use]
    pub fn account_of_realm(&self, realm: &str) -> Option<AccountId> {
        self.shared.view().account_of_realm(realm)
    }

    /// The accounts with a name, in any spelling. The order is fair: an account comes before its descendants, and the
    /// branches of the tree take turns.
    #[must_use]
    pub fn accounts_named(&self, name: &str) -> Vec<Arc<Account>> {
        self.shared.view().accounts_named(name)
    }

    /// The number of an account's revocations whose tokens have not expired.
    #[must_use]
    pub fn live_revocations(&self, account: AccountId, now_s: u64) -> usize {
        self.shared.view().revoked.live(account, now_s)
    }

    /// The ids of at most `most` revocations whose tokens have expired, oldest first.
    #[must_use]
    pub fn expired_revocations(&self, now_s: u64, most: usize) -> Vec<String> {
        self.shared.view().revoked.over(now_s, most)
    }

    /// The tenant of an account: the account itself or the ancestor that is directly below the master account. Only the
    /// master account creates tenants, so no account can multiply its part of what tenants share.
    #[must_use]
    pub fn tenant_of(&self, id: AccountId) -> AccountId {
        self.shared.view().tenant_of(id)
    }

    /// The accounts of a tenant in order of their ids, including the tenant itself. Does not search other tenants.
    #[must_use]
    pub fn accounts_of_tenant(&self, tenant: AccountId) -> Vec<AccountId> {
        self.shared.view().tenants.accounts(tenant)
    }

    /// All accounts, in order of their ids.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.shared.view().accounts()
    }

    /// Accounts directly below an account, in order of their ids.
    #[must_use]
    pub fn children(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.shared.view().children(id)
    }

    /// All accounts below an account, in order of their ids.
    #[must_use]
    pub fn descendants(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.shared.view().descendants(id)
    }

    /// Whether `ancestor` is `id` itself or above it.
    #[must_use]
    pub fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        self.shared.view().is_ancestor_or_self(ancestor, id)
    }

    /// Whether an account exists and is enabled, and its failure limits. Limits that the account does not set come
    /// from its reseller, otherwise from the master account.
    #[must_use]
    pub fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        self.shared.view().standing(id)
    }

    /// The nearest reseller above an account, otherwise the master account. `None` for the master account itself.
    #[must_use]
    pub fn reseller_of(&self, id: AccountId) -> Option<AccountId> {
        self.shared.view().reseller_of(id)
    }

    /// A hook that is not deleted, in its compiled form.
    #[must_use]
    pub fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        self.shared.view().hook(id)
    }

    /// All hooks that are not deleted, disabled ones included.
    #[must_use]
    pub fn all_hooks(&self) -> Vec<Arc<Hook>> {
        self.shared.view().hooks()
    }

    /// Why documents can no longer be read or written, if so. A restart rebuilds the index.
    #[must_use]
    pub fn index_failure(&self) -> Option<String> {
        self.shared.failure().map(str::to_owned)
    }

    /// Reads a page of the audit trail. Blocking.
    pub fn audit(&self, query: &AuditQuery) -> Result<AuditPage, log::ReadError> {
        audit_page::page(&self.kept, &self.trail, query)
    }

    /// The log of the audit trail, for metrics and health.
    #[must_use]
    pub fn trail(&self) -> &log::Reader {
        &self.trail
    }

    /// The log of the kept entries of the audit trail, for metrics and health.
    #[must_use]
    pub fn kept_trail(&self) -> &log::Reader {
        &self.kept
    }

    /// The journal, for metrics and health.
    #[must_use]
    pub fn journal(&self) -> &log::Reader {
        &self.shared.journal
    }
}
