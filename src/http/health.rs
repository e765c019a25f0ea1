//! `/health/live` and `/health/ready`: plain JSON without a token. Only callers with the token of metrics see reasons.

use serde_json::json;

use super::api::Api;
use super::operator::Visitor;
use super::ports::{Fault, Readiness};
use super::response::Response;

/// Shown to strangers instead of a reason.
const WITHHELD: &str = "withheld: use the token of metrics.token, or see the log";

/// Always 200: the listener answers.
pub(super) fn live() -> Response {
    Response::json(200, &json!({"status": "live"}))
}

/// All present faults and notices.
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

/// 200 if everything works, otherwise 503 with the faults. Strangers do not see reasons, which contain addresses and
/// file names.
pub(super) async fn ready(api: &Api, to: Visitor) -> Response {
    let mut readiness = readiness(api).await;
    if to == Visitor::Stranger {
        for said in readiness.faults.iter_mut().chain(&mut readiness.notices) {
            WITHHELD.clone_into(&mut said.reason);
        }
    }
    let is_ready = readiness.faults.is_empty();
    let status = if is_ready { 200 } else { 503 };
    let body = json!({"ready": is_ready, "faults": readiness.faults, "notices": readiness.notices});
    Response::json(status, &body)
}
