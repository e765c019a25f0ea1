//! From a request to its response, with the checks in KAZOO's order: body, token, method, account id, missing token,
//! authorisation, content type, then the resource (`docs/kazoo/webhooks.md#order-of-checks`).

use std::sync::Arc;

use serde_json::json;
use warp::http::Method;

use super::api::Api;
use super::bearer::token_of;
use super::call::Call;
use super::envelope::Envelope;
use super::errors::ApiError;
use super::frame::Frame;
use super::negotiate::{self, Accepted};
use super::reply::Reply;
use super::request::Request;
use super::response::Response;
use super::route::{Owner, Resource, Route, route};
use super::tenants::{Presence, Tenants};
use super::{
    accounts, admin, admin_paths, api_keys, attempts, audit, bulk, channels, console_links, curl, dead,
    definitions, events, hook_status, inbox, interface, log_in, overview, pages, pause, queue, reenable,
    release, replays, samples, search, test_hook, users, verify, waiting, webhooks, websockets,
};
use crate::auth::{Caller, Purpose, Role, TokenError};
use crate::model::{Account, ReplayState, iso8601, masked};
use crate::state::random_id;

impl Api {
    /// Answers a request whose body has been read or could not be read.
    pub(super) async fn answer(&self, request: Request, body: Result<(), ApiError>) -> Response {
        let segments = request.segments.as_slice();
        if let Some(page) = pages::answer(self, &request).await {
            return self.sent(Presence::default(), page, || {
                Response::json(429, &json!({"error": "too many requests"}))
            });
        }
        let request_id = request.header("x-request-id").filter(|id| !id.is_empty() && id.len() <= 256);
        let mut frame = Frame {
            request_id: request_id.map_or_else(|| random_id().to_string(), str::to_owned),
            node: self.node.clone(),
            timestamp: iso8601(self.clock.now_us()),
            tokens: None,
            auth_token: None,
        };
        let known = known_route(segments);
        if request.method == Method::OPTIONS {
            return Response::options(&frame, known.as_ref());
        }
        let mut presence = Presence::default();
        let result = match body {
            Ok(()) => self.checked(&request, known.as_ref(), &mut frame, &mut presence).await,
            Err(refused) => Err(refused),
        };
        let response = Response::of(&request, &frame, known.as_ref(), result);
        self.sent(presence, response, || {
            Response::of(&request, &frame, known.as_ref(), Err(ApiError::too_many()))
        })
    }

    /// The response with the memory it uses until it is sent. If the tenant has no memory left, a refusal in its place.
    pub(super) fn sent(
        &self,
        presence: Presence,
        mut response: Response,
        refusal: impl FnOnce() -> Response,
    ) -> Response {
        match self.tenants.room(presence, response.body.bytes()) {
            Some(room) => {
                response.room = Some(room);
                response
            }
            None => refusal(),
        }
    }

    async fn checked(
        &self,
        request: &Request,
        known: Option<&Route>,
        frame: &mut Frame,
        presence: &mut Presence,
    ) -> Result<Reply, ApiError> {
        match request.segments.first().map(String::as_str) {
            Some("v2" | "admin") => {}
            Some("v1") => return Err(ApiError::gone()),
            _ => return Err(ApiError::not_found()),
        }
        let envelope = if hands_in_events(request, known) {
            Envelope::of_events(request)?
        } else {
            Envelope::read(request)?
        };
        let caller = self.admit(request, &envelope, known, frame).await?;
        frame.auth_token = caller.as_ref().map(|caller| caller.token.clone());
        let tenant = caller.as_ref().map(|caller| self.state.tenant_of(caller.account));
        let is_operator = tenant == Some(self.state.settings().master);
        *presence = if is_operator {
            Tenants::operator(tenant)
        } else {
            self.tenants.enter(tenant).ok_or_else(ApiError::too_many)?
        };

        let known = known.ok_or_else(ApiError::not_found)?;
        let method = method_of(request, &envelope, &known.resource)?;
        let account = self.account_of(&known.owner, caller.as_ref())?;
        if !known.is_public(&method) {
            // With a new password, the holder of a link could come back when it has ended.
            let changes = caller.as_ref().filter(|caller| !caller.is_by_link() || method == Method::GET);
            let own = changes.and_then(|caller| caller.user.as_deref());
            let open = known.resource.is_open_to_users(&method) || known.resource.is_user(own, &method);
            self.authorise(caller.as_ref(), account.as_deref(), open)?;
        }
        // Only now: in KAZOO, rights are checked before the content type.
        if envelope.unreadable {
            return Err(ApiError::unsupported_media_type());
        }
        let accepted = negotiate::accepted(request);
        // Only lists have a CSV form. For other methods this must be refused before the resource is called.
        let is_csv = accepted == Accepted::Csv;
        if accepted == Accepted::Nothing || (is_csv && method != Method::GET) {
            return Err(ApiError::not_acceptable());
        }
        let mut call = Call {
            api: self,
            request,
            envelope: &envelope,
            caller: caller.as_ref(),
            account,
            request_id: &frame.request_id,
        };
        // The audit trail names the caller for every change that the resource makes.
        let acting = call.actor().map(|actor| self.acting_for(actor));
        if let Some(acting) = &acting {
            call.api = acting;
        }
        let mut reply = dispatch(&call, &known.resource, &method).await?;
        if call.masks_secrets() {
            reply.data = masked("", &reply.data);
        }
        if is_csv && reply.stream.is_none() { Err(ApiError::not_acceptable()) } else { Ok(reply) }
    }

