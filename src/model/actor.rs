//! Who asked for a change: what the audit trail says of it.

use std::net::IpAddr;

use serde::Serialize;

use super::AccountId;

/// Whoever asked for something through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The account that the token was issued for.
    pub account: AccountId,
    /// The user that it was issued for, if it was for one.
    pub user: Option<String>,
    /// The request, as its answer names it.
    pub request_id: String,
    /// Where it came from.
    pub remote: Option<IpAddr>,
}
