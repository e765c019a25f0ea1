//! The actor of a change, for the audit trail.

use std::net::IpAddr;

use serde::Serialize;

use super::AccountId;

/// The sender of an API request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// The account that the token was issued for.
    pub account: AccountId,
    /// The user that the token was issued for, if any.
    pub user: Option<String>,
    /// The request's id, which the response names too.
    pub request_id: String,
    /// The client's address.
    pub remote: Option<IpAddr>,
}
