//! The table of routes: the resource of each path, and the account that it belongs to.

use warp::http::Method;

use super::interface::InterfaceResource;
pub(super) use super::resource::Resource;

/// The account of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// None.
    Nobody,
    /// `account`: the caller's account.
    Caller,
    /// `accounts/{A}`, with the id as in the path.
    Named(String),
}

/// A known path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) resource: Resource,
    pub(super) owner: Owner,
}

/// The segments of a path at the names in a pattern's braces.
type Ids<'a> = std::vec::IntoIter<&'a str>;

/// Makes the resource from these segments.
type Make = fn(Ids<'_>) -> Resource;

/// Every route: whose resource it is, the pattern of its path below `/v2` (or below the account), and the resource. The
/// first pattern that fits counts, so fixed words come before names.
const ROUTES: &[(Whose, &str, Make)] = &[
    (Whose::Nobodys, "api_auth", |_| Resource::ApiAuth),
    (Whose::Nobodys, "user_auth", |_| Resource::UserAuth),
    (Whose::Nobodys, "console_auth", |_| Resource::ConsoleAuth),
    (Whose::Callers, "token_auth", |_| Resource::TokenAuth),
    (Whose::Nobodys, "auth/tokeninfo", |_| Resource::TokenInfo),
    (Whose::Nobodys, "webhooks", |_| Resource::Definitions),
    (Whose::Nobodys, "webhooks/samples", |_| Resource::Samples),
    (Whose::Nobodys, "webhooks/samples/{F}", |ids| Resource::Sample(next(ids))),
    (Whose::Nobodys, "websockets", |_| Resource::Bindings),
    (Whose::Callers, "accounts", |_| Resource::Accounts),
    (Whose::Callers, "quarantine", |_| Resource::Quarantine),
    (Whose::Callers, "quarantine/{E}", |ids| Resource::Quarantined(next(ids))),
    (Whose::Accounts, "", |_| Resource::Account),
    (Whose::Accounts, "children", |_| Resource::Children),
    (Whose::Accounts, "descendants", |_| Resource::Descendants),
    (Whose::Accounts, "siblings", |_| Resource::Siblings),
    (Whose::Accounts, "tree", |_| Resource::Tree),
    (Whose::Accounts, "move", |_| Resource::Move),
    (Whose::Nobodys, "whitelabel/{D}", |_| Resource::Interface(InterfaceResource::Look)),
    (Whose::Nobodys, "whitelabel/{D}/icon", |_| Resource::Interface(InterfaceResource::Look)),
    (Whose::Nobodys, "whitelabel/{D}/logo", |_| Resource::Interface(InterfaceResource::Look)),
    (Whose::Nobodys, "whitelabel/{D}/welcome", |_| Resource::Interface(InterfaceResource::Look)),
    (Whose::Accounts, "apps_store", |_| Resource::Interface(InterfaceResource::Apps)),
    (Whose::Accounts, "apps_store/blacklist", |_| Resource::Interface(InterfaceResource::Blacklist)),
    (Whose::Accounts, "alerts", |_| Resource::Interface(InterfaceResource::Alerts)),
    (Whose::Accounts, "callflows", |_| Resource::Interface(InterfaceResource::Callflows)),
    (Whose::Accounts, "callflows/{C}", |ids| Resource::Interface(InterfaceResource::Callflow(next(ids)))),
    (Whose::Accounts, "ledgers/total", |_| Resource::Interface(InterfaceResource::Balance)),
    (Whose::Accounts, "limits", |_| Resource::Interface(InterfaceResource::Limits)),
    (Whose::Accounts, "multi_factor", |_| Resource::Interface(InterfaceResource::MultiFactor)),
    (Whose::Accounts, "phone_numbers", |_| Resource::Interface(InterfaceResource::Numbers)),
    (Whose::Accounts, "phone_numbers/classifiers", |_| Resource::Interface(InterfaceResource::Classifiers)),
    (Whose::Accounts, "security", |_| Resource::Interface(InterfaceResource::Security)),
    (Whose::Accounts, "api_keys", |_| Resource::ApiKeys),
    (Whose::Accounts, "api_keys/{K}", |ids| Resource::ApiKey(next(ids))),
    (Whose::Accounts, "api_keys/{K}/rotate", |ids| Resource::ApiKeyRotation(next(ids))),
    (Whose::Accounts, "users", |_| Resource::Users),
    (Whose::Accounts, "users/{U}", |ids| Resource::User(next(ids))),
    (Whose::Accounts, "webhooks", |_| Resource::Hooks),
    (Whose::Accounts, "descendants/webhooks", |_| Resource::HooksBelow),
    (Whose::Accounts, "descendants/webhooks/status", |_| Resource::HookStatusBelow),
    (Whose::Accounts, "audit", |_| Resource::Audit),
    (Whose::Accounts, "console_links", |_| Resource::ConsoleLinks),
    (Whose::Accounts, "console_links/{L}", |ids| Resource::ConsoleLink(next(ids))),
    (Whose::Accounts, "webhooks/bulk", |_| Resource::Bulk),
    (Whose::Accounts, "webhooks/{H}/verify", |ids| Resource::Verify(next(ids))),
    (Whose::Accounts, "webhooks/{H}/inbox", |ids| Resource::Inbox(next(ids))),
    (Whose::Accounts, "webhooks/{H}/probe", |ids| Resource::Probe(next(ids))),
    (Whose::Accounts, "webhooks/{H}/attempts/{D}/curl", |mut ids| Resource::Curl(next(&mut ids), next(ids))),
    (Whose::Accounts, "descendants/webhooks/overview", |_| Resource::OverviewBelow),
    (Whose::Accounts, "webhooks/overview", |_| Resource::Overview),
    (Whose::Accounts, "webhooks/status", |_| Resource::HookStatus),
    (Whose::Accounts, "webhooks/attempts", |_| Resource::Attempts),
    (Whose::Accounts, "webhooks/samples", |_| Resource::Samples),
    (Whose::Accounts, "webhooks/samples/{F}", |ids| Resource::Sample(next(ids))),
    (Whose::Accounts, "webhooks/attempts/{D}", |ids| Resource::Delivery(next(ids))),
    (Whose::Accounts, "webhooks/{H}", |ids| Resource::Hook(next(ids))),
    (Whose::Accounts, "webhooks/{H}/attempts", |ids| Resource::HookAttempts(next(ids))),
    (Whose::Accounts, "webhooks/{H}/attempts/{D}", |mut ids| {
        Resource::HookDelivery(next(&mut ids), next(ids))
    }),
    (Whose::Accounts, "webhooks/{H}/dead", |ids| Resource::Dead(next(ids))),
    (Whose::Accounts, "webhooks/{H}/waiting", |ids| Resource::Waiting(next(ids))),
    (Whose::Accounts, "webhooks/{H}/test", |ids| Resource::Test(next(ids))),
    (Whose::Accounts, "webhooks/{H}/pause", |ids| Resource::Pause(next(ids))),
    (Whose::Accounts, "webhooks/{H}/resume", |ids| Resource::Resume(next(ids))),
    (Whose::Accounts, "webhooks/{H}/queue", |ids| Resource::Queue(next(ids))),
    (Whose::Accounts, "webhooks/{H}/replay", |ids| Resource::Replays(next(ids))),
    (Whose::Accounts, "webhooks/{H}/replay/{R}", |mut ids| Resource::Replay(next(&mut ids), next(ids))),
    (Whose::Accounts, "webhooks/{H}/replay/{R}/pause", |mut ids| {
        Resource::ReplayPause(next(&mut ids), next(ids))
    }),
    (Whose::Accounts, "webhooks/{H}/replay/{R}/resume", |mut ids| {
        Resource::ReplayResume(next(&mut ids), next(ids))
    }),
    (Whose::Accounts, "events", |_| Resource::Events),
    (Whose::Accounts, "channels", |_| Resource::Channels),
    (Whose::Accounts, "channels/{C}", |ids| Resource::Channel(next(ids))),
    (Whose::Accounts, "events/{E}", |ids| Resource::Event(next(ids))),
    (Whose::Accounts, "quarantine", |_| Resource::QuarantineOf),
    (Whose::Accounts, "quarantine/{E}", |ids| Resource::QuarantinedOf(next(ids))),
    (Whose::Accounts, "websockets", |_| Resource::Sessions),
    (Whose::Accounts, "websockets/{S}", |ids| Resource::Session(next(ids))),
];

/// Whose resource a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Nobodys,
    Callers,
    /// An account's, after `accounts/{A}`, or `account` for the caller's.
    Accounts,
}

