//! A round of the sync: reads everything, or the documents named by hints, compares, and writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::allowance::Allowance;
use super::hints::{Hint, Hints, Pending};
use super::revisions::{Generation, Revisions};
use super::status::{Doing, SyncStatus};
use super::{Sync, SyncOptions};
use crate::model::{AccountId, HookId, Id};
use crate::onboarding::apply::Begin;
use crate::onboarding::here::Here;
use crate::onboarding::odd::OddKind;
use crate::onboarding::plan::{Plan, Rules, plan};
use crate::onboarding::reading::{KazooAccount, KazooLimits, Reading};
use crate::onboarding::source::{Gone, Source};
use crate::onboarding::{Outcome, put};
use crate::state::{Kind, MirroredBy, State, TreeError, is_deleted, is_mirrored, owner};
use crate::tasks::Tasks;

type Document = Map<String, Value>;

/// The number of times that one round reads the missing ancestors and owners of the documents that it has read.
const UPWARDS: usize = 4;

/// Why a round failed. For a person; contains no secret.
pub(super) type Failed = String;

/// The result of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// All changes are written.
    Whole,
    /// A part waits: a move, a refused change, a replica that lags behind.
    InPart,
}

/// KAZOO's accounts and hooks as they were last read.
#[derive(Default)]
struct World {
    accounts: BTreeMap<AccountId, KazooAccount>,
    hooks: BTreeSet<HookId>,
    system: KazooLimits,
    revisions: Revisions,
    /// Branches that were half moved at the last full reading.
    half_moved: BTreeSet<AccountId>,
}

/// Everything that a round uses.
pub(super) struct Round {
    source: Source,
    state: State,
    begin: std::sync::Arc<dyn Begin>,
    options: SyncOptions,
    tasks: Tasks,
    hints: std::sync::Arc<Hints>,
    world: World,
    allowance: Allowance,
    status: tokio::sync::watch::Sender<SyncStatus>,
}

fn text(error: impl std::fmt::Display) -> Failed {
    error.to_string()
}

impl Round {
    pub(super) fn new(sync: Sync) -> Self {
        let Sync { source, state, begin, options, tasks, hints, status, .. } = sync;
        let (world, allowance) = Default::default();
        Self { source, state, begin, options, tasks, hints, world, allowance, status }
    }

    /// How many accounts and hooks are known.
    pub(super) fn known(&self) -> usize {
        self.world.accounts.len() + self.world.hooks.len()
    }

    /// Reads everything. `pending` has the hints that arrived before.
    pub(super) async fn all(&mut self, pending: &Pending, now_s: u64) -> Result<Came, Failed> {
        let mut reading = self.source.read(false, &()).await.map_err(text)?;
        let (master, here) = (reading.master().unwrap_or_default(), self.state.settings().master);
        if master != here {
            return Err(format!(
                "the master account of the KAZOO is {master}, and here it is {here}; begin with a new data_dir and \
                 accounts.master_id = \"{master}\""
            ));
        }
        let doubtful = self.world.sift(&mut reading, pending);
        self.again(&doubtful, pending);
        let waiting = Rules { half_moved_wait: true, ..self.options.rules.clone() };
        let (mut made, mut reading) = self.plan(reading, waiting).await?;
        let is_half_moved = made.odd.iter().filter(|odd| odd.what == OddKind::HalfMoved);
        let half_moved: BTreeSet<AccountId> = is_half_moved.filter_map(|odd| odd.id.parse().ok()).collect();
        // If the same branches are half moved as at the last full reading, the move has been interrupted.
        // Waiting longer would not help.
        if made.waiting > 0 && half_moved == self.world.half_moved {
            (made, reading) = self.plan(reading, self.options.rules.clone()).await?;
        }
        let (odd, waiting) = (made.odd.len(), made.waiting);
        let refused = self.write(&mut made, now_s).await?;
        self.world.hooks = reading.hooks.keys().copied().collect();
        self.world.accounts = reading.accounts;
        self.world.system = reading.system;
        self.world.half_moved = half_moved;
        let mut gone = std::mem::take(&mut made.gone);
        gone.retain(|key| !doubtful.contains(key));
        let kept = self.delete(gone, now_s).await?;
        self.status.send_modify(|status| {
            status.last_full_reading_s = Some(now_s);
            status.full_readings += 1;
            (status.odd, status.half_moved, status.refused) = (odd, waiting, refused);
            status.kept.clone_from(&kept);
        });
        let is_whole = waiting == 0 && refused == 0 && kept.is_none() && doubtful.is_empty();
        Ok(self.came(is_whole))
    }

