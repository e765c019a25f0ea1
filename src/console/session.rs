//! The session of a person, and its requests to the API.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use warp::http::Method;

use super::cookies;
use super::forms::{FormError, Forms};
use super::reply::Refusal;
use super::{Console, json};
use crate::auth::{Caller, Role};
use crate::http::{Api, ApiResponse, Ask, Visit};

/// Rows of a page of a list.
const PAGE: &str = "50";

/// A request in a session.
pub(super) struct Session<'a> {
    api: &'a Api,
    forms: &'a Forms,
    pub(super) visit: &'a Visit,
    pub(super) caller: Caller,
    /// The account of the session.
    pub(super) account: String,
    /// That account's name.
    pub(super) account_name: String,
    /// Whether the person is an operator: an admin of the operator's account.
    pub(super) is_operator: bool,
    /// Whether the person may change the account.
    pub(super) is_admin: bool,
    /// The token of the forms on this page.
    pub(super) form: String,
    is_charged: AtomicBool,
}

/// The session of a request; `None`: there is none, or its rights have ended.
pub(super) async fn of<'a>(console: &'a Console, api: &'a Api, visit: &'a Visit) -> Option<Session<'a>> {
    let token = cookies::session(&visit.headers)?;
    let caller = api.holder(token).await.ok()?;
    let form = console.forms.issue(caller.standing().identity(), api.now_us(), rand::random());
    let mut session = Session {
        api,
        forms: &console.forms,
        visit,
        account: caller.account.to_string(),
        account_name: String::new(),
        is_operator: false,
        is_admin: caller.role == Role::Admin,
        form,
        is_charged: AtomicBool::new(false),
        caller,
    };
    // If a limit is used up, the page itself says so.
    let me = session.ask(Method::GET, &["v2", "token_auth"], &[], None).await;
    json::text(me.data(), "account_name").clone_into(&mut session.account_name);
    session.is_operator = session.is_admin && json::flag(me.data(), "is_master_account");
    Some(session)
}

impl Session<'_> {
    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        data: Option<Value>,
    ) -> ApiResponse {
        // A page asks the API several times. Only the first request is charged to the rate limit, as if the page
        // were one request.
        let is_part = self.is_charged.swap(true, Ordering::Relaxed);
        let token = Some(self.caller.token.as_str());
        let response =
            self.api.ask(Ask { method, path, query, data, token, remote: self.visit.remote, is_part }).await;
        if response.status == 429 && !is_part {
            self.is_charged.store(false, Ordering::Relaxed);
        }
        response
    }

    /// Reads from the API.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<ApiResponse, Refusal> {
        Refusal::unless_done(self.ask(Method::GET, path, query, None).await)
    }

    /// Reads a page of a list from the API, from where the query string says. Parameters without a value are left out.
    pub(super) async fn page(&self, path: &[&str], query: &[(&str, &str)]) -> Result<ApiResponse, Refusal> {
        let own = [("page_size", PAGE), ("start_key", self.query("start_key"))];
        let asked: Vec<_> = own.iter().chain(query).filter(|(_, value)| !value.is_empty()).copied().collect();
        self.get(path, &asked).await
    }

    /// Makes a change through the API.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        data: Value,
    ) -> Result<ApiResponse, Refusal> {
        Refusal::unless_done(self.ask(method, path, &[], Some(data)).await)
    }

    /// Accepts the token of the form.
    pub(super) fn take_form(&self, token: &str) -> Result<(), FormError> {
        self.forms.take(self.caller.standing().identity(), token, self.api.now_us())
    }

    /// A new token for the session, if the present one expires soon.
    pub(super) fn renewed(&self, most_s: u64) -> Option<String> {
        self.api.prolonged(&self.caller, most_s)
    }

    /// Microseconds since 1970.
    pub(super) fn now_us(&self) -> u64 {
        self.api.now_us()
    }

    /// A complete address of this program, with the host that the browser requested.
    pub(super) fn address(&self, path: &str) -> String {
        let host = self.visit.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let scheme = if super::origin::is_https(&self.visit.headers) { "https" } else { "http" };
        format!("{scheme}://{host}{path}")
    }

    /// A parameter of the query string.
    pub(super) fn query(&self, name: &str) -> &str {
        let found = self.visit.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}