/// The patterns of the table, for tests of all routes.
#[cfg(test)]
pub(super) fn patterns() -> impl Iterator<Item = (Whose, &'static str)> {
    ROUTES.iter().map(|(whose, pattern, _)| (*whose, *pattern))
}

fn next<'a>(mut ids: impl Iterator<Item = &'a str>) -> String {
    ids.next().unwrap_or_default().to_owned()
}

/// The route of a path below `/v2`.
pub(super) fn route(segments: &[String]) -> Option<Route> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (account, rest) = match segments.as_slice() {
        ["account", rest @ ..] => (Some(Owner::Caller), rest),
        ["accounts", id, rest @ ..] => (Some(Owner::Named((*id).to_owned())), rest),
        all => (None, all),
    };
    let (whose, ids, resource) = ROUTES.iter().find_map(|(whose, pattern, resource)| {
        let fits = (*whose == Whose::Accounts) == account.is_some();
        Some((whose, ids(pattern, rest).filter(|_| fits)?, resource))
    })?;
    let owner = match whose {
        Whose::Nobodys => Owner::Nobody,
        Whose::Callers => Owner::Caller,
        Whose::Accounts => account?,
    };
    Some(Route { resource: resource(ids.into_iter()), owner })
}

/// The segments at the names of a pattern, if the path fits it.
fn ids<'a>(pattern: &str, segments: &[&'a str]) -> Option<Vec<&'a str>> {
    let words = pattern.split('/').filter(|word| !word.is_empty());
    if words.clone().count() != segments.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (word, segment) in words.zip(segments) {
        if word.starts_with('{') {
            ids.push(*segment);
        } else if word != *segment {
            return None;
        }
    }
    Some(ids)
}

impl Route {
    /// Whether this needs no token.
    pub(super) fn is_public(&self, method: &Method) -> bool {
        match (&self.resource, &self.owner) {
            (
                Resource::ApiAuth
                | Resource::UserAuth
                | Resource::ConsoleAuth
                | Resource::TokenInfo
                | Resource::Interface(InterfaceResource::Look),
                _,
            ) => true,
            (
                Resource::Definitions | Resource::Samples | Resource::Sample(_) | Resource::Bindings,
                Owner::Nobody,
            ) => method == Method::GET,
            _ => false,
        }
    }
}
