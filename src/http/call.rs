//! One authorised request, as the resources receive it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::api::Api;
use super::envelope::Envelope;
use super::errors::ApiError;
use super::request::Request;
use super::tenants::Tenant;
use crate::auth::{Caller, Role};
use crate::model::{Account, AccountId, Actor, HookId, gregorian_seconds};
use crate::state::{Kind, is_deleted, owner};

/// A request whose caller and account are known and authorised.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) api: &'a Api,
    pub(super) request: &'a Request,
    pub(super) envelope: &'a Envelope,
    pub(super) caller: Option<&'a Caller>,
    pub(super) account: Option<Arc<Account>>,
    pub(super) request_id: &'a str,
}

impl Call<'_> {
    /// Whether the caller is a plain user, who sees what an account has but none of its secrets.
    pub(super) fn masks_secrets(&self) -> bool {
        self.account.is_some() && self.caller.is_some_and(|caller| caller.role != Role::Admin)
    }

    /// The tenant of the caller; `None` without a token.
    pub(super) fn tenant(&self) -> Tenant {
        self.caller.map(|caller| self.api.state.tenant_of(caller.account))
    }

    /// The account in the path.
    pub(super) fn account(&self) -> Result<&Arc<Account>, ApiError> {
        self.account.as_ref().ok_or_else(ApiError::invalid_credentials)
    }

    /// Whether the caller has a token of the master account.
    pub(super) fn is_master(&self) -> bool {
        self.caller.is_some_and(|caller| caller.account == self.api.state.settings().master)
    }

    /// Whether the caller may access an account.
    pub(super) fn covers(&self, account: AccountId) -> bool {
        self.caller.is_some_and(|caller| self.api.auth.covers(caller.account, caller.role, account))
    }

    /// The actor that the audit trail names for changes of this request.
    pub(super) fn actor(&self) -> Option<Actor> {
        let (request_id, remote) = (self.request_id.to_owned(), self.request.remote);
        let user = self.caller.and_then(|caller| caller.user.clone());
        self.caller.map(|caller| Actor { account: caller.account, user, request_id, remote })
    }

    /// The path of a new document: the collection's path and the id.
    pub(super) fn location(&self, id: &str) -> String {
        format!("{}/{id}", self.request.path.trim_end_matches('/'))
    }

    /// Seconds since 1970.
    pub(super) fn unix_s(&self) -> u64 {
        self.api.clock.now_us() / 1_000_000
    }

    /// Gregorian seconds now.
    pub(super) fn now_s(&self) -> u64 {
        gregorian_seconds(self.api.clock.now_us())
    }

    /// The hook with this id in the path's account. A hook of another account counts as unknown.
    pub(super) fn hook(&self, id: &str) -> Result<(HookId, Map<String, Value>), ApiError> {
        let unknown = || ApiError::unknown(id);
        let hook: HookId = id.parse().map_err(|_| unknown())?;
        let doc = self.api.state.get(Kind::Hook, &hook.to_string())?.ok_or_else(unknown)?;
        if is_deleted(&doc) || owner(&doc) != Some(self.account()?.id) {
            return Err(unknown());
        }
        Ok((hook, doc))
    }

    /// A parameter: from `data`, otherwise from the query string, otherwise from the envelope
    /// (`docs/kazoo/webhooks.md#requests`).
    pub(super) fn parameter(&self, name: &str) -> Option<Value> {
        let members = self.envelope.members.as_ref();
        let in_data = members.and_then(|m| m.get("data")).and_then(|data| data.get(name));
        let in_query = || self.request.query(name).map(Value::from);
        in_data.cloned().or_else(in_query).or_else(|| members.and_then(|m| m.get(name)).cloned())
    }
}

/// The private fields with the author of a document.
pub(super) fn signature(call: &Call<'_>, account: AccountId) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("pvt_account_id".into(), account.to_string().into());
    out.insert("pvt_vsn".into(), "1".into());
    out.insert("pvt_request_id".into(), call.request_id.into());
    out.insert("pvt_is_authenticated".into(), call.caller.is_some().into());
    if let Some(caller) = call.caller {
        out.insert("pvt_auth_account_id".into(), caller.account.to_string().into());
    }
    out
}
