//! Reads a KAZOO from its API, with an API key of its master account. Rows of accounts do not show which accounts are
//! enabled or resellers. Filters on private fields show it; if a server does not know the filters, each account is
//! read separately.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Map, Value};

use super::client::SourceError;
use super::crossbar_api::{Crossbar, strange};
use super::{ACCOUNTS, Gone, HOOKS, Part, Progress, Stage, Want, fits, too_many};
use crate::model::{AccountId, DocumentId, HookId};
use crate::onboarding::odd::{Odd, OddKind};
use crate::onboarding::reading::{KazooAccount, KazooHook, KazooLimits, OwnLimits, Profile, Reading};
use crate::state::Kind;

type Document = Map<String, Value>;

impl Crossbar {
    /// Reads all accounts.
    pub(super) async fn lists(&self, progress: &dyn Progress) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let master = self.session(false).await?.account;
        reading.master = Some(master);
        if let Some(doc) = self.document_if_allowed("v2/system_configs/webhooks", &mut reading.odd).await? {
            reading.system =
                doc.get("default").and_then(Value::as_object).map(KazooLimits::of).unwrap_or_default();
        }
        let own = self.document(&format!("v2/accounts/{master}")).await?;
        let own = own.ok_or_else(|| strange("v2/accounts", "the account of the API key does not exist"))?;
        reading.add_account(account_of(master, &own, Vec::new()));
        self.descendants(master, &mut reading, progress).await?;
        Ok(reading)
    }

    /// Reads hooks and failure limits of accounts.
    pub(super) async fn details(
        &self,
        wants: &[Want],
        reading: &mut Reading,
        part: Part<'_>,
    ) -> Result<(), SourceError> {
        self.hooks(wants, reading, part).await?;
        self.limits(wants, reading, part).await
    }

    async fn document_if_allowed(
        &self,
        path: &str,
        odd: &mut Vec<Odd>,
    ) -> Result<Option<Document>, SourceError> {
        match self.document(path).await {
            Err(error) if matches!(error.status(), Some(400..=499)) => {
                odd.push(Odd::new(OddKind::NotRead, path, format!("it could not be read: {error}")));
                Ok(None)
            }
            other => other,
        }
    }

    async fn descendants(
        &self,
        master: AccountId,
        reading: &mut Reading,
        progress: &dyn Progress,
    ) -> Result<(), SourceError> {
        let path = format!("v2/accounts/{master}/descendants");
        let most = self.bounds.most_accounts;
        let rows = self.rows(&path, &[], ACCOUNTS, most).await?;
        progress.at(Stage::Accounts, rows.len(), Some(rows.len()));
        let ids = |rows: Vec<Document>| rows.iter().filter_map(id_of).collect::<BTreeSet<AccountId>>();
        let all = rows.len();
        let mut off = ids(self.rows(&path, &[("filter_pvt_enabled", "false")], ACCOUNTS, most).await?);
        if self.profile == Profile::Classic {
            off.extend(ids(self.rows(&path, &[("filter_enabled", "false")], ACCOUNTS, most).await?));
        }
        let resellers = ids(self.rows(&path, &[("filter_pvt_reseller", "true")], ACCOUNTS, most).await?);
        for row in rows {
            let (Some(id), Some(tree)) = (id_of(&row), tree_of(&row)) else {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                reading.odd.push(Odd::new(
                    OddKind::IdRefused,
                    id,
                    "its id or tree has an invalid id; the account is left out",
                ));
                continue;
            };
            let mut account = account_of(id, &row, tree);
            account.enabled = !off.contains(&id);
            account.reseller = resellers.contains(&id);
            reading.add_account(account);
        }
        // A server that does not know the filter returns all accounts.
        if all > 1 && (off.len() >= all || resellers.len() >= all) {
            self.each_account(reading, progress).await?;
        }
        Ok(())
    }

    /// Reads each account's document, for the fields that rows do not have.
    async fn each_account(&self, reading: &mut Reading, progress: &dyn Progress) -> Result<(), SourceError> {
        let ids: Vec<_> = reading.accounts.keys().copied().collect();
        let mut reads = stream::iter(ids.clone())
            .map(async |id| (id, self.document(&format!("v2/accounts/{id}")).await))
            .buffer_unordered(self.client.manner.at_once);
        let mut done = 0;
        while let Some((id, doc)) = reads.next().await {
            match doc? {
                Some(doc) => {
                    if let Some(account) = reading.accounts.get_mut(&id) {
                        take_flags(account, &doc);
                    }
                }
                None => drop(reading.accounts.remove(&id)),
            }
            done += 1;
            progress.at(Stage::Accounts, done, Some(ids.len()));
        }
        Ok(())
    }

    async fn hooks(&self, wants: &[Want], reading: &mut Reading, part: Part<'_>) -> Result<(), SourceError> {
        let mut lists = stream::iter(wants.to_vec())
            .map(async |Want { account, .. }| (account, self.hook_rows(account).await))
            .buffer_unordered(self.client.manner.at_once);
        let mut found: Vec<(AccountId, HookId, Option<String>)> = Vec::new();
        while let Some((account, rows)) = lists.next().await {
            for row in rows?.unwrap_or_default() {
                let Some(id) = id_of(&row) else { continue };
                let reason = row.get("disable_reason").and_then(Value::as_str).map(str::to_owned);
                found.push((account, id, reason));
            }
            if found.len() > self.bounds.most_hooks {
                return Err(too_many(HOOKS, self.bounds.most_hooks));
            }
        }
        // Some of them are there already if the details of these accounts were begun before.
        let new = found.iter().filter(|(_, id, _)| !reading.hooks.contains_key(id)).count();
        let all = reading.hooks.len() + new;
        if all > self.bounds.most_hooks {
            return Err(too_many(HOOKS, self.bounds.most_hooks));
        }
        let mut reads = stream::iter(found)
            .map(async |(account, id, reason)| (account, id, reason, self.hook(account, id).await))
            .buffer_unordered(self.client.manner.at_once);
        while let Some((account, id, reason, doc)) = reads.next().await {
            if let Err(SourceError::TooLarge { .. }) = doc {
                let text = "the document is larger than an answer may be; it is left out";
                reading.odd.push(Odd::new(OddKind::TooLarge, id, text));
                continue;
            }
            // `None`: the hook was deleted after the list was read.
            let Some(doc) = doc? else { continue };
            let mut hook = KazooHook::of_public(id, account, &doc);
            hook.disabled_message = reason;
            reading.add_hook(hook);
            fits(reading.bytes)?;
            part.progress.at(Stage::Hooks, reading.hooks.len(), Some(all));
        }
        Ok(())
    }

    /// The rows of an account's list of hooks; `None`: the account does not exist.
    async fn hook_rows(&self, account: AccountId) -> Result<Option<Vec<Document>>, SourceError> {
        let path = format!("v2/accounts/{account}/webhooks");
        match self.rows(&path, &[], HOOKS, self.bounds.most_hooks).await {
            Err(SourceError::Strange { .. })
                if self.document(&format!("v2/accounts/{account}")).await?.is_none() =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    async fn hook(&self, account: AccountId, id: HookId) -> Result<Option<Document>, SourceError> {
        self.document(&format!("v2/accounts/{account}/webhooks/{id}")).await
    }

    async fn limits(&self, wants: &[Want], reading: &mut Reading, part: Part<'_>) -> Result<(), SourceError> {
        let ids: Vec<_> = wants.iter().filter(|want| want.limits).map(|want| want.account).collect();
        let mut reads = stream::iter(ids)
            .map(async |id| (id, self.own_limits(id).await))
            .buffer_unordered(self.client.manner.at_once);
        let mut done = 0;
        while let Some((id, limits)) = reads.next().await {
            if let Some(account) = reading.accounts.get_mut(&id) {
                account.limits = limits?;
            }
            done += 1;
            part.at(Stage::Limits, done);
        }
        Ok(())
    }

    /// The failure limits that KAZOO uses for an account, wherever it stores them.
    async fn own_limits(&self, account: AccountId) -> Result<OwnLimits, SourceError> {
        match self.document(&format!("v2/accounts/{account}/configs/webhooks")).await {
            Ok(Some(doc)) if KazooLimits::of(&doc) != KazooLimits::default() => {
                Ok(OwnLimits::Own(KazooLimits::of(&doc)))
            }
            Ok(_) => Ok(OwnLimits::Absent),
            Err(error) if matches!(error.status(), Some(400..=499)) => Ok(OwnLimits::Unknown),
            Err(SourceError::Strange { .. }) => Ok(OwnLimits::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Reads some accounts and hooks again. An account's document has no tree here, so its ancestors are read as
    /// well.
    pub(super) async fn reread(
        &self,
        accounts: &[AccountId],
        hooks: &[(HookId, Option<AccountId>)],
    ) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let master = self.session(false).await?.account;
        let read = async |id: AccountId| -> Result<Option<KazooAccount>, SourceError> {
            let Some(doc) = self.document(&format!("v2/accounts/{id}")).await? else { return Ok(None) };
            let tree = if id == master { Vec::new() } else { self.tree(id).await? };
            let mut account = account_of(id, &doc, tree);
            take_flags(&mut account, &doc);
            account.limits = self.own_limits(id).await?;
            Ok(Some(account))
        };
        let mut reads =
            stream::iter(accounts.to_vec()).map(read).buffer_unordered(self.client.manner.at_once);
        while let Some(account) = reads.next().await {
            account?.into_iter().for_each(|account| reading.add_account(account));
        }
        drop(reads);
        let by_account: BTreeMap<_, Vec<_>> = hooks.iter().fold(BTreeMap::new(), |mut all, (id, account)| {
            all.entry(account.unwrap_or(master)).or_default().push(*id);
            all
        });
        for (account, ids) in by_account {
            let rows = self.hook_rows(account).await?.unwrap_or_default();
            for id in ids {
                let row = rows.iter().find(|row| id_of(row) == Some(id));
                let (Some(row), Some(doc)) = (row, self.hook(account, id).await?) else { continue };
                let mut hook = KazooHook::of_public(id, account, &doc);
                hook.disabled_message = row.get("disable_reason").and_then(Value::as_str).map(str::to_owned);
                reading.add_hook(hook);
            }
        }
        Ok(reading)
    }

    /// The ancestors of an account, from the caller's account down.
    async fn tree(&self, account: AccountId) -> Result<Vec<AccountId>, SourceError> {
        let path = format!("v2/accounts/{account}/tree");
        let answer = self.get(&path, &[("paginate", "false".to_owned())]).await?;
        let rows =
            answer.body.get("data").and_then(Value::as_array).ok_or_else(|| strange(&path, "no list"))?;
        let ids = rows.iter().map(|row| row.as_object().and_then(id_of::<AccountId>));
        ids.collect::<Option<Vec<_>>>().ok_or_else(|| strange(&path, "a row has no id"))
    }

    /// Asks whether a document is really gone.
    pub async fn gone(
        &self,
        kind: Kind,
        id: DocumentId,
        owner: Option<AccountId>,
    ) -> Result<Gone, SourceError> {
        let path = match (kind, owner) {
            (Kind::Account, _) => format!("v2/accounts/{id}"),
            (_, Some(owner)) => format!("v2/accounts/{owner}/webhooks/{id}"),
            // Without its account nothing can be asked, and a hook that may exist must not be deleted here.
            (_, None) => return Ok(Gone::No),
        };
        match self.document(&path).await {
            Ok(None) => Ok(Gone::Yes),
            // A document that was left out because of its size exists.
            Ok(Some(_)) | Err(SourceError::TooLarge { .. }) => Ok(Gone::No),
            // The account may have moved out of the reader's reach.
            Err(error) if error.status() == Some(403) => Ok(Gone::No),
            Err(error) => Err(error),
        }
    }
}

fn id_of<I: FromStr>(row: &Document) -> Option<I> {
    row.get("id")?.as_str()?.parse().ok()
}

fn tree_of(row: &Document) -> Option<Vec<AccountId>> {
    row.get("tree")?.as_array()?.iter().map(|id| id.as_str()?.parse().ok()).collect()
}

fn account_of(id: AccountId, doc: &Document, tree: Vec<AccountId>) -> KazooAccount {
    let text = |field: &str| doc.get(field).and_then(Value::as_str).map(str::to_owned);
    let mut account = KazooAccount {
        id,
        rev: None,
        name: text("name"),
        realm: text("realm"),
        tree,
        enabled: true,
        reseller: false,
        flags: doc.get("flags").and_then(Value::as_array).cloned().unwrap_or_default(),
        created: doc.get("created").and_then(Value::as_u64),
        limits: OwnLimits::Unknown,
    };
    take_flags(&mut account, doc);
    account
}

/// Adds the fields that a document has and a row does not.
fn take_flags(account: &mut KazooAccount, doc: &Document) {
    let flag = |field: &str| doc.get(field).and_then(Value::as_bool);
    account.enabled = flag("enabled").unwrap_or(account.enabled);
    account.reseller = flag("is_reseller").unwrap_or(account.reseller);
    account.created = doc.get("created").and_then(Value::as_u64).or(account.created);
}
