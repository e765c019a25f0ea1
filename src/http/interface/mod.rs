//! Further resources that KAZOO's user interface, Monster UI, requests besides accounts, users and hooks.
//!
//! Its pages wait for these responses and stop at a refusal. Each response is what a KAZOO answers for an account
//! without such data, which is true here: Switchhook has no calls to route, no numbers and no bills. Writing is
//! refused with a reason. One exception: the wizard for a new account creates a call flow for unassigned numbers.
//! Every account has that flow here, so creating it succeeds.

mod apps;

use serde_json::{Value, json};
use warp::http::Method;

use super::call::Call;
use super::envelope::Envelope;
use super::errors::ApiError;
use super::reply::Reply;

/// The requested resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InterfaceResource {
    /// `…/apps_store`: the apps that work without a KAZOO.
    Apps,
    /// `…/apps_store/blacklist`: apps that the account must not see.
    Blacklist,
    /// `…/alerts`
    Alerts,
    /// `…/callflows`
    Callflows,
    /// `…/callflows/{C}`
    Callflow(String),
    /// `…/ledgers/total`: the account's balance.
    Balance,
    /// `…/limits`: trunks and prepaid calls.
    Limits,
    /// `…/multi_factor`: second factors of a log-in.
    MultiFactor,
    /// `…/phone_numbers`
    Numbers,
    /// `…/phone_numbers/classifiers`: kinds of numbers that calls can be restricted to.
    Classifiers,
    /// `…/security`: how log-ins are checked.
    Security,
    /// `whitelabel/{D}` and below: the design of the log-in page at this host name.
    Look,
}

/// The id of the only call flow. The interface does not open an account without a flow for unassigned numbers.
const NO_MATCH: &str = "7377697463686f6f6b0000000000000a";

/// A call flow that does nothing, because calls are not routed here.
fn unrouted() -> Value {
    let flow = json!({"module": "none", "data": {}, "children": {}});
    json!({"id": NO_MATCH, "numbers": ["no_match"], "flow": flow})
}

impl InterfaceResource {
    /// The answered methods. Those other than GET are attempts to write, and are refused.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Callflows => &[Method::GET, Method::PUT],
            Self::Blacklist | Self::Callflow(_) | Self::Limits => &[Method::GET, Method::POST],
            _ => &[Method::GET],
        }
    }
}

/// Whether a flow is the one for unassigned numbers.
fn is_no_match(envelope: &Envelope) -> bool {
    envelope.object().is_ok_and(|flow| flow.get("numbers") == Some(&json!(["no_match"])))
}

/// Answers the request.
///
/// # Errors
/// 403 for all writes except the flow that every account has. 404 for the design of a log-in page, so that the interface
/// shows its own, and for all other call flows.
pub(super) fn answer(call: &Call<'_>, asked: &InterfaceResource, method: &Method) -> Result<Reply, ApiError> {
    if *asked == InterfaceResource::Callflows && method == Method::PUT && is_no_match(call.envelope) {
        return Ok(Reply::created(unrouted(), call.location(NO_MATCH)));
    }
    if method != Method::GET {
        return Err(ApiError::not_kept());
    }
    let data = match asked {
        InterfaceResource::Apps => apps::list(),
        InterfaceResource::Blacklist => json!({"blacklist": []}),
        InterfaceResource::Alerts => json!([]),
        InterfaceResource::Callflows => json!([{"id": NO_MATCH, "numbers": ["no_match"]}]),
        InterfaceResource::Callflow(id) if id == NO_MATCH => unrouted(),
        InterfaceResource::Callflow(id) => return Err(ApiError::unknown(id)),
        InterfaceResource::Balance => json!({"amount": 0}),
        InterfaceResource::Limits | InterfaceResource::Classifiers => json!({}),
        InterfaceResource::MultiFactor => json!({"configured": [], "multi_factor_providers": []}),
        InterfaceResource::Numbers => json!({"numbers": {}}),
        InterfaceResource::Security => json!({"account": {}, "inherited_config": {}}),
        InterfaceResource::Look => return Err(ApiError::not_found()),
    };
    Ok(Reply::ok(data))
}
