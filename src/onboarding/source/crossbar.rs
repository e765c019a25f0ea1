//! A KAZOO's API as a source, with an API key of its master account. Lists of accounts do not tell who is enabled or a
//! reseller; filters on private fields do, and where a server does not know them each account is read by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::client::{Answer, Ask, Client, Manner, SourceError};
use super::{Bounds, Gone, Progress, Stage};
use crate::model::{AccountId, HookId, Id};
use crate::onboarding::odd::{Odd, OddKind};
use crate::onboarding::reading::{KazooAccount, KazooHook, Limits, OwnLimits, Profile, Reading};
use crate::state::Kind;

type Document = Map<String, Value>;

/// Rows of a page, where a whole list is refused.
const PAGE: usize = 1000;

/// A crossbar.
#[derive(Debug, Clone)]
pub struct Crossbar {
    client: Client,
    key: ApiKey,
    token: Arc<Mutex<Option<Session>>>,
    profile: Profile,
    bounds: Bounds,
}

/// An API key: prints as `***`.
#[derive(Clone)]
struct ApiKey(String);

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A token and whose it is.
#[derive(Clone)]
struct Session {
    token: String,
    account: AccountId,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session of {}", self.account)
    }
}

impl Crossbar {
    /// A crossbar at an address, up to the part before `/v2`.
    pub fn new(
        address: &str,
        api_key: &str,
        manner: Manner,
        (profile, bounds): (Profile, Bounds),
    ) -> Result<Self, SourceError> {
        let address = address.trim_end_matches('/').trim_end_matches("/v2");
        let client = Client::new(address, None, manner)?;
        Ok(Self { client, key: ApiKey(api_key.trim().to_owned()), token: Arc::default(), profile, bounds })
    }

    async fn session(&self, fresh: bool) -> Result<Session, SourceError> {
        let mut kept = self.token.lock().await;
        if let Some(session) = kept.as_ref().filter(|_| !fresh) {
            return Ok(session.clone());
        }
        let body = json!({"data": {"api_key": self.key.0}});
        let path = "v2/api_auth";
        let answer =
            self.client.ask(Ask { method: Method::PUT, body: Some(&body), ..Ask::get(path, &[]) }).await?;
        let account = answer.body.get("data").and_then(|data| data.get("account_id")).and_then(Value::as_str);
        let (Some(token), Some(account)) =
            (answer.body.get("auth_token").and_then(Value::as_str), account.and_then(|id| id.parse().ok()))
        else {
            return Err(strange(path, "no token: the API key is not known there"));
        };
        let session = Session { token: token.to_owned(), account };
        *kept = Some(session.clone());
        Ok(session)
    }

    /// One request with a token; a token whose time is over is renewed once.
    async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, SourceError> {
        let session = self.session(false).await?;
        match self.client.ask(Ask { token: Some(&session.token), ..Ask::get(path, query) }).await {
            Err(error) if error.status() == Some(401) => {
                let session = self.session(true).await?;
                self.client.ask(Ask { token: Some(&session.token), ..Ask::get(path, query) }).await
            }
            other => other,
        }
    }

    /// A document; `None`: it is not there.
    async fn document(&self, path: &str) -> Result<Option<Document>, SourceError> {
        let answer = self.get(path, &[]).await?;
        if answer.status == 404 {
            return if is_bad_identifier(&answer.body) {
                Ok(None)
            } else {
                Err(strange(path, "404, and not from crossbar"))
            };
        }
        match answer.body.get("data") {
            Some(Value::Object(data)) => Ok(Some(data.clone())),
            _ => Err(strange(path, "no document")),
        }
    }

