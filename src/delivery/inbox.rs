//! The built-in receiver: keeps what hooks send to it in memory, for people who have no receiver yet.
//!
//! No connection is made: a request whose URI names the built-in receiver ends here. So nothing else can be reached through
//! it, and the guard needs no exception for it. It is bounded: a tenant has a part of its own and pushes out only what
//! it sent itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::client::Outgoing;
use crate::model::{AccountId, HookId, Received, Response, inbox_status};
use crate::state::State;

/// Requests of one hook that are kept.
const MOST_OF_HOOK: usize = 20;
/// Bytes of one body, and of all that one tenant sent.
const MOST_BODY: usize = 16 << 10;
const MOST_OF_TENANT: usize = 512 << 10;
/// Tenants of which something is kept; of one more, what arrived longest ago goes.
const MOST_TENANTS: usize = 64;
/// What a request takes besides its texts.
const OVERHEAD: usize = 256;

/// The receiver; clones share what it has.
#[derive(Debug, Clone)]
pub(super) struct Inbox(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    state: State,
    kept: Mutex<HashMap<AccountId, StoredRequests>>,
}

/// What one tenant sent, oldest first.
#[derive(Debug, Default)]
struct StoredRequests {
    requests: VecDeque<Received>,
    bytes: usize,
}

impl Inbox {
    /// The receiver; one that is not enabled receives nothing, and its name exists nowhere.
    pub(super) fn new(is_enabled: bool, state: State) -> Self {
        Self(is_enabled.then(|| Arc::new(Inner { state, kept: Mutex::default() })))
    }

    /// Takes a request that is meant for it. `None`: it is for somebody else.
    pub(super) fn take(&self, request: &Outgoing, now_us: u64) -> Option<Response> {
        let status = inbox_status(&request.address.url)?;
        let inner = self.0.as_ref()?;
        let body = request.body.get(..request.body.len().min(MOST_BODY)).unwrap_or_default();
        let received = Received {
            hook: request.hook,
            at_us: now_us,
            method: request.method.to_string(),
            uri: request.address.url.to_string(),
            headers: request.headers.shown(),
            // A slice would keep the whole body in memory.
            body: Bytes::copy_from_slice(body),
            body_bytes: request.body.len(),
            status,
        };
        let tenant = inner.state.tenant_of(request.account);
        keep(&mut inner.kept.lock().unwrap_or_else(PoisonError::into_inner), tenant, received);
        Some(Response {
            status,
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            body: Bytes::from_static(b"kept by the built-in receiver"),
            ..Response::default()
        })
    }

    /// What a hook of an account sent, newest first.
    pub(super) fn of(&self, account: AccountId, hook: HookId) -> Vec<Received> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let tenant = inner.state.tenant_of(account);
        let kept = inner.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = kept.get(&tenant).into_iter().flat_map(|kept| &kept.requests);
        requests.rev().filter(|request| request.hook == hook).cloned().collect()
    }
}

fn keep(kept: &mut HashMap<AccountId, StoredRequests>, tenant: AccountId, received: Received) {
    if kept.len() >= MOST_TENANTS && !kept.contains_key(&tenant) {
        let last = |kept: &StoredRequests| kept.requests.back().map_or(0, |request| request.at_us);
        let longest_ago = kept.iter().min_by_key(|(_, kept)| last(kept)).map(|(tenant, _)| *tenant);
        longest_ago.map(|tenant| kept.remove(&tenant));
    }
    kept.entry(tenant).or_default().push(received);
}

impl StoredRequests {
    fn push(&mut self, received: Received) {
        let hook = received.hook;
        self.bytes += size(&received);
        self.requests.push_back(received);
        let is_same = |request: &Received| request.hook == hook;
        if self.requests.iter().filter(|request| is_same(request)).count() > MOST_OF_HOOK
            && let Some(oldest) = self.requests.iter().position(is_same)
        {
            self.remove(oldest);
        }
        while self.bytes > MOST_OF_TENANT && self.requests.len() > 1 {
            self.remove(0);
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(gone) = self.requests.remove(at) {
            self.bytes -= size(&gone);
        }
    }
}

fn size(received: &Received) -> usize {
    let headers: usize = received.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    OVERHEAD + received.uri.len() + headers + received.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(hook: u128, at_us: u64, bytes: usize) -> Received {
        Received {
            hook: HookId(hook),
            at_us,
            method: "POST".into(),
            uri: String::new(),
            headers: Vec::new(),
            body: vec![b'x'; bytes].into(),
            body_bytes: bytes,
            status: 200,
        }
    }

    #[test]
    fn a_hook_a_tenant_and_all_tenants_together_are_bounded_and_push_out_only_their_own() {
        let mut kept = HashMap::new();
        keep(&mut kept, AccountId(1), received(5, 1, 0));
        for at in 0..100 {
            keep(&mut kept, AccountId(1), received(6, 2 + at, 0));
        }
        let of = |kept: &HashMap<AccountId, StoredRequests>, tenant: u128, hook: u128| {
            kept[&AccountId(tenant)].requests.iter().filter(|request| request.hook == HookId(hook)).count()
        };
        assert_eq!((of(&kept, 1, 5), of(&kept, 1, 6)), (1, MOST_OF_HOOK));
        for hook in 100..200 {
            keep(&mut kept, AccountId(2), received(hook, 1000, MOST_BODY));
        }
        assert!(kept[&AccountId(2)].bytes <= MOST_OF_TENANT && kept[&AccountId(2)].requests.len() > 20);
        assert_eq!(of(&kept, 1, 5), 1, "another tenant lost nothing");
        for tenant in 10..500 {
            keep(&mut kept, AccountId(tenant), received(7, 2000 + u64::try_from(tenant).unwrap(), 0));
        }
        assert_eq!(kept.len(), MOST_TENANTS);
        assert!(kept.contains_key(&AccountId(499)) && !kept.contains_key(&AccountId(1)));
    }
}
