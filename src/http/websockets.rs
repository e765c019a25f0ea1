//! Lists of websocket bindings and sessions, in the form of KAZOO 4.0 or 5 according to `api.profile`
//! (`docs/kazoo/websockets.md#listings-over-http`, `docs/kazoo/classic.md#listings-of-websockets`).
//!
//! A session is shown to its own account and to those above it, with at most 8 characters of its token.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::list::List;
use super::options::Profile;
use super::reply::Reply;
use crate::kazoo::{
    CALL_EVENTS, MESSAGE_EVENTS, OBJECT_ACTIONS, PRESENCE_PACKAGES, notification_types, object_types,
};
use crate::live::SessionView;
use crate::model::AccountId;

/// Call events in the order of KAZOO 4.0's listing; newer ones follow.
const CLASSIC_CALL_EVENTS: [&str; 9] = [
    "CHANNEL_CREATE",
    "CHANNEL_ANSWER",
    "CHANNEL_DESTROY",
    "CHANNEL_BRIDGE",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "PARK_PARKED",
    "PARK_RETRIEVED",
    "PARK_ABANDONED",
];

/// `GET websockets`: the possible bindings. Needs no token.
pub(super) fn bindings(call: &Call<'_>) -> Reply {
    Reply::ok(match call.api.options.profile {
        Profile::Classic => classic_bindings(),
        Profile::Current => current_bindings(),
    })
}

fn classic_bindings() -> Value {
    let row = |binding: String, event: &str| json!({"binding": binding, "event": event});
    let messages = |kind: &str| MESSAGE_EVENTS.map(|event| row(format!("{kind}.{event}.*"), event));
    let call = CLASSIC_CALL_EVENTS.map(|event| row(format!("call.{event}.*"), event));
    let object = objects()
        .map(|(action, type_)| row(format!("object.{action}.{type_}"), &format!("{action}.{type_}")));
    json!({
        "call": call,
        "fax": [row("fax.status.*".to_owned(), "fax")],
        "mms": messages("mms"),
        "notification": notifications().map(|t| row(format!("notification.{t}"), t)).collect::<Vec<_>>(),
        "object": object.collect::<Vec<_>>(),
        "parking": parking().map(|event| row(format!("parking.{event}.*"), event)).collect::<Vec<_>>(),
        "sms": messages("sms"),
    })
}

fn current_bindings() -> Value {
    let presence = PRESENCE_PACKAGES.map(|package| {
        let id = if package == "mwi_updates" { "USER" } else { "CALL_ID" };
        format!("presence.{package}.{{{id}}}")
    });
    json!({
        "call": CALL_EVENTS.map(|event| format!("call.{event}.{{CALL_ID}}")),
        "conference": ["conference.event.{CONFERENCE_ID}.{CALL_ID}", "conference.command.{CONFERENCE_ID}"],
        "fax": ["fax.status.{FAX_ID}", "fax.object.{ACTION}"],
        "mms": MESSAGE_EVENTS.map(|event| format!("mms.{event}.{{MESSAGE_ID}}")),
        "notification": notifications().map(|type_| format!("notification.{type_}")).collect::<Vec<_>>(),
        "object": objects().map(|(action, type_)| format!("object.{action}.{type_}")).collect::<Vec<_>>(),
        "parking": parking().map(|event| format!("parking.{event}.{{CALL_ID}}")).collect::<Vec<_>>(),
        "presence": presence,
        "sms": MESSAGE_EVENTS.map(|event| format!("sms.{event}.{{MESSAGE_ID}}")),
    })
}

/// All types of notifications, and any.
fn notifications() -> impl Iterator<Item = &'static str> {
    std::iter::once("*").chain(notification_types())
}

fn parking() -> impl Iterator<Item = &'static str> {
    CALL_EVENTS.into_iter().filter(|event| event.starts_with("PARK_"))
}

fn objects() -> impl Iterator<Item = (&'static str, &'static str)> {
    OBJECT_ACTIONS.into_iter().flat_map(|action| object_types().map(move |type_| (action, type_)))
}

/// `GET …/websockets`: the sessions of the account and, as in KAZOO, of the caller's own account.
pub(super) fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let sessions = call.api.live.sessions().of(&accounts(call)?);
    let rows = sessions.into_iter().map(|session| match call.api.options.profile {
        Profile::Classic => session.id.into(),
        Profile::Current => session.row().into(),
    });
    Ok(Reply::ok(rows.collect::<Vec<Value>>()))
}

/// `GET /admin/websockets`: the sessions of all accounts, or of the accounts that `account_id`, `below` (an account with all below it)
/// and `address` leave.
pub(super) async fn everybodys(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (account, below) = (asked_account(call, "account_id")?, asked_account(call, "below")?);
    let address = call.request.query("address").filter(|text| !text.is_empty());
    let address: Option<IpAddr> = address
        .map(str::parse)
        .transpose()
        .map_err(|_| ApiError::field("address", "type", &json!({"message": "must be an IP address"})))?;
    let state = call.api.state.clone();
    let is_below = |owner: AccountId, top: AccountId| {
        owner == top || state.account(owner).is_some_and(|account| account.tree.contains(&top))
    };
    let is_asked_for = |session: &SessionView| {
        account.is_none_or(|account| session.account == account)
            && below.is_none_or(|top| is_below(session.account, top))
            && address.is_none_or(|address| session.source.to_canonical() == address.to_canonical())
    };
    let sessions = call.api.live.sessions().all().into_iter().filter(is_asked_for);
    let rows = sessions.map(|session| {
        let mut row = session.row();
        let name = state.account(session.account).map(|account| account.name.clone());
        row.insert("account_id".into(), session.account.to_string().into());
        row.insert("account_name".into(), name.into());
        (format!("{:020}{}", session.since_us, session.id), Value::Object(row))
    });
    List::of(call)?.rows(rows.collect()).await
}

fn asked_account(call: &Call<'_>, name: &str) -> Result<Option<AccountId>, ApiError> {
    let text = call.request.query(name).filter(|text| !text.is_empty());
    let details = json!({"message": "must be an account's id of 32 hex digits"});
    text.map(|text| text.parse().map_err(|_| ApiError::field(name, "type", &details))).transpose()
}

/// `GET …/websockets/{S}`: one session. As in KAZOO, an unknown one gives an empty response.
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let session = call.api.live.sessions().find(&accounts(call)?, id);
    Ok(Reply::ok(match call.api.options.profile {
        Profile::Classic => session.iter().map(classic).collect::<Value>(),
        Profile::Current => session.map(|session| session.row()).unwrap_or_default().into(),
    }))
}

/// `DELETE …/websockets/{S}`: closes a session with code 1000.
pub(super) fn close(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let closed = call.api.live.sessions().close(&accounts(call)?, id);
    let session = closed.ok_or_else(|| ApiError::unknown(id))?;
    tracing::info!(session_id = id, account_id = %session.account, "session closed over the API");
    Ok(Reply::ok(session.row()))
}

fn accounts(call: &Call<'_>) -> Result<Vec<AccountId>, ApiError> {
    let own = call.caller.map(|caller| caller.account);
    Ok(own.into_iter().chain([call.account()?.id]).collect())
}

fn classic(session: &SessionView) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("account_id".into(), session.account.to_string().into());
    out.insert("auth_token".into(), format!("{}…", session.token).into());
    out.extend(session.row());
    out
}
