//! The actions of the forms on a hook's page. Each is one call of the API.

use serde_json::json;
use warp::http::Method;

use super::Sent;
use crate::console::reply::{Outcome, Problem};
use crate::console::session::Session;

/// `POST accounts/{A}/hooks/{H}/{action}`
pub(in crate::console) async fn act(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    action: &str,
    sent: &Sent,
) -> Result<Outcome, Problem> {
    let of_hook = ["v2", "accounts", account, "webhooks", hook];
    let below = |name| [&of_hook[..], &[name]].concat();
    let page = |done: &str| Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{hook}?done={done}")));
    match action {
        "enable" => {
            session.send(Method::PATCH, &of_hook, json!({"enabled": true})).await?;
            page("enabled")
        }
        "disable" => {
            session.send(Method::PATCH, &of_hook, json!({"enabled": false})).await?;
            page("disabled")
        }
        "pause" => {
            session.send(Method::POST, &below("pause"), json!({})).await?;
            page("paused")
        }
        "resume" => {
            session.send(Method::POST, &below("resume"), json!({})).await?;
            page("resumed")
        }
        "probe" => {
            session.send(Method::POST, &below("probe"), json!({})).await?;
            page("probed")
        }
        "delete" if sent.text("sure") == "yes" => {
            session.send(Method::DELETE, &of_hook, json!({})).await?;
            Ok(Outcome::See(format!("/console/accounts/{account}/hooks?done=deleted")))
        }
        _ => Err(Problem::not_found()),
    }
}

/// `POST accounts/{A}/hooks/{H}/attempts/{D}/again`: repeats the delivery with the same id.
pub(in crate::console) async fn again(
    session: &Session<'_>,
    account: &str,
    hook: &str,
    delivery: &str,
) -> Result<Outcome, Problem> {
    let path = ["v2", "accounts", account, "webhooks", hook, "attempts", delivery];
    session.send(Method::POST, &path, json!({})).await?;
    Ok(Outcome::See(format!("/console/accounts/{account}/hooks/{hook}?done=again")))
}
