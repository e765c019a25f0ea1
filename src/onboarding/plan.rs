//! The plan of an import compares a KAZOO with this installation: the changes, and what is odd. Pure.
//!
//! Promise: a plan deletes nothing. It names documents that are missing in KAZOO; the code that carries the plan out
//! asks KAZOO again about each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Map, Value};

use super::documents::{self, PlannedAccount, is_host_name};
use super::here::Here;
use super::limits;
use super::odd::{Odd, OddKind};
use super::reading::{KazooHook, KazooUser, OwnLimits, Reading};
use super::rules::{Rules, Scope};
use super::tree::place;
use crate::auth::{self, PasswordError};
use crate::model::{AccountId, DocumentId, HookId};
use crate::state::{IndexError, Kind, Mirror, is_deleted, is_mirrored, random_id};

type Document = Map<String, Value>;

/// A change of a user whose password still has to be converted, which takes time.
#[derive(Debug, Clone, PartialEq)]
pub struct UserChange {
    /// The change without the password's verifier.
    pub change: Mirror,
    /// The user, with KAZOO's password hashes.
    pub user: KazooUser,
}

impl UserChange {
    /// The complete change. This takes a tenth of a second: KAZOO's hashes are as good as passwords, so we store
    /// only a verifier that cannot be used to log in.
    pub fn finished(self) -> Result<Mirror, PasswordError> {
        let Self { mut change, user } = self;
        for (field, hash) in [("pvt_md5_auth", &user.md5), ("pvt_sha1_auth", &user.sha1)] {
            match hash {
                Some(hash) => {
                    let verifier = auth::verifier(user.account, hash.reveal())?;
                    change.set.insert(field.to_owned(), verifier.into());
                }
                None => change.unset.push(field.to_owned()),
            }
        }
        // A new stamp ends the tokens that were issued before.
        change.set.insert("pvt_stamp".to_owned(), random_id().to_string().into());
        Ok(change)
    }
}

/// The number of documents of one kind, by what happens to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Not stored here yet.
    pub new: usize,
    /// Stored here with other fields.
    pub changed: usize,
    /// Missing in KAZOO.
    pub gone: usize,
    /// Unchanged.
    pub same: usize,
    /// Left out; `Plan::odd` has the reasons.
    pub left_out: usize,
}

/// The changes that an import would make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Changes of accounts, parents before their descendants.
    pub accounts: Vec<Mirror>,
    /// Changes of hooks.
    pub hooks: Vec<Mirror>,
    /// Changes of users.
    pub users: Vec<UserChange>,
    /// Accounts and hooks that are missing in KAZOO; accounts before their ancestors.
    pub gone: Vec<(Kind, DocumentId)>,
    /// What needs an operator's attention.
    pub odd: Vec<Odd>,
    /// Number of accounts that wait because KAZOO has moved only a part of their tree.
    pub waiting: usize,
    /// The numbers of documents by kind.
    pub counts: BTreeMap<Kind, Counts>,
    /// The owner of each hook that changes or is missing, and the name of each account that changes, for a report.
    pub names: BTreeMap<String, String>,
}

impl Plan {
    /// Whether the plan changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.hooks.is_empty() && self.users.is_empty() && self.gone.is_empty()
    }
}

/// Compares a KAZOO with this installation.
pub fn plan(reading: &Reading, here: &impl Here, rules: &Rules) -> Result<Plan, IndexError> {
    let mut planner = Planner { reading, here, rules, plan: Plan::default() };
    planner.plan.odd.extend(reading.odd.iter().cloned());
    let trees = planner.accounts()?;
    planner.hooks(&trees)?;
    planner.users(&trees)?;
    if rules.scope == Scope::All {
        planner.note_unknown_limits();
        if reading.is_complete {
            planner.gone()?;
        }
    }
    planner.plan.odd.sort();
    planner.plan.odd.dedup();
    Ok(planner.plan)
}

type Trees = BTreeMap<AccountId, Vec<AccountId>>;

struct Planner<'a, H> {
    reading: &'a Reading,
    here: &'a H,
    rules: &'a Rules,
    plan: Plan,
}

