//! `GET …/webhooks/status` and `…/descendants/webhooks/status`: hooks with the state of their queues.
//!
//! Hooks that need attention come first. `search` looks for a text in what identifies a hook, `state` filters by the
//! state. No documents are read, because the compiled hooks have everything that rows show. This keeps a page fast
//! with 10,000 hooks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::{each, not_listed};
use super::list::{Item, List, Rows};
use super::queue::{moment, nothing};
use super::reply::Reply;
use crate::model::{
    AccountId, DeadLeft, Hook, HookId, Pulse, QueueStatus, Standing, Trigger, last_attempt_row,
};
use crate::state::State;

/// `GET …/webhooks/status`
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    list(call, |owner| owner == account).await
}

/// `GET …/descendants/webhooks/status`: the account and everything below it.
pub(super) async fn of_tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    let accounts = tree(call)?;
    list(call, |owner| accounts.contains(&owner)).await
}

/// The path's account and all below it.
pub(super) fn tree(call: &Call<'_>) -> Result<BTreeSet<AccountId>, ApiError> {
    let account = call.account()?.id;
    let below = call.api.state.descendants(account);
    Ok(below.iter().map(|account| account.id).chain([account]).collect())
}

/// A hook with the state of its queue and its recent activity.
#[derive(Debug, Clone)]
pub(super) struct Standings {
    pub(super) hook: Arc<Hook>,
    pub(super) status: QueueStatus,
    pub(super) pulse: Option<Pulse>,
    pub(super) standing: Standing,
    /// The dead deliveries that were not delivered since. `None`: they are still being counted.
    pub(super) dead_left: Option<DeadLeft>,
    /// When it was asked, milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Standings {
    /// The dead deliveries that are known to be left.
    pub(super) fn lost(&self) -> u64 {
        self.dead_left.map_or(0, |left| left.count)
    }
}

/// The `wanted` hooks of these accounts, with their queues.
pub(super) async fn standings(
    call: &Call<'_>,
    of: impl Fn(AccountId) -> bool,
    wanted: impl Fn(&Hook) -> bool,
) -> Result<Vec<Standings>, ApiError> {
    let api = call.api;
    let hooks: Vec<Arc<Hook>> =
        api.state.all_hooks().into_iter().filter(|hook| of(hook.account) && wanted(hook)).collect();
    let statuses = api.queues.statuses(&hooks).await?;
    let (end, now_ms) = (api.events.end(), api.clock.now_us() / 1000);
    let mut left = dead_left(call, &hooks, &statuses).await?;
    let found = hooks.into_iter().zip(statuses).map(|(hook, status)| {
        // A hook that was just created may have no queue yet.
        let status = status.unwrap_or_else(|| nothing(end, hook.enabled, hook.paused));
        let pulse = api.queues.pulse(hook.id);
        let standing = status.standing(pulse.as_ref());
        let dead_left = left.remove(&hook.id).unwrap_or(Some(NONE_LEFT));
        Standings { hook, status, pulse, standing, dead_left, now_ms }
    });
    Ok(found.collect())
}

const NONE_LEFT: DeadLeft = DeadLeft { count: 0, is_exact: true, is_behind: false, last_us: None };

/// The dead deliveries of the hooks that ever had one.
async fn dead_left(
    call: &Call<'_>,
    hooks: &[Arc<Hook>],
    statuses: &[Option<QueueStatus>],
) -> Result<HashMap<HookId, Option<DeadLeft>>, ApiError> {
    let had_some = |status: &Option<QueueStatus>| status.as_ref().is_some_and(|status| status.had_dead);
    let asked = hooks.iter().zip(statuses).filter(|(_, status)| had_some(status));
    let asked: Vec<HookId> = asked.map(|(hook, _)| hook.id).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let left = call.api.queues.dead_left(asked.clone()).await?;
    Ok(asked.into_iter().zip(left).collect())
}

async fn list(call: &Call<'_>, of: impl Fn(AccountId) -> bool) -> Result<Reply, ApiError> {
    let list = List::of(call)?;
    let state = call.api.state.clone();
    let states = states(call)?;
    let search = call.request.query("search").map(str::to_lowercase).filter(|text| !text.is_empty());
    let order = Order::of(call)?;
    let is_found = |hook: &Hook| search.as_ref().is_none_or(|text| is_found(&state, hook, text));
    let found = standings(call, of, is_found).await?.into_iter();
    let found = found.filter(|one| states.is_empty() || states.contains(&one.standing));
    let keyed = found.map(|one| (order.key(&one), one)).collect();
    let state = call.api.state.clone();
    list.answer(Rows::new(keyed, move |one: &Standings| Item::from(row(&state, one)))).await
}

