//! Reads a KAZOO from its CouchDB: the databases `accounts`, `webhooks` and `system_config`, and from each account's
//! own database the failure limits and users. Never writes.

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Map, Value};

use super::client::{Ask, Client, Credentials, Manner, SourceError};
use super::couch_feed::{reason, strange};
use super::{ACCOUNTS, Bounds, Part, Progress, Stage, Want, fits};
use crate::kazoo::account_database;
use crate::model::{AccountId, HookId};
use crate::onboarding::odd::{Odd, OddKind};
use crate::onboarding::reading::{
    AccountDocument, KazooAccount, KazooHook, KazooLimits, KazooUser, OwnLimits, Profile, Reading,
};

type Document = Map<String, Value>;

pub(super) const WEBHOOKS: &str = "webhooks";

/// A CouchDB.
#[derive(Debug, Clone)]
pub struct Couch {
    pub(super) client: Client,
    profile: Profile,
    bounds: Bounds,
}

impl Couch {
    /// A CouchDB at an address without credentials in it.
    pub fn new(
        address: &str,
        credentials: Option<Credentials>,
        manner: Manner,
        profile: Profile,
        bounds: Bounds,
    ) -> Result<Self, SourceError> {
        Ok(Self { client: Client::new(address, credentials, manner)?, profile, bounds })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Document>, SourceError> {
        let answer = self.client.ask(Ask::get(path, &[])).await?;
        match answer.body {
            Value::Object(doc) if answer.status == 200 => Ok(Some(doc)),
            Value::Object(error) if answer.status == 404 && error.contains_key("error") => Ok(None),
            _ => Err(strange(path, "the answer is not CouchDB's; is this the address of CouchDB?")),
        }
    }

    /// A document that the reader may have no permission for.
    async fn get_if_allowed(&self, path: &str, odd: &mut Vec<Odd>) -> Result<Option<Document>, SourceError> {
        match self.get(path).await {
            Err(error) if matches!(error.status(), Some(401 | 403)) => {
                odd.push(Odd::new(OddKind::NotRead, path, format!("the reader has no permission: {error}")));
                Ok(None)
            }
            other => other,
        }
    }

    /// Reads all accounts and hooks.
    pub(super) async fn lists(&self, progress: &dyn Progress) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        self.read_system(&mut reading).await?;
        let mut stubs = Vec::new();
        let large = self
            .pages(ACCOUNTS, self.bounds.most_accounts, |doc| {
                self.take_account(&doc, &mut reading, &mut stubs);
                progress.at(Stage::Accounts, reading.accounts.len(), None);
                fits(reading.bytes)
            })
            .await?;
        reading.odd.extend(large);
        self.repair(stubs, &mut reading).await?;
        let large = self
            .pages(WEBHOOKS, self.bounds.most_hooks, |doc| {
                if let Some(hook) = KazooHook::of_document(&doc) {
                    reading.add_hook(hook);
                    progress.at(Stage::Hooks, reading.hooks.len(), None);
                } else {
                    note_bad_hook(&doc, &mut reading.odd);
                }
                fits(reading.bytes)
            })
            .await?;
        reading.odd.extend(large);
        Ok(reading)
    }

    /// Reads failure limits, which are in each account's own database.
    pub(super) async fn details(
        &self,
        wants: &[Want],
        reading: &mut Reading,
        part: Part<'_>,
    ) -> Result<(), SourceError> {
        let ids = wants.iter().filter(|want| want.limits).map(|want| want.account).collect();
        let mut reads = self.limits(ids);
        let mut done = 0;
        while let Some(read) = reads.next().await {
            let (id, limits) = read?;
            if let Some(account) = reading.accounts.get_mut(&id) {
                account.limits = limits;
            }
            done += 1;
            part.at(Stage::Limits, done);
        }
        Ok(())
    }

    async fn read_system(&self, reading: &mut Reading) -> Result<(), SourceError> {
        let accounts = self.get_if_allowed("system_config/accounts", &mut reading.odd).await?;
        let master = accounts.as_ref().and_then(|doc| doc.get("default")?.get("master_account_id")?.as_str());
        reading.master = master.and_then(|id| id.parse().ok());
        if let Some(doc) = self.get_if_allowed("system_config/webhooks", &mut reading.odd).await? {
            let sections =
                doc.iter().filter_map(|(name, section)| Some((name, KazooLimits::of(section.as_object()?))));
            for (name, limits) in sections {
                if name == "default" {
                    reading.system = limits;
                } else if limits != KazooLimits::default() {
                    let text = "the limits of this zone or node differ; those of 'default' are used here";
                    reading.odd.push(Odd::new(OddKind::LimitsDiffer, name, text));
                }
            }
        }
        Ok(())
    }

    fn take_account(&self, doc: &Document, reading: &mut Reading, stubs: &mut Vec<AccountId>) {
        match KazooAccount::found(doc, self.profile) {
            AccountDocument::Account(account) => {
                if KazooAccount::contradicts(doc) {
                    let text = "its 'enabled' and 'pvt_enabled' differ; KAZOO 5 looks at the latter alone, KAZOO 4.3 at \
                                both (profile \"4.3\")";
                    reading.odd.push(Odd::new(OddKind::EnabledContradicts, account.id, text));
                }
                note_conflicts(doc, &account.id.to_string(), &mut reading.odd);
                reading.add_account(*account);
            }
            AccountDocument::Deleted(id) => drop(reading.deleted.insert(id)),
            AccountDocument::Stub(id) => stubs.push(id),
            AccountDocument::Other => {
                let id = doc.get("_id").and_then(Value::as_str).unwrap_or_default();
                if doc.get("pvt_type").and_then(Value::as_str) == Some("account") {
                    let text = "the id does not have 32 hex digits; the account is left out";
                    reading.odd.push(Odd::new(OddKind::IdRefused, id, text));
                }
            }
        }
    }