impl<'a, H: Here> Planner<'a, H> {
    fn live(&self, kind: Kind, id: &str) -> Result<Option<Document>, IndexError> {
        Ok(self.here.get(kind, id)?.filter(|doc| !is_deleted(doc)))
    }

    fn count(&mut self, kind: Kind) -> &mut Counts {
        self.plan.counts.entry(kind).or_default()
    }

    /// Counts a change, and keeps it if the document differs.
    fn note(&mut self, kind: Kind, change: Option<&Mirror>) {
        let counts = self.count(kind);
        match change {
            None => counts.same += 1,
            Some(change) if change.rev.is_none() => counts.new += 1,
            Some(_) => counts.changed += 1,
        }
    }

    fn note_unknown_limits(&mut self) {
        let unknown = self.reading.accounts.values().filter(|account| account.limits == OwnLimits::Unknown);
        let unknown = unknown.count();
        if unknown > 0 {
            let text = "their failure limits could not be read, because the reader has no permission for their own \
                        databases (over the API: for their configs); the limits stored here stay";
            self.plan.odd.push(Odd::new(OddKind::NotRead, format!("{unknown} accounts"), text));
        }
    }

    fn accounts(&mut self) -> Result<Trees, IndexError> {
        let (reading, master) = (self.reading, self.here.master());
        let placed = place(&reading.accounts, master);
        let mut trees = placed.trees;
        self.plan.odd.extend(placed.odd);
        for id in &placed.half_moved {
            let text = "its tree is not its parent's tree with the parent behind it: it is being moved, or a move was \
                        interrupted; its parent decides where it stands";
            self.plan.odd.push(Odd::new(OddKind::HalfMoved, id, text));
        }
        if self.rules.half_moved_wait {
            trees = self.held(trees, &placed.half_moved)?;
        }
        let realms = self.realms(&trees);
        let limits = limits::to_store(&reading.accounts, &trees, reading.system, master);
        let mut order: Vec<_> = trees.iter().map(|(id, tree)| (tree.len(), *id)).collect();
        // By depth: a parent must be written before the accounts below it.
        order.sort_unstable();
        for (_, id) in order {
            let (Some(account), Some(tree)) = (reading.accounts.get(&id), trees.get(&id)) else { continue };
            if !self.rules.scope.has_account(id, tree) {
                continue;
            }
            if account.name.is_none() {
                self.plan.odd.push(Odd::new(
                    OddKind::NoName,
                    id,
                    "the account has no name; its id is used as the name",
                ));
            }
            let limits = limits.get(&id).copied();
            let realm = realms.get(&id).copied();
            let standing = PlannedAccount { tree, realm, limits, is_master: id == master };
            let here = self.live(Kind::Account, &id.to_string())?;
            let wanted = documents::account(account, &standing, here.as_ref());
            let change = wanted.over(Kind::Account, id.to_string(), here.as_ref());
            let counts = |change: &Mirror| {
                self.rules.remembers_limits || !documents::is_only_memory(change, here.as_ref())
            };
            let change = change.filter(counts);
            if change.is_some() {
                self.plan.names.insert(id.to_string(), account.name.clone().unwrap_or_default());
            }
            self.note(Kind::Account, change.as_ref());
            self.plan.accounts.extend(change);
        }
        let left_out = reading.accounts.keys().filter(|id| !trees.contains_key(id)).count();
        self.count(Kind::Account).left_out = left_out;
        Ok(trees)
    }

    /// The trees with every half-moved branch at its stored place.
    fn held(&mut self, trees: Trees, half_moved: &BTreeSet<AccountId>) -> Result<Trees, IndexError> {
        let mut held: BTreeMap<AccountId, Vec<AccountId>> = BTreeMap::new();
        for id in half_moved {
            for moved in trees.get(id).into_iter().flatten().chain([id]) {
                let there = trees.get(moved).and_then(|tree| tree.last());
                if let Some(stands) = self.tree_here(*moved)?
                    && stands.last() != there
                {
                    held.insert(*moved, stands);
                }
            }
        }
        self.plan.waiting = held.len();
        if held.is_empty() {
            return Ok(trees);
        }
        let mut accounts = self.reading.accounts.clone();
        for (id, stands) in held {
            if let Some(account) = accounts.get_mut(&id) {
                account.tree = stands;
            }
        }
        Ok(place(&accounts, self.here.master()).trees)
    }

