//! A round of the sync: reads everything, or the documents named by hints, compares, and writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::allowance::Allowance;
use super::hints::{Hint, Hints, Pending};
use super::revisions::{Generation, Revisions};
use super::status::{Doing, SyncStatus};
use super::under_way::{Needs, Shown, UnderWay, recall, wants};
use super::{Sync, SyncOptions};
use crate::model::{AccountId, DocumentId, HookId};
use crate::onboarding::apply::Begin;
use crate::onboarding::odd::OddKind;
use crate::onboarding::plan::{Plan, plan};
use crate::onboarding::reading::{KazooAccount, KazooLimits, Reading};
use crate::onboarding::rules::{Rules, Scope};
use crate::onboarding::source::Source;
use crate::onboarding::{Outcome, put};
use crate::state::{Kind, MirroredBy, State, is_deleted, is_mirrored, owner};
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
pub(super) struct World {
    accounts: BTreeMap<AccountId, KazooAccount>,
    hooks: BTreeSet<HookId>,
    system: KazooLimits,
    revisions: Revisions,
    /// The account whose failure limits a full reading has read again last.
    turn: Option<AccountId>,
    /// Branches that were half moved at the last full reading.
    half_moved: BTreeSet<AccountId>,
}

/// Everything that a round uses.
pub(super) struct Round {
    pub(super) source: Source,
    pub(super) state: State,
    begin: std::sync::Arc<dyn Begin>,
    pub(super) options: SyncOptions,
    pub(super) tasks: Tasks,
    hints: std::sync::Arc<Hints>,
    pub(super) world: World,
    under_way: Option<UnderWay>,
    pub(super) allowance: Allowance,
    status: tokio::sync::watch::Sender<SyncStatus>,
}

pub(super) fn text(error: impl std::fmt::Display) -> Failed {
    error.to_string()
}

impl Round {
    pub(super) fn new(sync: Sync) -> Self {
        let Sync { source, state, begin, options, tasks, hints, status, .. } = sync;
        let (world, under_way) = Default::default();
        let allowance = Allowance::new(options.max_gone_percent);
        Self { source, state, begin, options, tasks, hints, world, under_way, allowance, status }
    }

    /// How many accounts and hooks are known.
    pub(super) fn known(&self) -> usize {
        self.world.accounts.len() + self.world.hooks.len()
    }

