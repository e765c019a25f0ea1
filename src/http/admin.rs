//! `/admin/…`: endpoints for operators, with a token of the master account. KAZOO has none, but the envelope is the
//! same.

use serde_json::{Value, json};
use warp::http::Method;

use super::admin_paths::Admin;
use super::audit;
use super::call::Call;
use super::errors::ApiError;
use super::import;
use super::list::{Item, List, Rows};
use super::mode;
use super::operator::Setting;
use super::overview;
use super::reply::Reply;
use super::status::{self, survey};
use super::websockets;
use crate::log::SegmentRange;
use crate::model::gregorian_seconds;
use crate::queues::SurveyedHook;
use crate::state::{Kind, State};

pub(super) async fn answer(call: &Call<'_>, what: Admin, method: &Method) -> Result<Reply, ApiError> {
    if !call.is_master() {
        return Err(ApiError::forbidden());
    }
    match what {
        Admin::Status => status::read(call).await,
        Admin::Overview => overview::of_program(call).await,
        Admin::Log => segments(call).await,
        Admin::Hooks => hooks(call).await,
        Admin::Retention => Ok(retain(call).await),
        Admin::Audit => audit::list(call).await,
        Admin::Mode if *method == Method::POST => mode::change(call).await,
        Admin::Mode => mode::read(call).await,
        Admin::Import => import(call, method).await,
        Admin::Config => Ok(configuration(call).await),
        Admin::Websockets => websockets::everybodys(call).await,
    }
}

async fn import(call: &Call<'_>, method: &Method) -> Result<Reply, ApiError> {
    if method == Method::POST { import::change(call).await } else { import::list(call).await }
}

/// `GET /admin/log?log=events`: the segments of one log, newest first.
async fn segments(call: &Call<'_>) -> Result<Reply, ApiError> {
    let log = call.request.query("log").unwrap_or("events");
    let segments = call.api.operator.segments(log).ok_or_else(|| ApiError::unknown(log))?;
    let rows = segments.iter().map(|segment| (format!("{:020}", segment.first), shown_segment(segment)));
    List::of(call)?.rows(rows.collect()).await
}

fn shown_segment(segment: &SegmentRange) -> Value {
    json!({
        "first_offset": segment.first, "end_offset": segment.end, "bytes": segment.bytes,
        "created": gregorian_seconds(segment.created_us), "closed": segment.closed,
    })
}

/// `GET /admin/hooks`: every hook, failing ones first, then by the number of waiting deliveries.
async fn hooks(call: &Call<'_>) -> Result<Reply, ApiError> {
    let hooks = survey(call).await?.hooks.into_iter().map(|hook| {
        let failing = u8::from(hook.is_failing());
        (format!("{failing}{:020}{}", hook.status.waiting, hook.hook.id), hook)
    });
    let state = call.api.state.clone();
    let shape = move |hook: &SurveyedHook| Item::from(shown_hook(&state, hook));
    List::of(call)?.answer(Rows::new(hooks.collect(), shape)).await
}

fn shown_hook(state: &State, surveyed: &SurveyedHook) -> Value {
    let (hook, status) = (&surveyed.hook, &surveyed.status);
    // A hook that was just deleted may have no document.
    let document = state.get(Kind::Hook, &hook.id.to_string()).ok().flatten().unwrap_or_default();
    json!({
        "id": hook.id, "account_id": hook.account, "name": document.get("name"), "state": status.state,
        "failing": surveyed.is_failing(), "waiting": status.waiting,
        "waiting_exact": status.waiting_exact,
        "oldest_waiting_age_ms": status.oldest_waiting_age_ms, "in_flight": status.in_flight,
        "dead": status.dead, "recent_failures": status.recent_failures, "cursor": status.cursor,
        "next_try_at": status.next_try_at_us.map(gregorian_seconds),
        "disable_reason": status.disable_reason, "gap": status.gap,
    })
}

/// `GET /admin/config`: every key of the configuration with its value, without secrets.
async fn configuration(call: &Call<'_>) -> Reply {
    let settings = call.api.operator.configuration().await.into_iter();
    let rows = settings.map(|Setting { key, value, changed, reloadable }| {
        json!({"key": key, "value": value, "changed": changed, "reloadable": reloadable})
    });
    Reply::ok(rows.collect::<Vec<_>>())
}

/// `POST /admin/retention`: applies retention now instead of within ten minutes.
async fn retain(call: &Call<'_>) -> Reply {
    let retained = call.api.operator.retain().await;
    let shown = retained.into_iter().map(|log| {
        let row = match log.first {
            Ok((before, after)) => json!({"first_offset": after, "dropped": after.saturating_sub(before)}),
            Err(reason) => json!({"error": reason}),
        };
        (log.name.to_owned(), row)
    });
    Reply::ok(Value::Object(shown.collect()))
}