    fn tree_here(&self, id: AccountId) -> Result<Option<Vec<AccountId>>, IndexError> {
        let doc = self.live(Kind::Account, &id.to_string())?;
        let tree = doc.as_ref().and_then(|doc| doc.get("pvt_tree")).and_then(Value::as_array);
        Ok(tree.map(|tree| tree.iter().filter_map(|id| id.as_str()?.parse().ok()).collect()))
    }

    /// The realms that accounts may have here. If several accounts have the same realm, it stays with the account
    /// that has it here; if none has it, the oldest account gets it.
    fn realms(&mut self, trees: &Trees) -> HashMap<AccountId, &'a str> {
        let reading = self.reading;
        let mut by_realm: BTreeMap<String, Vec<AccountId>> = BTreeMap::new();
        for id in trees.keys() {
            let Some(realm) = reading.accounts.get(id).and_then(|account| account.realm.as_deref()) else {
                continue;
            };
            if is_host_name(realm) {
                by_realm.entry(realm.to_ascii_lowercase()).or_default().push(*id);
            } else {
                let text = format!(
                    "its realm '{}' is not a host name; the account is imported without a realm",
                    realm.escape_debug()
                );
                self.plan.odd.push(Odd::new(OddKind::RealmOdd, id, text));
            }
        }
        let mut realms = HashMap::new();
        for (realm, mut ids) in by_realm {
            let holder = self.here.with_realm(&realm);
            let created = |id: &AccountId| reading.accounts.get(id).and_then(|account| account.created);
            ids.sort_by_key(|id| (Some(*id) != holder, created(id).unwrap_or(u64::MAX), *id));
            // An account that was created here, and that KAZOO does not know, keeps its realm.
            let is_of_others = holder
                .is_some_and(|holder| !reading.accounts.contains_key(&holder) && !self.is_mirrored(holder));
            let mut ids = ids.into_iter();
            let first = if is_of_others { None } else { ids.next() };
            let has = first.or(holder).map(|id| id.to_string()).unwrap_or_default();
            for id in ids {
                let text = format!(
                    "the account {has} also has the realm '{realm}'; this account is imported without a realm"
                );
                self.plan.odd.push(Odd::new(OddKind::RealmTwice, id, text));
            }
            let own = first.and_then(|id| Some((id, reading.accounts.get(&id)?.realm.as_deref()?)));
            realms.extend(own);
        }
        realms
    }

    fn is_mirrored(&self, account: AccountId) -> bool {
        let doc = self.here.get(Kind::Account, &account.to_string());
        doc.is_ok_and(|doc| doc.is_some_and(|doc| is_mirrored(&doc)))
    }

    fn hooks(&mut self, trees: &Trees) -> Result<(), IndexError> {
        let reading = self.reading;
        let mut of_account: HashMap<AccountId, usize> = HashMap::new();
        let rules = self.rules;
        let wanted = |hook: &KazooHook| rules.scope.has_hook_of(hook.account);
        for (id, hook) in reading.hooks.iter().filter(|(_, hook)| wanted(hook)) {
            if !trees.contains_key(&hook.account) {
                let text = format!("its account {} does not exist; the hook is left out", hook.account);
                self.leave_out(Kind::Hook, Odd::new(OddKind::HookOfGone, id, text));
                continue;
            }
            *of_account.entry(hook.account).or_default() += 1;
            let bytes = serde_json::to_vec(&hook.doc).map_or(usize::MAX, |text| text.len());
            if bytes > self.rules.most_bytes {
                let most = self.rules.most_bytes;
                let text =
                    format!("it has {bytes} bytes; at most {most} are allowed (limits.max_document_bytes)");
                self.leave_out(Kind::Hook, Odd::new(OddKind::TooLarge, id, text));
                continue;
            }
            let stored = self.here.get(Kind::Hook, &id.to_string())?;
            // Imported once, the hook belongs to this program; KAZOO's later changes must not undo those made here.
            if self.rules.hooks_once && stored.as_ref().is_some_and(is_mirrored) {
                self.count(Kind::Hook).same += 1;
                continue;
            }
            let here = stored.filter(|doc| !is_deleted(doc));
            let owner = here.as_ref().and_then(|doc| doc.get("pvt_account_id")).and_then(Value::as_str);
            if owner.is_some_and(|owner| owner != hook.account.to_string()) {
                let text = format!(
                    "it belongs to the account {} in KAZOO, and to another account here",
                    hook.account
                );
                self.leave_out(Kind::Hook, Odd::new(OddKind::OwnerChanged, id, text));
                continue;
            }
            let wanted = documents::hook(hook, here.as_ref(), &self.rules.allow, &mut self.plan.odd);
            let Some(wanted) = wanted else {
                self.count(Kind::Hook).left_out += 1;
                continue;
            };
            let change = wanted.over(Kind::Hook, id.to_string(), here.as_ref());
            if change.is_some() {
                self.plan.names.insert(id.to_string(), hook.account.to_string());
            }
            self.note(Kind::Hook, change.as_ref());
            self.plan.hooks.extend(change);
        }
        for (account, count) in of_account.into_iter().filter(|(_, count)| *count > self.rules.most_hooks) {
            let most = self.rules.most_hooks;
            let text = format!(
                "it has {count} hooks, more than {most} (limits.max_hooks_per_account); all of them are imported"
            );
            self.plan.odd.push(Odd::new(OddKind::OverLimit, account, text));
        }
        Ok(())
    }

    fn leave_out(&mut self, kind: Kind, odd: Odd) {
        self.count(kind).left_out += 1;
        self.plan.odd.push(odd);
    }

    fn users(&mut self, trees: &Trees) -> Result<(), IndexError> {
        let reading = self.reading;
        for user in reading.users.iter().filter(|user| trees.contains_key(&user.account)) {
            let here = self.live(Kind::User, &user.id)?;
            let rev = here.as_ref().and_then(|doc| doc.get(crate::state::MIRRORED)?.get("rev")?.as_str());
            // The document's revision shows whether the password has changed. Comparing the password
            // itself takes as long as storing it.
            let change = if rev == Some(user.rev.as_str()) {
                None
            } else {
                documents::user(user).over(Kind::User, user.id.clone(), here.as_ref())
            };
            self.note(Kind::User, change.as_ref());
            self.plan.users.extend(change.map(|change| UserChange { change, user: user.clone() }));
        }
        Ok(())
    }

    fn gone(&mut self) -> Result<(), IndexError> {
        let reading = self.reading;
        let master = self.here.master();
        let mut accounts = Vec::new();
        for id in self.here.mirrored(Kind::Account)? {
            let Ok(account) = id.parse::<AccountId>() else { continue };
            if account != master && !reading.accounts.contains_key(&account) {
                accounts.push((self.tree_here(account)?.unwrap_or_default().len(), account));
            }
        }
        // The deepest first, because an account with descendants cannot be deleted.
        accounts.sort_unstable_by(|a, b| b.cmp(a));
        let gone_accounts: BTreeSet<AccountId> = accounts.iter().map(|(_, id)| *id).collect();
        if !self.rules.hooks_once {
            for id in self.here.mirrored(Kind::Hook)? {
                let Ok(hook) = id.parse::<HookId>() else { continue };
                let owner = self.live(Kind::Hook, &id)?.as_ref().and_then(crate::state::owner);
                // Deleting an account deletes its hooks too.
                let goes_along = owner.is_some_and(|owner| gone_accounts.contains(&owner));
                if !reading.hooks.contains_key(&hook) && !goes_along {
                    self.plan.names.insert(id, owner.unwrap_or_default().to_string());
                    self.plan.gone.push((Kind::Hook, hook.into()));
                    self.count(Kind::Hook).gone += 1;
                }
            }
        }
        self.count(Kind::Account).gone = accounts.len();
        self.plan.gone.extend(accounts.into_iter().map(|(_, id)| (Kind::Account, id.into())));
        Ok(())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