    /// All rows of a list: at once, or in pages where the server refuses that. A row that comes twice counts once.
    async fn rows(
        &self,
        path: &str,
        filters: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<Document>, SourceError> {
        let filters: Vec<_> = filters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let whole: Vec<_> = filters.iter().cloned().chain([("paginate", "false".to_owned())]).collect();
        let mut answer = match self.get(path, &whole).await {
            Err(error) if error.status() == Some(416) => None,
            other => Some(other?),
        };
        let (mut rows, mut seen, mut start) = (Vec::new(), BTreeSet::new(), None::<String>);
        loop {
            let page = match answer.take() {
                Some(answer) => answer,
                None => {
                    let mut query = filters.clone();
                    query.push(("page_size", PAGE.to_string()));
                    query.extend(start.iter().map(|start| ("start_key", start.clone())));
                    self.get(path, &query).await?
                }
            };
            let Some(Value::Array(data)) = page.body.get("data").filter(|_| page.status == 200) else {
                return Err(strange(path, "no list"));
            };
            let before = rows.len();
            for row in data {
                let Some(row) = row.as_object() else { return Err(strange(path, "a row that is no object")) };
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                if seen.insert(id) {
                    rows.push(row.clone());
                }
            }
            if rows.len() > most {
                return Err(SourceError::TooMany { what: "accounts", most, key: "kazoo.sync.max_accounts" });
            }
            let next = page.body.get("next_start_key").filter(|next| !next.is_null());
            let next = next.map(|next| next.as_str().map_or_else(|| next.to_string(), str::to_owned));
            match next {
                None => return Ok(rows),
                // The same rows again and again lead nowhere.
                Some(_) if rows.len() == before => return Err(strange(path, "its pages do not go on")),
                Some(next) => start = Some(next),
            }
        }
    }

    /// Reads everything but users, whose hashes the API does not show.
    pub async fn read(&self, progress: &dyn Progress) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let master = self.session(false).await?.account;
        reading.master = Some(master);
        if let Some(doc) = self.document_if_allowed("v2/system_configs/webhooks", &mut reading.odd).await? {
            reading.system =
                doc.get("default").and_then(Value::as_object).map(Limits::of).unwrap_or_default();
        }
        let own = self.document(&format!("v2/accounts/{master}")).await?;
        let own = own.ok_or_else(|| strange("v2/accounts", "the account of the API key is not there"))?;
        reading.accounts.insert(master, account_of(master, &own, Vec::new()));
        self.descendants(master, &mut reading, progress).await?;
        self.hooks(&mut reading, progress).await?;
        self.limits(&mut reading, progress).await?;
        reading.is_complete = true;
        Ok(reading)
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
        let rows = self.rows(&path, &[], most).await?;
        progress.at(Stage::Accounts, rows.len(), Some(rows.len()));
        let ids = |rows: Vec<Document>| rows.iter().filter_map(id_of).collect::<BTreeSet<AccountId>>();
        let all = rows.len();
        let mut off = ids(self.rows(&path, &[("filter_pvt_enabled", "false")], most).await?);
        if self.profile == Profile::Classic {
            off.extend(ids(self.rows(&path, &[("filter_enabled", "false")], most).await?));
        }
        let resellers = ids(self.rows(&path, &[("filter_pvt_reseller", "true")], most).await?);
        for row in rows {
            let (Some(id), Some(tree)) = (id_of(&row), tree_of(&row)) else {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                reading.odd.push(Odd::new(
                    OddKind::IdRefused,
                    id,
                    "its id or tree is no list of ids; the account is left out",
                ));
                continue;
            };
            let mut account = account_of(id, &row, tree);
            account.enabled = !off.contains(&id);
            account.reseller = resellers.contains(&id);
            reading.accounts.insert(id, account);
        }
        // A server that does not know the filter answers with everything.
        if all > 1 && (off.len() >= all || resellers.len() >= all) {
            self.each_account(reading, progress).await?;
        }
        Ok(())
    }

    /// Reads each account's document for what lists do not tell.
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

    async fn hooks(&self, reading: &mut Reading, progress: &dyn Progress) -> Result<(), SourceError> {
        let ids: Vec<_> = reading.accounts.keys().copied().collect();
        let mut lists = stream::iter(ids.clone())
            .map(async |id| (id, self.hook_rows(id).await))
            .buffer_unordered(self.client.manner.at_once);
        let mut found: Vec<(AccountId, HookId, Option<String>)> = Vec::new();
        while let Some((account, rows)) = lists.next().await {
            for row in rows?.unwrap_or_default() {
                let Some(id) = id_of(&row) else { continue };
                let reason = row.get("disable_reason").and_then(Value::as_str).map(str::to_owned);
                found.push((account, id, reason));
            }
            if found.len() > self.bounds.most_hooks {
                let most = self.bounds.most_hooks;
                return Err(SourceError::TooMany { what: "hooks", most, key: "kazoo.sync.max_hooks" });
            }
        }
        let all = found.len();
        let mut reads = stream::iter(found)
            .map(async |(account, id, reason)| (account, id, reason, self.hook(account, id).await))
            .buffer_unordered(self.client.manner.at_once);
        while let Some((account, id, reason, doc)) = reads.next().await {
            // One that was deleted since the list was read.
            let Some(doc) = doc? else { continue };
            let mut hook = KazooHook::of_public(id, account, &doc);
            hook.disabled_message = reason;
            reading.hooks.insert(id, hook);
            progress.at(Stage::Hooks, reading.hooks.len(), Some(all));
        }
        Ok(())
    }