/// The order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Hooks that need attention, then those furthest behind.
    Attention,
    /// By name, from Z to A unless the list is ascending.
    Name,
    /// The most waiting events first.
    Waiting,
    /// The oldest waiting event first.
    Oldest,
    /// The most dead deliveries first.
    Dead,
    /// The slowest last attempt first.
    Slowest,
}

impl Order {
    const ALL: [(Self, &str); 6] = [
        (Self::Attention, "attention"),
        (Self::Name, "name"),
        (Self::Waiting, "waiting"),
        (Self::Oldest, "oldest"),
        (Self::Dead, "dead"),
        (Self::Slowest, "slowest"),
    ];

    fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let Some(wanted) = call.request.query("sort").filter(|word| !word.is_empty()) else {
            return Ok(Self::Attention);
        };
        let found = Self::ALL.into_iter().find(|(_, word)| *word == wanted).map(|(order, _)| order);
        found.ok_or_else(|| not_listed("sort", &wanted.into(), &json!(Self::ALL.map(|(_, word)| word))))
    }

    /// The key of a row. Lists begin with the largest key.
    pub(super) fn key(self, one: &Standings) -> String {
        let id = one.hook.id;
        let number = match self {
            Self::Name => return format!("{}\0{id}", one.hook.name.to_lowercase()),
            Self::Attention => {
                let height = |rank: usize| 2 * Standing::ALL.len().saturating_sub(rank);
                // A hook that has lost deliveries comes right behind those that fail.
                let lost = if one.lost() > 0 { height(Standing::Failing.rank()) - 1 } else { 0 };
                let height = height(one.standing.rank()).max(lost);
                return format!("{height:02}{:020}{id}", one.status.waiting);
            }
            Self::Waiting => one.status.waiting,
            Self::Oldest => one.status.oldest_waiting_age_ms.map_or(0, |age_ms| {
                // An age grows between two pages of a list; the time since which it counts does not.
                u64::MAX / 2 - one.now_ms.saturating_sub(age_ms)
            }),
            Self::Dead => one.lost(),
            Self::Slowest => one.pulse.map_or(0, |pulse| pulse.last.duration_us),
        };
        format!("{number:020}{id}")
    }
}

/// The states by which the list is filtered; empty for all.
fn states(call: &Call<'_>) -> Result<Vec<Standing>, ApiError> {
    let known = |word: &str| Standing::ALL.into_iter().find(|standing| standing.id() == word);
    each(call, "state", known, || json!(Standing::ALL.map(Standing::id)))
}

/// Whether a hook's name, URI, id, event or account contains a text.
fn is_found(state: &State, hook: &Hook, text: &str) -> bool {
    let account = || state.account(hook.account).map(|account| account.name.clone());
    hook.name.to_lowercase().contains(text)
        || crate::model::masked_uri(&hook.uri).to_lowercase().contains(text)
        || hook.id.to_string().contains(text)
        || event(hook).contains(text)
        || account().is_some_and(|name| name.to_lowercase().contains(text))
}

/// The hook's event, as in its document.
fn event(hook: &Hook) -> &'static str {
    match hook.trigger {
        Trigger::All => "all",
        Trigger::Family(family) => family.id(),
    }
}

pub(super) fn row(state: &State, one: &Standings) -> Value {
    let Standings { hook, status, pulse, standing, dead_left, .. } = one;
    let account = state.account(hook.account);
    json!({
        "id": hook.id, "account_id": hook.account,
        "account_name": account.map(|account| account.name.clone()), "name": hook.name, "hook": event(hook),
        "uri": hook.uri, "http_verb": hook.verb.id(), "enabled": hook.enabled, "paused": hook.paused,
        "state": standing, "waiting": status.waiting, "waiting_exact": status.waiting_exact,
        "in_flight": status.in_flight, "dead": status.dead, "dead_left": dead_left.map(|left| left.count),
        "dead_left_exact": dead_left.is_some_and(|left| left.is_exact), "recent_failures": status.recent_failures,
        "oldest_waiting_age_ms": status.oldest_waiting_age_ms,
        "next_try_at": status.next_try_at_us.map(moment), "disable_reason": status.disable_reason,
        "disabled_at": hook.disabled_at_s,
        "gap": status.gap, "last_attempt": pulse.map(|pulse| last_attempt_row(&pulse.last)),
        "rate_per_min": pulse.map_or(0, |pulse| pulse.per_minute),
        "failed_per_min": pulse.map_or(0, |pulse| pulse.failed_per_minute),
    })
}
