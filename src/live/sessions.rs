//! Which sessions there are, for listings and limits. A session holds a seat from before its upgrade until its
//! connection is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::options::Options;
use super::protocol::Protocol;
use crate::model::{AccountId, gregorian_seconds};
use crate::tasks::Stop;

/// What a listing shows of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// `IP:PORT` of the client.
    pub id: String,
    /// The account of its token.
    pub account: AccountId,
    /// The first 8 characters of its token; more of it is kept nowhere here.
    pub token: String,
    /// The client's bindings, oldest first.
    pub bindings: Vec<String>,
    /// When it connected, in microseconds since 1970.
    pub since_us: u64,
    /// The client's address.
    pub source: IpAddr,
    /// This host.
    pub destination: String,
    /// As the client named it.
    pub name: Option<Value>,
    /// What the client left with it.
    pub metadata: Option<Value>,
}

impl SessionView {
    /// As KAZOO 5 lists it (`docs/kazoo/websockets.md#listings-over-http`).
    #[must_use]
    pub fn row(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("bindings".into(), self.bindings.clone().into());
        out.insert("destination".into(), self.destination.clone().into());
        for (name, value) in [("metadata", &self.metadata), ("name", &self.name)] {
            if let Some(value) = value {
                out.insert(name.into(), value.clone());
            }
        }
        out.insert("source".into(), self.source.to_string().into());
        out.insert("timestamp".into(), gregorian_seconds(self.since_us).into());
        out.insert("websocket_session_id".into(), self.id.clone().into());
        out
    }
}

/// All sessions of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seats: Mutex<Seats>,
    most: usize,
    most_per_ip: usize,
    most_per_account: usize,
    most_without_token: usize,
    host: String,
}

#[derive(Debug, Default)]
struct Seats {
    /// In the order of their beginnings.
    taken: BTreeMap<u64, Seat>,
    next: u64,
    /// Those that have not shown a token, and what makes them give way.
    without_token: BTreeMap<u64, Stop>,
    /// Seats whose sessions were told to give way and have not ended yet: not counted as taken.
    leaving: BTreeSet<u64>,
    by_ip: HashMap<IpAddr, usize>,
    by_account: HashMap<AccountId, usize>,
    by_tenant: HashMap<AccountId, usize>,
}

#[derive(Debug)]
struct Seat {
    client: IpAddr,
    /// None before the client has shown a token.
    view: Option<SessionView>,
    close: Stop,
}

/// A place for one session; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Sessions,
    number: u64,
    address: SocketAddr,
    /// Whom the connection speaks for: the address itself, or a client of a trusted proxy.
    client: IpAddr,
    since_us: u64,
    /// Cancelled when an operator closes the session.
    pub(super) closed: Stop,
    /// Cancelled when a session without a token has to make room for another.
    pub(super) gives_way: Stop,
    account: Option<AccountId>,
    tenant: Option<AccountId>,
}

/// Why there is no place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many from this address as are allowed.
    Address,
    /// As many in all.
    Total,
}

impl Sessions {
    pub(super) fn new(options: &Options) -> Self {
        Self(Arc::new(Inner {
            seats: Mutex::default(),
            most: options.max_sessions,
            most_per_ip: options.max_per_ip,
            most_per_account: options.max_per_account,
            most_without_token: options.max_without_token,
            host: options.host.clone(),
        }))
    }

