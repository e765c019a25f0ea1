//! The table of routes: which resource a path names, and which methods it knows.

use warp::http::Method;

use super::admin::Admin;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `api_auth`
    ApiAuth,
    /// `webhooks`, without an account: what can be asked for.
    Definitions,
    /// `…/webhooks/samples`, with or without an account.
    Samples,
    /// `…/webhooks/samples/{S}`
    Sample(String),
    /// `accounts`, without an id.
    Accounts,
    /// `accounts/{A}`
    Account,
    /// `…/children`
    Children,
    /// `…/descendants`
    Descendants,
    /// `…/api_keys`
    ApiKeys,
    /// `…/webhooks`
    Hooks,
    /// `…/descendants/webhooks`
    HooksBelow,
    /// `…/webhooks/attempts`
    Attempts,
    /// `…/webhooks/{H}`
    Hook(String),
    /// `…/webhooks/{H}/attempts`
    HookAttempts(String),
    /// `…/webhooks/{H}/queue`
    Queue(String),
    /// `…/webhooks/{H}/replay`
    Replays(String),
    /// `…/webhooks/{H}/replay/{R}`
    Replay(String, String),
    /// `…/events`
    Events,
    /// `/admin/…`
    Admin(Admin),
}

/// Which account a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// None.
    Nobody,
    /// `account`: the caller's.
    Caller,
    /// `accounts/{A}`, as it stands in the path.
    Named(String),
}

/// A path that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) resource: Resource,
    pub(super) owner: Owner,
}

/// The route of a path below `/v2`.
pub(super) fn route(segments: &[String]) -> Option<Route> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (owner, rest) = match segments.as_slice() {
        ["api_auth"] => return Some(Route { resource: Resource::ApiAuth, owner: Owner::Nobody }),
        ["webhooks"] => return Some(Route { resource: Resource::Definitions, owner: Owner::Nobody }),
        ["webhooks", "samples", ..] => (Owner::Nobody, segments.as_slice()),
        ["accounts"] => return Some(Route { resource: Resource::Accounts, owner: Owner::Caller }),
        ["account", rest @ ..] => (Owner::Caller, rest),
        ["accounts", id, rest @ ..] => (Owner::Named((*id).to_owned()), rest),
        _ => return None,
    };
    Some(Route { resource: resource(rest)?, owner })
}

fn resource(rest: &[&str]) -> Option<Resource> {
    Some(match *rest {
        [] => Resource::Account,
        ["children"] => Resource::Children,
        ["descendants"] => Resource::Descendants,
        ["api_keys"] => Resource::ApiKeys,
        ["webhooks"] => Resource::Hooks,
        ["descendants", "webhooks"] => Resource::HooksBelow,
        ["webhooks", "attempts"] => Resource::Attempts,
        ["webhooks", "samples"] => Resource::Samples,
        ["webhooks", "samples", sample] => Resource::Sample(sample.to_owned()),
        ["webhooks", hook] => Resource::Hook(hook.to_owned()),
        ["webhooks", hook, "attempts"] => Resource::HookAttempts(hook.to_owned()),
        ["webhooks", hook, "queue"] => Resource::Queue(hook.to_owned()),
        ["webhooks", hook, "replay"] => Resource::Replays(hook.to_owned()),
        ["webhooks", hook, "replay", id] => Resource::Replay(hook.to_owned(), id.to_owned()),
        ["events"] => Resource::Events,
        _ => return None,
    })
}

impl Route {
    /// Whether this needs no token.
    pub(super) fn is_public(&self, method: &Method) -> bool {
        match (&self.resource, &self.owner) {
            (Resource::ApiAuth, _) => true,
            (Resource::Definitions | Resource::Samples | Resource::Sample(_), Owner::Nobody) => {
                method == Method::GET
            }
            _ => false,
        }
    }
}

impl Resource {
    /// The methods it knows; HEAD goes with GET.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::ApiAuth | Self::Accounts | Self::Events => &[Method::PUT],
            Self::Account | Self::ApiKeys => &[Method::GET, Method::PUT],
            Self::Children
            | Self::Descendants
            | Self::Attempts
            | Self::HookAttempts(_)
            | Self::Queue(_)
            | Self::Samples
            | Self::Sample(_) => &[Method::GET],
            Self::Definitions | Self::Hooks => &[Method::GET, Method::PUT, Method::PATCH],
            Self::HooksBelow => &[Method::PATCH],
            Self::Hook(_) => &[Method::GET, Method::POST, Method::PATCH, Method::DELETE],
            Self::Admin(what) => what.methods(),
            Self::Replays(_) => &[Method::GET, Method::POST],
            Self::Replay(..) => &[Method::GET, Method::DELETE],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Resource> {
        let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        route(&segments).map(|route| route.resource)
    }

    #[test]
    fn attempts_of_an_account_are_no_hook() {
        assert_eq!(of("accounts/a/webhooks/attempts"), Some(Resource::Attempts));
        assert_eq!(of("account/webhooks/h/attempts"), Some(Resource::HookAttempts("h".into())));
        assert_eq!(of("accounts/a/webhooks/h"), Some(Resource::Hook("h".into())));
    }

    #[test]
    fn unknown_paths_have_no_route() {
        for path in [
            "",
            "nothing",
            "accounts/a/webhooks/h/nothing",
            "accounts/a/b",
            "webhooks/x",
            "webhooks/samples/a/b",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