    /// Reads the accounts of which `accounts` has only a part from their own databases.
    async fn repair(&self, stubs: Vec<AccountId>, reading: &mut Reading) -> Result<(), SourceError> {
        let mut reads = stream::iter(stubs)
            .map(async |id| (id, self.get(&format!("{}/{id}", account_database(id))).await))
            .buffer_unordered(self.client.manner.at_once);
        while let Some((id, doc)) = reads.next().await {
            let found = match doc {
                Ok(doc) => doc.map(|doc| KazooAccount::found(&doc, self.profile)),
                Err(error) if matches!(error.status(), Some(401 | 403)) => None,
                Err(error) => return Err(error),
            };
            let rest = match found {
                Some(AccountDocument::Account(account)) => {
                    reading.add_account(*account);
                    "the account's own database has the complete document, which is used"
                }
                _ => "the account's own database does not have it either; the account is left out",
            };
            let text = format!("the database 'accounts' has only a part of the account; {rest}");
            reading.odd.push(Odd::new(OddKind::Stub, id, text));
        }
        Ok(())
    }

    /// The failure limits of accounts, in any order.
    fn limits(
        &self,
        accounts: Vec<AccountId>,
    ) -> impl Stream<Item = Result<(AccountId, OwnLimits), SourceError>> + Unpin {
        let read = async |id: AccountId| {
            let own = match self.get(&format!("{}/configs_webhooks", account_database(id))).await {
                Ok(Some(doc)) => OwnLimits::Own(KazooLimits::of(&doc)),
                Ok(None) => OwnLimits::Absent,
                Err(error) if matches!(error.status(), Some(401 | 403)) => OwnLimits::Unknown,
                Err(error) => return Err(error),
            };
            Ok((id, own))
        };
        Box::pin(stream::iter(accounts).map(read).buffer_unordered(self.client.manner.at_once))
    }

    /// Reads the users of all accounts.
    pub(super) async fn users(
        &self,
        reading: &mut Reading,
        progress: &dyn Progress,
    ) -> Result<(), SourceError> {
        let read = async |id: AccountId| {
            let path = format!("{}/_design/users/_view/crossbar_listing", account_database(id));
            let query = [("include_docs", "true".to_owned())];
            (id, self.client.ask(Ask::get(&path, &query)).await)
        };
        let accounts: Vec<_> = reading.accounts.keys().copied().collect();
        let of = accounts.len();
        let mut reads = stream::iter(accounts).map(read).buffer_unordered(self.client.manner.at_once);
        let (mut users, mut done) = (Vec::new(), 0);
        while let Some((account, answer)) = reads.next().await {
            let answer = answer?;
            let rows = answer.body.get("rows").and_then(Value::as_array);
            if rows.is_none() {
                let text = format!("its users could not be read: {}", reason(&answer.body));
                reading.odd.push(Odd::new(OddKind::NotRead, account, text));
            }
            let docs = rows.into_iter().flatten().filter_map(|row| row.get("doc")?.as_object());
            users.extend(docs.filter_map(|doc| KazooUser::of_document(account, doc)));
            done += 1;
            progress.at(Stage::Users, done, Some(of));
        }
        users.sort_by(|a, b| a.id.cmp(&b.id));
        reading.users = users;
        Ok(())
    }

    /// Reads some accounts and hooks again. The answer does not contain missing ones.
    pub(super) async fn reread(
        &self,
        accounts: &[AccountId],
        hooks: &[HookId],
    ) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let mut stubs = Vec::new();
        for doc in self.keyed(ACCOUNTS, accounts).await? {
            self.take_account(&doc, &mut reading, &mut stubs);
        }
        self.repair(stubs, &mut reading).await?;
        for doc in self.keyed(WEBHOOKS, hooks).await? {
            if let Some(hook) = KazooHook::of_document(&doc) {
                reading.add_hook(hook);
            }
        }
        let wants: Vec<_> = reading.accounts.keys().map(|id| Want { account: *id, limits: true }).collect();
        self.details(&wants, &mut reading, Part { progress: &(), before: 0, of: wants.len() }).await?;
        Ok(reading)
    }
}

fn note_conflicts(doc: &Document, id: &str, odd: &mut Vec<Odd>) {
    if doc.get("_conflicts").and_then(Value::as_array).is_some_and(|revs| !revs.is_empty()) {
        let text = "CouchDB has conflicting revisions of the document; the winning one is used";
        odd.push(Odd::new(OddKind::Conflicts, id, text));
    }
}

fn note_bad_hook(doc: &Document, odd: &mut Vec<Odd>) {
    let text = |field: &str| doc.get(field).and_then(Value::as_str);
    let is_deleted = doc.get("pvt_deleted").is_some_and(|flag| *flag == true);
    if text("pvt_type") == Some("webhook") && !is_deleted {
        let id = text("_id").unwrap_or_default();
        odd.push(Odd::new(
            OddKind::IdRefused,
            id,
            "its id or its account's id does not have 32 hex digits; the hook is left out",
        ));
    }
}
