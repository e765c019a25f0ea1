//! `/health/live` and `/health/ready`: plain JSON, no token.

use serde_json::json;

use super::api::Api;
use super::ports::{Fault, Readiness};
use super::response::Response;

/// This answers.
pub(super) fn live() -> Response {
    Response::json(200, &json!({"status": "live"}))
}

/// All that is wrong now.
pub(super) async fn readiness(api: &Api) -> Readiness {
    let mut readiness = api.health.readiness().await;
    let journal = api.state.journal().health();
    let fault = |what: &str, reason: String| Fault { what: what.into(), reason };
    readiness.faults.extend(api.state.index_failure().map(|reason| fault("index", reason)));
    readiness.faults.extend(journal.poisoned.map(|reason| fault("journal", reason)));
    readiness.faults.extend(api.state.trail().health().poisoned.map(|reason| fault("audit", reason)));
    if journal.full {
        readiness.faults.push(fault("journal", "no room on disk".into()));
    }
    readiness.notices.extend(journal.damage.iter().map(|damage| fault("journal", damage.to_string())));
    readiness
}

/// Everything is at work; 503 with the reasons otherwise.
pub(super) async fn ready(api: &Api) -> Response {
    let readiness = readiness(api).await;
    let is_ready = readiness.faults.is_empty();
    let status = if is_ready { 200 } else { 503 };
    let body = json!({"ready": is_ready, "faults": readiness.faults, "notices": readiness.notices});
    Response::json(status, &body)
}
