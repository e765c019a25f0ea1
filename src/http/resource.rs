//! The resources: the methods of each, and which of them need no admin.

use warp::http::Method;

use super::admin_paths::Admin;
use super::interface::InterfaceResource;

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `api_auth`
    ApiAuth,
    /// `user_auth`
    UserAuth,
    /// `token_auth`
    TokenAuth,
    /// `auth/tokeninfo`: the holder of the token in the data.
    TokenInfo,
    /// Resources that only KAZOO's user interface requests.
    Interface(InterfaceResource),
    /// `webhooks` without an account: the events that hooks can receive.
    Definitions,
    /// `accounts` without an id.
    Accounts,
    /// `accounts/{A}`
    Account,
    /// `…/children`
    Children,
    /// `…/descendants`
    Descendants,
    /// `…/siblings`
    Siblings,
    /// `…/tree`
    Tree,
    /// `…/move`
    Move,
    /// `…/api_keys`
    ApiKeys,
    /// `…/api_keys/{K}`
    ApiKey(String),
    /// `…/api_keys/{K}/rotate`
    ApiKeyRotation(String),
    /// `…/users`
    Users,
    /// `…/users/{U}`
    User(String),
    /// `…/webhooks`
    Hooks,
    /// `…/descendants/webhooks`
    HooksBelow,
    /// `…/webhooks/status`
    HookStatus,
    /// `…/descendants/webhooks/status`
    HookStatusBelow,
    /// `…/webhooks/overview`
    Overview,
    /// `…/descendants/webhooks/overview`
    OverviewBelow,
    /// `console_auth`
    ConsoleAuth,
    /// `…/console_links`
    ConsoleLinks,
    /// `…/console_links/{L}`
    ConsoleLink(String),
    /// `…/webhooks/bulk`
    Bulk,
    /// `…/audit`
    Audit,
    /// `…/webhooks/{H}/inbox`
    Inbox(String),
    /// `…/webhooks/{H}/verify`
    Verify(String),
    /// `…/webhooks/{H}/probe`
    Probe(String),
    /// `…/webhooks/{H}/attempts/{D}/curl`
    Curl(String, String),
    /// `…/webhooks/attempts`
    Attempts,
    /// `…/webhooks/samples`, with or without an account.
    Samples,
    /// `…/webhooks/samples/{F}`, with or without an account.
    Sample(String),
    /// `…/webhooks/{H}`
    Hook(String),
    /// `…/webhooks/{H}/attempts`
    HookAttempts(String),
    /// `…/webhooks/attempts/{D}`
    Delivery(String),
    /// `…/webhooks/{H}/attempts/{D}`
    HookDelivery(String, String),
    /// `…/webhooks/{H}/dead`
    Dead(String),
    /// `…/webhooks/{H}/waiting`
    Waiting(String),
    /// `…/webhooks/{H}/test`
    Test(String),
    /// `…/webhooks/{H}/pause`
    Pause(String),
    /// `…/webhooks/{H}/resume`
    Resume(String),
    /// `…/webhooks/{H}/queue`
    Queue(String),
    /// `…/webhooks/{H}/replay`
    Replays(String),
    /// `…/webhooks/{H}/replay/{R}`
    Replay(String, String),
    /// `…/webhooks/{H}/replay/{R}/pause`
    ReplayPause(String, String),
    /// `…/webhooks/{H}/replay/{R}/resume`
    ReplayResume(String, String),
    /// `…/events`
    Events,
    /// `…/channels`
    Channels,
    /// `…/channels/{C}`
    Channel(String),
    /// `…/events/{E}`
    Event(String),
    /// `…/quarantine`
    QuarantineOf,
    /// `…/quarantine/{E}`
    QuarantinedOf(String),
    /// `quarantine`
    Quarantine,
    /// `quarantine/{E}`
    Quarantined(String),
    /// `websockets` without an account: the possible bindings.
    Bindings,
    /// `…/websockets`
    Sessions,
    /// `…/websockets/{S}`
    Session(String),
    /// `/admin/…`
    Admin(Admin),
}

impl Resource {
    /// The methods of the resource. HEAD goes with GET.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::ApiAuth | Self::UserAuth | Self::ConsoleAuth | Self::Accounts => &[Method::PUT],
            Self::ConsoleLink(_) => &[Method::DELETE],
            Self::Account => &[Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE],
            Self::ApiKeys | Self::Users | Self::Events => &[Method::GET, Method::PUT],
            Self::Children
            | Self::Descendants
            | Self::Siblings
            | Self::Tree
            | Self::HookStatus
            | Self::HookStatusBelow
            | Self::Audit
            | Self::Inbox(_)
            | Self::Verify(_)
            | Self::Curl(..)
            | Self::Overview
            | Self::OverviewBelow
            | Self::Attempts
            | Self::HookAttempts(_)
            | Self::Queue(_)
            | Self::Samples
            | Self::Sample(_)
            | Self::Channels
            | Self::Event(_)
            | Self::Quarantine
            | Self::QuarantineOf
            | Self::Bindings
            | Self::Sessions
            | Self::Waiting(_) => &[Method::GET],
            Self::Channel(_) => &[Method::GET, Method::PUT, Method::POST],
            Self::Definitions | Self::Hooks => &[Method::GET, Method::PUT, Method::PATCH],
            Self::HooksBelow => &[Method::PATCH],
            Self::Hook(_) | Self::User(_) => &[Method::GET, Method::POST, Method::PATCH, Method::DELETE],
            Self::Admin(what) => what.methods(),
            Self::Interface(asked) => asked.methods(),
            Self::Replay(..) | Self::TokenAuth | Self::ApiKey(_) | Self::Session(_) => {
                &[Method::GET, Method::DELETE]
            }
            Self::ConsoleLinks
            | Self::Dead(_)
            | Self::HookDelivery(..)
            | Self::Replays(_)
            | Self::TokenInfo
            | Self::Quarantined(_)
            | Self::QuarantinedOf(_) => &[Method::GET, Method::POST],
            Self::Move
            | Self::ApiKeyRotation(_)
            | Self::Bulk
            | Self::Probe(_)
            | Self::Delivery(_)
            | Self::Test(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::ReplayPause(..)
            | Self::ReplayResume(..) => &[Method::POST],
        }
    }
}

impl Resource {
    /// Whether a token of a plain user is enough: for reading hooks and the results of their deliveries, and for
    /// revoking the user's own token. Everything else needs an admin.
    pub(super) fn is_open_to_users(&self, method: &Method) -> bool {
        match self {
            Self::TokenAuth => true,
            Self::Account
            | Self::Interface(_)
            | Self::Hooks
            | Self::Hook(_)
            | Self::HookStatus
            | Self::Overview
            | Self::Verify(_)
            | Self::Attempts
            | Self::HookAttempts(_)
            | Self::HookDelivery(..)
            | Self::Queue(_)
            | Self::Replays(_)
            | Self::Replay(..)
            | Self::Samples
            | Self::Sample(_) => method == Method::GET,
            _ => false,
        }
    }

    /// Whether this is the user's own document, which they may read and change (`users` prevents changing the role).
    pub(super) fn is_user(&self, user: Option<&str>, method: &Method) -> bool {
        let may = [Method::GET, Method::POST, Method::PATCH].contains(method);
        matches!(self, Self::User(id) if may && user == Some(id.as_str()))
    }

    /// Whether a request costs as much as a log-in.
    pub(super) fn is_log_in(&self) -> bool {
        matches!(self, Self::ApiAuth | Self::UserAuth | Self::ConsoleAuth)
    }
}