    fn account_of(&self, owner: &Owner, caller: Option<&Caller>) -> Result<Option<Arc<Account>>, ApiError> {
        match owner {
            Owner::Nobody => Ok(None),
            Owner::Caller => Ok(caller.and_then(|caller| self.state.account(caller.account))),
            Owner::Named(text) => {
                let id = text.parse().map_err(|_| ApiError::malformed_account(text))?;
                let account = self.state.account(id).ok_or_else(|| ApiError::unknown(text))?;
                Ok(Some(account))
            }
        }
    }

    /// The caller, if the rate limit allows the request. An invalid token is refused. But on a public route, a text
    /// that does not have the form of a token counts as none: KAZOO's browser clients log in with `X-Auth-Token:
    /// undefined`.
    async fn admit(
        &self,
        request: &Request,
        envelope: &Envelope,
        known: Option<&Route>,
        frame: &mut Frame,
    ) -> Result<Option<Caller>, ApiError> {
        let verified = match token_of(request, envelope.members.as_ref()) {
            Some(token) => Some(self.auth.verify(&token).await),
            None => None,
        };
        let caller = verified.as_ref().and_then(|verified| verified.as_ref().ok());
        // KAZOO's bucket is for management. Events have their own limits.
        let hands_in = caller.is_some() && hands_in_events(request, known);
        let is_log_in = known.is_some_and(|route| route.resource.is_log_in());
        let cost = if hands_in || request.is_part { 0 } else { self.auth.cost(is_log_in) };
        let log_in = known.and_then(|route| log_in::purpose(&self.state, &route.resource, envelope));
        let purpose =
            log_in.unwrap_or_else(|| caller.map_or(Purpose::Nobody, |caller| Purpose::Of(caller.account)));
        // Spent before an invalid token is refused, so that guessing tokens costs too.
        let spent = self.auth.spend(request.remote, purpose, cost);
        frame.tokens = spent.unwrap_or_else(Some);
        spent.map_err(|_| ApiError::too_many())?;
        let is_public = || {
            known.is_some_and(|route| {
                method_of(request, envelope, &route.resource).is_ok_and(|m| route.is_public(&m))
            })
        };
        match verified.transpose() {
            Err(TokenError::Malformed) if is_public() => Ok(None),
            verified => Ok(verified?),
        }
    }

    fn authorise(
        &self,
        caller: Option<&Caller>,
        account: Option<&Account>,
        is_open_to_users: bool,
    ) -> Result<(), ApiError> {
        let caller = caller.ok_or_else(ApiError::invalid_credentials)?;
        let may = caller.role == Role::Admin || is_open_to_users;
        let covers = account.is_none_or(|account| self.auth.covers(caller.account, caller.role, account.id));
        if may && covers { Ok(()) } else { Err(ApiError::forbidden()) }
    }
}

/// Whether this is `PUT …/events`, the one resource that takes its `data` unparsed and has its own limits.
fn hands_in_events(request: &Request, known: Option<&Route>) -> bool {
    request.method == Method::PUT && known.is_some_and(|route| route.resource == Resource::Events)
}

