//! The handle that everybody holds: reads answer at once, writes when they are on disk.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};

use super::audit::{self, AuditPage, AuditQuery};
use super::document::Kind;
use super::first_start::Settings;
use super::index::IndexError;
use super::keys;
use super::shared::Shared;
use super::write::{By, Command, Write, WriteError};
use crate::log;
use crate::model::{Account, AccountId, Actor, FailureLimits, Hook, HookId};

type Document = Map<String, Value>;

/// Accounts, hooks, keys and settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) settings: Arc<Settings>,
    /// Hash of the configured master key; the stored one does not count then.
    pub(super) master_key: Option<String>,
    /// Whose changes this handle makes, for the audit trail.
    pub(super) by: By,
    pub(super) trail: log::Reader,
    pub(super) kept: log::Reader,
}

impl State {
    /// The same handle, whose changes the audit trail gives this actor.
    #[must_use]
    pub fn acting_for(&self, actor: Actor) -> Self {
        Self { by: Some(Arc::new(actor)), ..self.clone() }
    }

    /// Changes with every change of documents, after reads show it.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    /// What was made on the first start.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A document as stored, private fields and soft-deleted ones included.
    pub fn get(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        self.shared.index()?.get(kind, id)
    }

    /// All documents of a kind, in order of id.
    pub fn all(&self, kind: Kind) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.all(kind)
    }

    /// An account's hook documents in order of id, without deleted ones.
    pub fn hooks_of(&self, account: AccountId) -> Result<Vec<Document>, IndexError> {
        self.owned(Kind::Hook, account)
    }

    /// Some of them: from a hook's id on (whether or not it is there), by rising or falling ids, `most` at most.
    pub fn hooks_from(
        &self,
        account: AccountId,
        from: Option<HookId>,
        ascending: bool,
        most: usize,
    ) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.hooks_from(account, from, ascending, most)
    }

    /// What an account owns of a kind, in order of id, without deleted documents.
    pub fn owned(&self, kind: Kind, account: AccountId) -> Result<Vec<Document>, IndexError> {
        self.shared.index()?.owned(kind, account)
    }

    /// The user of an account who logs in with what makes this verifier.
    pub fn user_with(&self, account: AccountId, verifier: &str) -> Result<Option<Document>, IndexError> {
        self.shared.index()?.behind(Kind::User, &keys::verifier(account, verifier))
    }

    /// Writes documents, all or none, durable before this answers; answers them as stored, in order.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Vec<Document>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Write { writes, by: self.by.clone(), told: true, reply }, answer).await
    }

    /// The same by the program itself, without an event that tells of it: whose documents these are has told already.
    pub(super) async fn write_untold(&self, writes: Vec<Write>) -> Result<Vec<Document>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Write { writes, by: None, told: false, reply }, answer).await
    }

    /// Changes one document in place, with nothing between read and write; answers it as stored.
    pub async fn update(
        &self,
        kind: Kind,
        id: &str,
        edit: impl FnOnce(&mut Document) + Send + 'static,
    ) -> Result<Document, WriteError> {
        let (reply, answer) = oneshot::channel();
        let by = self.by.clone();
        let command = Command::Update { kind, id: id.to_owned(), edit: Box::new(edit), by, reply };
        let written = self.ask(command, answer).await?;
        Ok(written.into_iter().next().unwrap_or_default())
    }

    /// Whether changes are at work: what is asked here is answered behind all that was asked before.
    pub async fn is_alive(&self, within: Duration) -> bool {
        // No document has this id: nothing is changed, and nothing is written.
        let asked = self.update(Kind::Setting, "", |_| {});
        let answered = tokio::time::timeout(within, asked).await;
        answered.is_ok_and(|answer| !matches!(answer, Err(WriteError::Unavailable(_))))
    }

    async fn ask(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<Vec<Document>, WriteError>>,
    ) -> Result<Vec<Document>, WriteError> {
        let ended = || WriteError::Unavailable("the program is ending".into());
        self.commands.send(command).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// An account that is not deleted.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.shared.view().account(id)
    }

    /// The account with a SIP realm, however it is written.
    #[must_use]
    pub fn account_of_realm(&self, realm: &str) -> Option<AccountId> {
        self.shared.view().account_of_realm(realm)
    }

    /// The accounts with a name, however it is written. The order is fair: an account comes before those below it, and
    /// branches of the tree take turns.
    #[must_use]
    pub fn accounts_named(&self, name: &str) -> Vec<Arc<Account>> {
        self.shared.view().accounts_named(name)
    }

    /// Revocations of an account whose token would still be good.
    #[must_use]
    pub fn live_revocations(&self, account: AccountId, now_s: u64) -> usize {
        self.shared.view().revoked.live(account, now_s)
    }

    /// The ids of some revocations whose token's time is over, the oldest first.
    #[must_use]
    pub fn expired_revocations(&self, now_s: u64, most: usize) -> Vec<String> {
        self.shared.view().revoked.over(now_s, most)
    }

    /// The tenant that an account belongs to: the account right below the master account that it is or stands below. No
    /// account can multiply what is shared among tenants, because only the master account makes tenants.
    #[must_use]
    pub fn tenant_of(&self, id: AccountId) -> AccountId {
        self.shared.view().tenant_of(id)
    }

    /// The accounts of a tenant, itself included, in order of id. Quick: nothing else is looked at.
    #[must_use]
    pub fn accounts_of_tenant(&self, tenant: AccountId) -> Vec<AccountId> {
        self.shared.view().tenants.accounts(tenant)
    }

    /// All accounts, in order of id.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.shared.view().accounts()
    }

    /// Direct children, in order of id.
    #[must_use]
    pub fn children(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.shared.view().children(id)
    }

    /// All accounts below, in order of id.
    #[must_use]
    pub fn descendants(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.shared.view().descendants(id)
    }

    /// Whether `ancestor` is `id` or above it.
    #[must_use]
    pub fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        self.shared.view().is_ancestor_or_self(ancestor, id)
    }

    /// Whether an account is there and enabled, and its failure limits: its own, or else its reseller's, or else the
    /// master account's.
    #[must_use]
    pub fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        self.shared.view().standing(id)
    }

    /// The nearest reseller above an account, else the master account; `None` for the latter itself.
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

    /// Why documents cannot be read or written any more, if so; a restart makes the index again.
    #[must_use]
    pub fn index_failure(&self) -> Option<String> {
        self.shared.failure().map(str::to_owned)
    }

    /// Entries of the audit trail. Blocking.
    pub fn audit(&self, query: &AuditQuery) -> Result<AuditPage, log::ReadError> {
        audit::page(&self.kept, &self.trail, query)
    }

    /// The audit trail, for its figures and health.
    #[must_use]
    pub fn trail(&self) -> &log::Reader {
        &self.trail
    }

    /// The entries that outlived the trail's own bound, for their figures and health.
    #[must_use]
    pub fn kept_trail(&self) -> &log::Reader {
        &self.kept
    }

    /// The journal, for its figures and health.
    #[must_use]
    pub fn journal(&self) -> &log::Reader {
        &self.shared.journal
    }
}
