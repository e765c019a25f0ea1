//! `GET …/webhooks/overview`, `…/descendants/webhooks/overview` and `/admin/overview`: the flow of the last hour by
//! minutes, hooks by state, what waits, and hooks that need attention, in one request.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::health;
use super::hook_status::{Order, Standings, row, standings, tree};
use super::operator::{Flow, Hour};
use super::reply::Reply;
use super::status;
use crate::model::{AccountId, Minute, Standing, gregorian_seconds};

/// The most hooks in need of attention that are shown. `…/webhooks/status` lists all.
const SHOWN: usize = 10;
const MINUTE_US: u64 = 60_000_000;

/// `GET …/webhooks/overview`
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    of(call, |owner| owner == account).await
}

/// `GET …/descendants/webhooks/overview`: the account and everything below it.
pub(super) async fn of_tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    let accounts = tree(call)?;
    of(call, |owner| accounts.contains(&owner)).await
}

async fn of(call: &Call<'_>, accounts: impl Fn(AccountId) -> bool) -> Result<Reply, ApiError> {
    let found = standings(call, accounts, |_| true).await?;
    let (mut minutes, mut rates) = (BTreeMap::new(), (0_u64, 0_u64));
    for one in &found {
        for Minute { minute, attempts, failed } in call.api.queues.hour(one.hook.id) {
            let sum: &mut Flow = minutes.entry(minute).or_default();
            sum.delivered += u64::from(attempts.saturating_sub(failed));
            sum.failed += u64::from(failed);
        }
        if let Some(pulse) = one.pulse {
            rates.0 += u64::from(pulse.per_minute.saturating_sub(pulse.failed_per_minute));
            rates.1 += u64::from(pulse.failed_per_minute);
        }
    }
    let minutes = minutes.into_iter().map(|(minute, flow)| {
        json!({"at_ms": minute * MINUTE_US / 1000, "delivered": flow.delivered, "failed": flow.failed})
    });
    let mut out = hooks(call, found);
    out.insert("rates".into(), json!({"delivered_per_min": rates.0, "failed_per_min": rates.1}));
    out.insert("hour".into(), minutes.collect::<Vec<_>>().into());
    Ok(Reply::ok(out))
}

/// `GET /admin/overview`: all accounts, and the state of the program.
pub(super) async fn of_program(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mut out = hooks(call, standings(call, |_| true, |_| true).await?);
    let Hour { minutes, last } = call.api.operator.hour();
    let minutes = minutes.iter().map(|flow| {
        json!({
            "at_ms": flow.at_us / 1000, "received": flow.received, "delivered": flow.delivered,
            "failed": flow.failed,
        })
    });
    let rates = json!({
        "received_per_min": last.received, "delivered_per_min": last.delivered, "failed_per_min": last.failed,
    });
    out.insert("rates".into(), rates);
    out.insert("hour".into(), minutes.collect::<Vec<_>>().into());
    let readiness = health::readiness(call.api).await;
    out.insert("ready".into(), readiness.faults.is_empty().into());
    out.insert("faults".into(), json!(readiness.faults));
    out.insert("notices".into(), json!(readiness.notices));
    out.extend(status::program(call).await);
    Ok(Reply::ok(out))
}

fn hooks(call: &Call<'_>, mut found: Vec<Standings>) -> Map<String, Value> {
    let by_state = Standing::ALL.map(|standing| {
        let count = found.iter().filter(|one| one.standing == standing).count();
        (standing.id().to_owned(), Value::from(count))
    });
    let waiting: u64 = found.iter().map(|one| one.status.waiting).sum();
    let oldest = found.iter().filter_map(|one| one.status.oldest_waiting_age_ms).max();
    let all = found.len();
    let lost: u64 = found.iter().map(Standings::lost).sum();
    let with_lost = found.iter().filter(|one| one.lost() > 0).count();
    let is_exact = found.iter().all(|one| one.dead_left.is_some_and(|left| left.is_exact));
    found.retain(needs_a_person);
    let in_need = found.len();
    found.sort_by_cached_key(|one| std::cmp::Reverse(Order::Attention.key(one)));
    found.truncate(SHOWN);
    let rows = found.iter().map(|one| row(&call.api.state, one));
    let fields = [
        ("now", Value::from(gregorian_seconds(call.api.clock.now_us()))),
        ("hooks", all.into()),
        ("hooks_by_state", Map::from_iter(by_state).into()),
        ("waiting", waiting.into()),
        ("oldest_waiting_age_ms", json!(oldest)),
        ("dead_left", lost.into()),
        ("dead_left_exact", is_exact.into()),
        ("hooks_with_dead", with_lost.into()),
        ("in_need", in_need.into()),
        ("in_need_first", rows.collect::<Vec<_>>().into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether a hook receives nothing, or has lost something.
fn needs_a_person(one: &Standings) -> bool {
    matches!(one.standing, Standing::AutoDisabled | Standing::Failing)
        || one.status.gap.is_some()
        || one.lost() > 0
}