fn known_route(segments: &[String]) -> Option<Route> {
    let (first, rest) = segments.split_first()?;
    match first.as_str() {
        "v2" => route(rest),
        "admin" => {
            let resource = Resource::Admin(admin_paths::route(rest)?);
            Some(Route { resource, owner: Owner::Nobody })
        }
        _ => None,
    }
}

/// The method in effect. A POST may carry another method in the query string or the envelope.
fn method_of(request: &Request, envelope: &Envelope, resource: &Resource) -> Result<Method, ApiError> {
    let tunnelled = || request.query("verb").or_else(|| envelope.text("verb")).map(str::to_ascii_uppercase);
    let method = match request.method {
        Method::HEAD => Method::GET,
        Method::POST => match tunnelled() {
            Some(verb) => Method::from_bytes(verb.as_bytes()).map_err(|_| ApiError::method_not_allowed())?,
            None => Method::POST,
        },
        ref method => method.clone(),
    };
    if resource.methods().contains(&method) { Ok(method) } else { Err(ApiError::method_not_allowed()) }
}

async fn dispatch(call: &Call<'_>, resource: &Resource, method: &Method) -> Result<Reply, ApiError> {
    match (resource, method.as_str()) {
        (Resource::ApiAuth, _) => log_in::with_key(call),
        (Resource::UserAuth, _) => log_in::with_password(call).await,
        (Resource::TokenAuth, "GET") => log_in::check(call),
        (Resource::TokenAuth, _) => log_in::revoke(call).await,
        (Resource::TokenInfo, _) => log_in::look_at(call).await,
        (Resource::Interface(asked), _) => interface::answer(call, asked, method),
        (Resource::Definitions, "GET") => definitions::list(call).await,
        (Resource::Definitions, _) => Err(ApiError::forbidden()),
        (Resource::Samples, _) => Ok(samples::list()),
        (Resource::Sample(id), _) => samples::read(call, id),
        (Resource::Accounts, _) | (Resource::Account, "PUT") => accounts::create(call).await,
        (Resource::Account, "GET") => accounts::read(call),
        (Resource::Account, "POST") => accounts::replace(call).await,
        (Resource::Account, "PATCH") => accounts::merge(call).await,
        (Resource::Account, _) => accounts::delete(call).await,
        (Resource::Move, _) => accounts::move_below(call).await,
        (Resource::Siblings, _) => accounts::siblings(call).await,
        (Resource::Tree, _) => accounts::tree(call).await,
        (Resource::Children, _) => accounts::children(call).await,
        (Resource::Descendants, _) => accounts::descendants(call).await,
        (Resource::ApiKeys, "PUT") => api_keys::create(call).await,
        (Resource::ApiKeys, _) => api_keys::list(call).await,
        (Resource::ApiKey(id), "GET") => api_keys::read(call, id),
        (Resource::ApiKey(id), _) => api_keys::delete(call, id).await,
        (Resource::ApiKeyRotation(id), _) => api_keys::rotate(call, id).await,
        (Resource::Users, "PUT") => users::create(call).await,
        (Resource::Users, _) => users::list(call).await,
        (Resource::User(id), "GET") => users::read(call, id),
        (Resource::User(id), "POST") => users::replace(call, id).await,
        (Resource::User(id), "PATCH") => users::merge(call, id).await,
        (Resource::User(id), _) => users::delete(call, id).await,
        (Resource::Hooks, "GET") => webhooks::list(call).await,
        (Resource::Hooks, "PUT") => webhooks::create(call).await,
        (Resource::Hooks, _) => reenable::of_account(call).await,
        (Resource::HooksBelow, _) => reenable::of_tree(call).await,
        (Resource::Hook(id), "GET") => webhooks::read(call, id),
        (Resource::Hook(id), "POST") => webhooks::replace(call, id).await,
        (Resource::Hook(id), "PATCH") => webhooks::merge(call, id).await,
        (Resource::Hook(id), _) => webhooks::delete(call, id).await,
        (Resource::Attempts, _) => attempts::list(call, None).await,
        (Resource::HookAttempts(id), _) => attempts::list(call, Some(id)).await,
        (Resource::Admin(what), _) => admin::answer(call, *what, method).await,
        (Resource::Channels, _) => channels::list(call).await,
        (Resource::Channel(id), "GET") => channels::read(call, id).await,
        (Resource::Channel(id), "PUT") => channels::flow(call, id).await,
        (Resource::Channel(id), _) => channels::act(call, id).await,
        (Resource::Bindings, _) => Ok(websockets::bindings(call)),
        (Resource::Sessions, _) => websockets::list(call),
        (Resource::Session(id), "GET") => websockets::read(call, id),
        (Resource::Session(id), _) => websockets::close(call, id),
        (other, _) => dispatch_of_overviews(call, other, method).await,
    }
}