    /// How many there are, those without a token included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seats().taken.len()
    }

    /// All sessions, oldest first. One that has not shown a token is not shown.
    #[must_use]
    pub fn all(&self) -> Vec<SessionView> {
        self.seats().taken.values().filter_map(|seat| seat.view.clone()).collect()
    }

    /// Those of these accounts.
    #[must_use]
    pub fn of(&self, accounts: &[AccountId]) -> Vec<SessionView> {
        let seats = self.seats();
        let views = seats.taken.values().filter_map(|seat| seat.view.as_ref());
        views.filter(|view| accounts.contains(&view.account)).cloned().collect()
    }

    /// One session of these accounts.
    #[must_use]
    pub fn find(&self, accounts: &[AccountId], id: &str) -> Option<SessionView> {
        self.of(accounts).into_iter().find(|view| view.id == id)
    }

    /// Has a session of these accounts closed; what it was.
    #[must_use]
    pub fn close(&self, accounts: &[AccountId], id: &str) -> Option<SessionView> {
        let seats = self.seats();
        let is_it = |view: &SessionView| view.id == id && accounts.contains(&view.account);
        let seat = seats.taken.values().find(|seat| seat.view.as_ref().is_some_and(is_it))?;
        seat.close.cancel();
        seat.view.clone()
    }

    /// A place for a client, unless its address or the process has as many as are allowed.
    pub(super) fn enter(&self, address: SocketAddr, client: IpAddr, since_us: u64) -> Result<Place, NoPlace> {
        let mut seats = self.seats();
        let from_there = seats.by_ip.get(&client).copied().unwrap_or(0);
        if is_full(self.0.most_per_ip, from_there) {
            return Err(NoPlace::Address);
        }
        if is_full(self.0.most_without_token, seats.without_token.len()) {
            seats.make_room();
        }
        if is_full(self.0.most, seats.taken.len() - seats.leaving.len()) && !seats.make_room() {
            return Err(NoPlace::Total);
        }
        let (number, closed, gives_way) = (seats.next, Stop::new(), Stop::new());
        seats.next += 1;
        seats.without_token.insert(number, gives_way.clone());
        seats.taken.insert(number, Seat { client, view: None, close: closed.clone() });
        *seats.by_ip.entry(client).or_default() += 1;
        Ok(Place {
            sessions: self.clone(),
            number,
            address,
            client,
            since_us,
            closed,
            gives_way,
            account: None,
            tenant: None,
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// A session that counted as one of these does so no more.
    fn leave(&mut self, account: Option<AccountId>, tenant: Option<AccountId>) {
        if let Some(account) = account {
            less(&mut self.by_account, &account);
        }
        if let Some(tenant) = tenant {
            less(&mut self.by_tenant, &tenant);
        }
    }

    /// Has the oldest session without a token give way; false when there is none.
    fn make_room(&mut self) -> bool {
        let Some((number, gives_way)) = self.without_token.pop_first() else { return false };
        gives_way.cancel();
        self.leaving.insert(number)
    }
}

/// How many of all sessions one tenant may have: three quarters, so that others get in. 0: any number.
fn tenants_part(most: usize) -> usize {
    (most - most / 4).min(most)
}

fn is_full(most: usize, there: usize) -> bool {
    most > 0 && there >= most
}

impl Place {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Counts the session as one of an account's and of its tenant's, who has a part of all sessions; the most that are
    /// allowed when there are as many. The operator's own account is no tenant.
    pub(super) fn claim(&mut self, account: AccountId, tenant: Option<AccountId>) -> Result<(), usize> {
        if self.account == Some(account) {
            return Ok(());
        }
        let mut seats = self.sessions.seats();
        let most = self.sessions.0.most_per_account;
        let there = seats.by_account.get(&account).copied().unwrap_or(0);
        if is_full(most, there) {
            return Err(most);
        }
        let of_tenant = tenant.and_then(|tenant| seats.by_tenant.get(&tenant)).copied().unwrap_or(0);
        let part = tenants_part(self.sessions.0.most);
        if tenant.is_some() && tenant != self.tenant && is_full(part, of_tenant) {
            return Err(part);
        }
        seats.leave(self.account.take(), self.tenant.take());
        *seats.by_account.entry(account).or_default() += 1;
        if let Some(tenant) = tenant {
            *seats.by_tenant.entry(tenant).or_default() += 1;
        }
        seats.without_token.remove(&self.number);
        drop(seats);
        (self.account, self.tenant) = (Some(account), tenant);
        Ok(())
    }

    /// Shows listings how the session is now.
    pub(super) fn show(&self, protocol: &Protocol) {
        let Some(caller) = protocol.caller() else { return };
        let view = SessionView {
            id: session_id(self.address),
            account: caller.account,
            token: caller.token.chars().take(8).collect(),
            bindings: protocol.subscriptions.list(),
            since_us: self.since_us,
            source: self.client,
            destination: self.sessions.0.host.clone(),
            name: protocol.name.clone(),
            metadata: protocol.metadata.clone(),
        };
        if let Some(seat) = self.sessions.seats().taken.get_mut(&self.number) {
            seat.view = Some(view);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.sessions.seats();
        let Some(seat) = seats.taken.remove(&self.number) else { return };
        seats.without_token.remove(&self.number);
        seats.leaving.remove(&self.number);
        less(&mut seats.by_ip, &seat.client);
        seats.leave(self.account, self.tenant);
    }
}

fn less<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A session's name: `IP:PORT`, IPv6 as eight groups without `::` (`docs/kazoo/websockets.md#session-ids`).
pub(super) fn session_id(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => {
            let groups = ip.segments().map(|group| format!("{group:x}"));
            format!("{}:{port}", groups.join(":"))
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