    /// Reads the documents that hints have named.
    pub(super) async fn some(&mut self, pending: &Pending, now_s: u64) -> Result<Came, Failed> {
        if pending.count() == 0 {
            return Ok(Came::Whole);
        }
        let mut accounts: BTreeSet<AccountId> = pending.accounts.keys().copied().collect();
        let hooks: Vec<(HookId, Option<AccountId>)> = pending
            .hooks
            .iter()
            .map(|(id, hook)| (*id, hook.account.or_else(|| self.owner_here(*id))))
            .collect();
        let mut reading = self.reread(&accounts, &hooks).await?;
        // No hint names the ancestors of a new account, or the owner of a new hook; both must exist here first.
        for _ in 0..UPWARDS {
            let above = reading.accounts.values().flat_map(|account| account.tree.iter().copied());
            let named = above.chain(reading.hooks.values().map(|hook| hook.account));
            let is_unknown = |id: &AccountId| !self.world.accounts.contains_key(id) && !accounts.contains(id);
            let unknown: BTreeSet<_> = named.filter(is_unknown).collect();
            if unknown.is_empty() {
                break;
            }
            reading.accounts.extend(self.reread(&unknown, &[]).await?.accounts);
            accounts.extend(unknown);
        }
        let missing_accounts = accounts.iter().filter(|id| !reading.accounts.contains_key(id));
        let missing_hooks = hooks.iter().map(|(id, _)| id).filter(|id| !reading.hooks.contains_key(id));
        let mut gone: Vec<_> = missing_accounts.map(|id| (Kind::Account, *id)).collect();
        if !self.options.rules.hooks_once {
            gone.extend(missing_hooks.map(|id| (Kind::Hook, Id::from(*id))));
        }
        let master = self.state.settings().master;
        gone.retain(|(kind, id)| *id != master && self.is_kazoos(*kind, *id));
        let doubtful = self.world.sift(&mut reading, pending);
        gone.retain(|key| !doubtful.contains(key));
        self.again(&doubtful, pending);
        let changed: BTreeSet<_> = reading.accounts.keys().copied().collect();
        self.world.accounts.append(&mut reading.accounts);
        self.world.hooks.extend(reading.hooks.keys());
        self.options.bounds.check(self.world.accounts.len(), self.world.hooks.len()).map_err(text)?;
        // The plan needs the whole tree to find places and realms, but writes only the changed accounts.
        let rules = Rules { half_moved_wait: true, only: Some(changed), ..self.options.rules.clone() };
        reading.master = Some(master);
        reading.system = self.world.system;
        // The plan borrows the accounts. If it fails, they are lost, and the next round reads everything.
        reading.accounts = std::mem::take(&mut self.world.accounts);
        let (mut made, reading) = self.plan(reading, rules).await?;
        self.world.accounts = reading.accounts;
        let waiting = made.waiting;
        let refused = self.write(&mut made, now_s).await?;
        let kept = self.delete(gone, now_s).await?;
        let is_whole = waiting == 0 && refused == 0 && kept.is_none();
        if kept.is_some() {
            self.status.send_modify(|status| status.kept = kept);
        }
        Ok(self.came(is_whole))
    }

    fn came(&self, is_whole: bool) -> Came {
        self.status.send_modify(|status| {
            status.state = Doing::Current;
            status.last_error = None;
            (status.accounts, status.hooks) = (self.world.accounts.len(), self.world.hooks.len());
        });
        if is_whole { Came::Whole } else { Came::InPart }
    }

    /// Puts the hints of doubtful documents back, so that the next round reads them again.
    fn again(&self, doubtful: &BTreeSet<(Kind, Id)>, pending: &Pending) {
        for (kind, id) in doubtful {
            if *kind == Kind::Account {
                self.hints.add(Hint::Account(*id, pending.accounts.get(id).copied().flatten()));
            } else {
                let hook = pending.hooks.get(&id.as_hook()).copied().unwrap_or_default();
                self.hints.add(Hint::Hook(id.as_hook(), hook.account, hook.generation));
            }
        }
    }

    async fn reread(
        &self,
        accounts: &BTreeSet<AccountId>,
        hooks: &[(HookId, Option<AccountId>)],
    ) -> Result<Reading, Failed> {
        let accounts: Vec<_> = accounts.iter().copied().collect();
        self.source.reread(&accounts, hooks).await.map_err(text)
    }

    fn here(&self, kind: Kind, id: Id) -> Option<Document> {
        self.state.get(kind, &id.to_string()).ok().flatten().filter(|doc| !is_deleted(doc))
    }

    fn owner_here(&self, hook: HookId) -> Option<AccountId> {
        owner(&self.here(Kind::Hook, hook.into())?)
    }

    fn is_kazoos(&self, kind: Kind, id: Id) -> bool {
        self.here(kind, id).is_some_and(|doc| is_mirrored(&doc))
    }

    /// Makes the plan on a blocking thread, because many accounts take long.
    async fn plan(&self, reading: Reading, rules: Rules) -> Result<(Plan, Reading), Failed> {
        let state = self.state.clone();
        let planning = self.tasks.spawn_blocking(move || (plan(&reading, &state, &rules), reading));
        let (made, reading) = planning.await.map_err(text)?;
        Ok((made.map_err(text)?, reading))
    }