    /// Reads everything, or continues a reading that broke off. `pending` has the hints that arrived before.
    pub(super) async fn all(&mut self, pending: &Pending, now_s: u64) -> Result<Came, Failed> {
        let kept = self.under_way.take().filter(|kept| kept.is_fresh(now_s));
        let mut under_way = match kept {
            Some(kept) => kept,
            None => self.begin(now_s).await?,
        };
        // A replica may answer with an older revision than the one that a hint has named. Such a document keeps
        // its known content until it is read again.
        let doubtful = self.world.sift(&mut under_way.reading, pending);
        self.again(&doubtful, pending);
        if let Err(error) = self.steps(&mut under_way, now_s).await {
            self.under_way = Some(under_way);
            return Err(error);
        }
        let reading = Reading { is_complete: true, ..under_way.reading };
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
        // Only after the write: if it fails, the next round compares with the old world and writes again.
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
            status.reading = None;
            status.kept.clone_from(&kept);
        });
        let is_whole = waiting == 0 && refused == 0 && kept.is_none() && doubtful.is_empty();
        Ok(self.came(is_whole))
    }

    /// Reads the lists of a new full reading.
    async fn begin(&mut self, now_s: u64) -> Result<UnderWay, Failed> {
        let mut reading = self.source.lists(&self.shown()).await.map_err(text)?;
        let (master, here) = (reading.master().unwrap_or_default(), self.state.settings().master);
        // Another master means another KAZOO. Everything here would look deleted.
        if master != here {
            return Err(format!(
                "the master account of the KAZOO is {master}, and here it is {here}; begin with a new data_dir and \
                 accounts.master_id = \"{master}\""
            ));
        }
        let needs = Needs { hooks: !self.source.lists_hooks(), again: self.options.step };
        let (state, mut turn) = (self.state.clone(), self.world.turn);
        let last = std::mem::take(&mut self.world.accounts);
        let preparing = self.tasks.spawn_blocking(move || {
            recall(&mut reading, &last, &state);
            let wants = wants(&reading, master, needs, &mut turn);
            (reading, wants, turn, last)
        });
        let (reading, wants, turn, last) = preparing.await.map_err(text)?;
        (self.world.accounts, self.world.turn) = (last, turn);
        Ok(UnderWay::new(reading, wants, self.options.step, now_s))
    }

    fn shown(&self) -> Shown {
        Shown(self.status.clone())
    }

    /// Reads the details of accounts step by step. A step of a long reading is written at once, so that it need not be
    /// read again.
    async fn steps(&self, under_way: &mut UnderWay, now_s: u64) -> Result<(), Failed> {
        let shown = self.shown();
        loop {
            let step = under_way.step(self.options.step);
            if step.is_empty() {
                return Ok(());
            }
            let part = under_way.part(&shown);
            self.source.details(&step, &mut under_way.reading, part).await.map_err(text)?;
            if under_way.is_long {
                let accounts = step.iter().map(|want| want.account).collect();
                let rules = Rules {
                    half_moved_wait: true,
                    scope: Scope::Only(accounts),
                    ..self.options.rules.clone()
                };
                // If the plan fails, the reading is lost, and the next attempt begins again.
                let reading = std::mem::take(&mut under_way.reading);
                let (mut made, reading) = self.plan(reading, rules).await?;
                under_way.reading = reading;
                self.write(&mut made, now_s).await?;
            }
            under_way.finished(step.len(), now_s);
        }
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
        let mut gone: Vec<_> = missing_accounts.map(|id| (Kind::Account, DocumentId::from(*id))).collect();
        if !self.options.rules.hooks_once {
            gone.extend(missing_hooks.map(|id| (Kind::Hook, DocumentId::from(*id))));
        }
        let master = self.state.settings().master;
        gone.retain(|(kind, id)| *id != master.into() && self.is_kazoos(*kind, *id));
        let doubtful = self.world.sift(&mut reading, pending);
        gone.retain(|key| !doubtful.contains(key));
        self.again(&doubtful, pending);
        let changed: BTreeSet<_> = reading.accounts.keys().copied().collect();
        self.world.accounts.append(&mut reading.accounts);
        self.world.hooks.extend(reading.hooks.keys());
        self.options.bounds.check(self.world.accounts.len(), self.world.hooks.len()).map_err(text)?;
        // The plan needs the whole tree to find places and realms, but writes only the changed accounts.
        let scope = Scope::Below(changed);
        let rules = Rules { half_moved_wait: true, scope, ..self.options.rules.clone() };
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
    fn again(&self, doubtful: &BTreeSet<(Kind, DocumentId)>, pending: &Pending) {
        for (kind, id) in doubtful {
            if *kind == Kind::Account {
                let account = id.as_account();
                self.hints.add(Hint::Account(account, pending.accounts.get(&account).copied().flatten()));
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

    fn here(&self, kind: Kind, id: DocumentId) -> Option<Document> {
        self.state.get(kind, &id.to_string()).ok().flatten().filter(|doc| !is_deleted(doc))
    }

    pub(super) fn owner_here(&self, hook: HookId) -> Option<AccountId> {
        owner(&self.here(Kind::Hook, hook.into())?)
    }

    fn is_kazoos(&self, kind: Kind, id: DocumentId) -> bool {
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

    pub(super) fn changed(&self, count: impl FnOnce(&mut SyncStatus), now_s: u64) {
        self.status.send_modify(|status| {
            count(status);
            status.last_change_s = Some(now_s);
        });
    }
}

impl World {
    /// Forgets a deleted document.
    pub(super) fn forget(&mut self, kind: Kind, id: DocumentId) {
        match kind {
            Kind::Account => drop(self.accounts.remove(&id.as_account())),
            _ => drop(self.hooks.remove(&id.as_hook())),
        }
        self.revisions.forget((kind, id));
    }

    /// Replaces doubtful documents of a reading by the known ones: those older than the last applied revision, or
    /// older than a hint says. Returns the doubtful documents.
    fn sift(&mut self, reading: &mut Reading, pending: &Pending) -> BTreeSet<(Kind, DocumentId)> {
        let mut doubtful = BTreeSet::new();
        let generation = |rev: &Option<String>| rev.as_deref().and_then(Generation::of);
        for (id, account) in &reading.accounts {
            let hinted = pending.accounts.get(id).copied().flatten();
            let key = (Kind::Account, DocumentId::from(*id));
            if !self.revisions.accept(key, generation(&account.rev), hinted) {
                doubtful.insert(key);
            }
        }
        for (id, hook) in &reading.hooks {
            let hinted = pending.hooks.get(id).and_then(|hook| hook.generation);
            let key = (Kind::Hook, DocumentId::from(*id));
            if !self.revisions.accept(key, generation(&hook.rev), hinted) {
                doubtful.insert(key);
            }
        }
        for (kind, id) in &doubtful {
            if *kind != Kind::Account {
                reading.hooks.remove(&id.as_hook());
                continue;
            }
            let account = id.as_account();
            match self.accounts.get(&account) {
                Some(before) => drop(reading.accounts.insert(account, before.clone())),
                None => drop(reading.accounts.remove(&account)),
            }
        }
        doubtful
    }
}