/// Resources for the console's overview: the state of hooks, the audit trail, and links that open the console.
async fn dispatch_of_overviews(
    call: &Call<'_>,
    resource: &Resource,
    method: &Method,
) -> Result<Reply, ApiError> {
    match (resource, method.as_str()) {
        (Resource::ConsoleAuth, _) => console_links::redeem(call).await,
        (Resource::ConsoleLinks, "POST") => console_links::create(call).await,
        (Resource::ConsoleLinks, _) => console_links::list(call).await,
        (Resource::ConsoleLink(id), _) => console_links::delete(call, id).await,
        (Resource::Audit, _) => audit::of_account(call).await,
        (Resource::Overview, _) => overview::of_account(call).await,
        (Resource::OverviewBelow, _) => overview::of_tree(call).await,
        (Resource::HookStatus, _) => hook_status::of_account(call).await,
        (Resource::HookStatusBelow, _) => hook_status::of_tree(call).await,
        (other, _) => dispatch_of_events(call, other, method).await,
    }
}

/// Events, including quarantined ones.
async fn dispatch_of_events(
    call: &Call<'_>,
    resource: &Resource,
    method: &Method,
) -> Result<Reply, ApiError> {
    match (resource, method.as_str()) {
        (Resource::Events, "GET") => search::list(call).await,
        (Resource::Event(id), _) => search::read(call, id).await,
        (Resource::Quarantine, _) => search::quarantine(call).await,
        (Resource::Quarantined(id), "POST") => release::release_any(call, id).await,
        (Resource::Quarantined(id), _) => search::quarantined(call, id).await,
        (Resource::QuarantineOf, _) => search::quarantine_of(call).await,
        (Resource::QuarantinedOf(id), "POST") => release::release_of(call, id).await,
        (Resource::QuarantinedOf(id), _) => search::quarantined_of(call, id).await,
        (Resource::Events, _) => events::create(call).await,
        (of_hook, _) => dispatch_of_hook(call, of_hook, method).await,
    }
}

/// Resources below a hook: its deliveries and replays.
async fn dispatch_of_hook(call: &Call<'_>, resource: &Resource, method: &Method) -> Result<Reply, ApiError> {
    match (resource, method.as_str()) {
        (Resource::Delivery(id), _) => dead::again(call, None, id).await,
        (Resource::HookDelivery(hook, id), "GET") => attempts::read(call, hook, id).await,
        (Resource::HookDelivery(hook, id), _) => dead::again(call, Some(hook), id).await,
        (Resource::Dead(id), "POST") => dead::redeliver(call, id).await,
        (Resource::Dead(id), _) => dead::list(call, id).await,
        (Resource::Waiting(id), _) => waiting::list(call, id).await,
        (Resource::Bulk, _) => bulk::apply(call).await,
        (Resource::Inbox(id), _) => inbox::read(call, id),
        (Resource::Verify(id), _) => verify::read(call, id),
        (Resource::Probe(id), _) => pause::probe(call, id).await,
        (Resource::Curl(hook, id), _) => curl::read(call, hook, id).await,
        (Resource::Test(id), _) => test_hook::send(call, id).await,
        (Resource::Pause(id), _) => pause::set(call, id, true).await,
        (Resource::Resume(id), _) => pause::set(call, id, false).await,
        (Resource::Queue(id), _) => queue::read(call, id).await,
        (Resource::Replays(id), "POST") => replays::create(call, id).await,
        (Resource::Replays(id), _) => replays::list(call, id).await,
        (Resource::Replay(id, replay), "GET") => replays::read(call, id, replay).await,
        (Resource::Replay(id, replay), _) => replays::cancel(call, id, replay).await,
        (Resource::ReplayPause(id, replay), _) => replays::hold(call, id, replay, ReplayState::Paused).await,
        (Resource::ReplayResume(id, replay), _) => {
            replays::hold(call, id, replay, ReplayState::Running).await
        }
        _ => Err(ApiError::not_found()),
    }
}