    /// Writes the changes; returns how many were refused.
    async fn write(&self, plan: &mut Plan, now_s: u64) -> Result<usize, Failed> {
        let mut changes = std::mem::take(&mut plan.accounts);
        changes.append(&mut plan.hooks);
        if changes.is_empty() {
            return Ok(0);
        }
        let put = put(&self.state, MirroredBy::Sync, changes, self.begin.as_ref()).await;
        let Outcome { made, refused } = put.map_err(text)?;
        for odd in &refused {
            tracing::warn!(id = %odd.id, reason = %odd.text, "refused a change of KAZOO's");
        }
        self.changed(|status| status.changes += made as u64, now_s);
        Ok(refused.len())
    }

    fn changed(&self, count: impl FnOnce(&mut SyncStatus), now_s: u64) {
        self.status.send_modify(|status| {
            count(status);
            status.last_change_s = Some(now_s);
        });
    }

    /// Deletes missing documents after KAZOO has confirmed each one separately. Returns why a document was kept.
    async fn delete(&mut self, gone: Vec<(Kind, Id)>, now_s: u64) -> Result<Option<String>, Failed> {
        let mut kept = None;
        for kind in [Kind::Hook, Kind::Account] {
            let mut ids: Vec<_> = gone.iter().filter(|(of, _)| *of == kind).map(|(_, id)| *id).collect();
            if ids.is_empty() {
                continue;
            }
            let state = self.state.clone();
            let mirrored = self.tasks.spawn_blocking(move || Here::mirrored(&state, kind));
            let all = mirrored.await.map_err(text)?.map_err(text)?.len();
            let percent = self.options.max_gone_percent;
            if let Err(most) = self.allowance.check(kind, ids.len(), (all, percent), now_s) {
                let what = if kind == Kind::Hook { "hooks" } else { "accounts" };
                kept = Some(format!(
                    "{} {what} are missing in KAZOO, and at most {most} may be deleted within an hour; none of them was \
                     deleted. If that is right, raise kazoo.sync.max_gone_percent or run switchhook import kazoo --max-gone",
                    ids.len()
                ));
                continue;
            }
            // Descendants first: an account with descendants cannot be deleted.
            ids.sort_by_key(|id| {
                std::cmp::Reverse(self.state.account(*id).map_or(0, |account| account.tree.len()))
            });
            for id in ids {
                kept = self.delete_one(kind, id, now_s).await?.or(kept);
            }
        }
        Ok(kept)
    }

    async fn delete_one(&mut self, kind: Kind, id: Id, now_s: u64) -> Result<Option<String>, Failed> {
        // Missing in a list is not proof of a deletion: a list can be cut or lag behind. So each document is requested by its id.
        let owner = if kind == Kind::Hook { self.owner_here(id.as_hook()) } else { None };
        match self.source.gone(kind, id, owner).await.map_err(text)? {
            Gone::Yes => {}
            Gone::No => {
                return Ok(Some(format!(
                    "{id} is missing in KAZOO's list, and KAZOO, asked for it alone, does not say that it is deleted; it stays"
                )));
            }
            Gone::OnlyHalf => {
                return Ok(Some(format!(
                    "the account {id} is missing in the database 'accounts', and its own database is there; it stays (sup \
                     kapps_maintenance ensure_aggregate_accounts)"
                )));
            }
        }
        match self.state.mirror_gone(kind, &id.to_string(), MirroredBy::Sync).await {
            Ok(()) => {
                match kind {
                    Kind::Account => drop(self.world.accounts.remove(&id)),
                    _ => drop(self.world.hooks.remove(&id.as_hook())),
                }
                self.world.revisions.forget((kind, id));
                self.allowance.count(kind);
                self.changed(|status| status.deleted += 1, now_s);
                Ok(None)
            }
            Err(TreeError::HasDescendants(_)) => Ok(Some(format!(
                "the account {id} is deleted in KAZOO; it stays while accounts stand below it here"
            ))),
            Err(error) => Err(text(error)),
        }
    }
}

impl World {
    /// Replaces doubtful documents of a reading by the known ones: those older than the last applied revision, or
    /// older than a hint says. Returns the doubtful documents.
    fn sift(&mut self, reading: &mut Reading, pending: &Pending) -> BTreeSet<(Kind, Id)> {
        let mut doubtful = BTreeSet::new();
        let generation = |rev: &Option<String>| rev.as_deref().and_then(Generation::of);
        for (id, account) in &reading.accounts {
            let hinted = pending.accounts.get(id).copied().flatten();
            if !self.revisions.accept((Kind::Account, *id), generation(&account.rev), hinted) {
                doubtful.insert((Kind::Account, *id));
            }
        }
        for (id, hook) in &reading.hooks {
            let hinted = pending.hooks.get(id).and_then(|hook| hook.generation);
            let key = (Kind::Hook, Id::from(*id));
            if !self.revisions.accept(key, generation(&hook.rev), hinted) {
                doubtful.insert(key);
            }
        }
        for (kind, id) in &doubtful {
            match (kind, self.accounts.get(id)) {
                (Kind::Account, Some(before)) => drop(reading.accounts.insert(*id, before.clone())),
                (Kind::Account, None) => drop(reading.accounts.remove(id)),
                _ => drop(reading.hooks.remove(&id.as_hook())),
            }
        }
        doubtful
    }
}