    /// The rows of an account's list of hooks; `None`: the account is not there.
    async fn hook_rows(&self, account: AccountId) -> Result<Option<Vec<Document>>, SourceError> {
        let path = format!("v2/accounts/{account}/webhooks");
        match self.rows(&path, &[], self.bounds.most_hooks).await {
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

    async fn limits(&self, reading: &mut Reading, progress: &dyn Progress) -> Result<(), SourceError> {
        let ids: Vec<_> = reading.accounts.keys().copied().collect();
        let mut reads = stream::iter(ids.clone())
            .map(async |id| (id, self.own_limits(id).await))
            .buffer_unordered(self.client.manner.at_once);
        let mut done = 0;
        while let Some((id, limits)) = reads.next().await {
            if let Some(account) = reading.accounts.get_mut(&id) {
                account.limits = limits?;
            }
            done += 1;
            progress.at(Stage::Limits, done, Some(ids.len()));
        }
        Ok(())
    }

    /// The limits that count for an account, wherever KAZOO stores them.
    async fn own_limits(&self, account: AccountId) -> Result<OwnLimits, SourceError> {
        match self.document(&format!("v2/accounts/{account}/configs/webhooks")).await {
            Ok(Some(doc)) if Limits::of(&doc) != Limits::default() => Ok(OwnLimits::Own(Limits::of(&doc))),
            Ok(_) => Ok(OwnLimits::Absent),
            Err(error) if matches!(error.status(), Some(400..=499)) => Ok(OwnLimits::Unknown),
            Err(SourceError::Strange { .. }) => Ok(OwnLimits::Unknown),
            Err(error) => Err(error),
        }
    }

    /// Reads some accounts and hooks again. A single account's document has no tree, so its ancestors are asked for.
    pub async fn reread(
        &self,
        accounts: &[AccountId],
        hooks: &[(HookId, Option<AccountId>)],
    ) -> Result<Reading, SourceError> {
        let mut reading = Reading::default();
        let master = self.session(false).await?.account;
        for id in accounts {
            let Some(doc) = self.document(&format!("v2/accounts/{id}")).await? else { continue };
            let tree = if *id == master { Vec::new() } else { self.tree(*id).await? };
            let mut account = account_of(*id, &doc, tree);
            take_flags(&mut account, &doc);
            account.limits = self.own_limits(*id).await?;
            reading.accounts.insert(*id, account);
        }
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
                reading.hooks.insert(id, hook);
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
        let ids = rows.iter().map(|row| row.as_object().and_then(id_of));
        ids.collect::<Option<Vec<_>>>().ok_or_else(|| strange(&path, "a row without an id"))
    }

    /// Asks once more whether something is gone.
    pub async fn gone(&self, kind: Kind, id: Id, owner: Option<AccountId>) -> Result<Gone, SourceError> {
        let path = match (kind, owner) {
            (Kind::Account, _) => format!("v2/accounts/{id}"),
            (_, Some(owner)) => format!("v2/accounts/{owner}/webhooks/{id}"),
            (_, None) => return Ok(Gone::No),
        };
        match self.document(&path).await {
            Ok(None) => Ok(Gone::Yes),
            Ok(Some(_)) => Ok(Gone::No),
            // It may have moved out of the reader's reach.
            Err(error) if error.status() == Some(403) => Ok(Gone::No),
            Err(error) => Err(error),
        }
    }
}

fn is_bad_identifier(body: &Value) -> bool {
    let text = body.get("message").and_then(Value::as_str).unwrap_or_default();
    text.starts_with("bad") && text.ends_with("identifier")
}

fn strange(path: &str, reason: &str) -> SourceError {
    SourceError::Strange { url: path.to_owned(), reason: reason.to_owned() }
}

fn id_of(row: &Document) -> Option<Id> {
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

/// Takes over what a whole document tells and a row does not.
fn take_flags(account: &mut KazooAccount, doc: &Document) {
    let flag = |field: &str| doc.get(field).and_then(Value::as_bool);
    account.enabled = flag("enabled").unwrap_or(account.enabled);
    account.reseller = flag("is_reseller").unwrap_or(account.reseller);
    account.created = doc.get("created").and_then(Value::as_u64).or(account.created);
}
