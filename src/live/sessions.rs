//! The registry of sessions, for listings and limits. A session holds a seat from before its upgrade until its
//! connection has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::options::LiveOptions;
use super::protocol::Protocol;
use crate::model::{AccountId, gregorian_seconds};
use crate::tasks::Stop;

/// A session in a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionView {
    /// `IP:PORT` of the client.
    pub id: String,
    /// The account of its token.
    pub account: AccountId,
    /// The first 8 characters of its token; the registry does not keep the rest.
    pub token: String,
    /// The client's bindings, oldest first.
    pub bindings: Vec<String>,
    /// Time of connection, in microseconds since 1970.
    pub since_us: u64,
    /// The client's address.
    pub source: IpAddr,
    /// This host.
    pub destination: String,
    /// Name given by the client.
    pub name: Option<Value>,
    /// Metadata given by the client.
    pub metadata: Option<Value>,
}

impl SessionView {
    /// The session as KAZOO 5 lists it (`docs/kazoo/websockets.md#listings-over-http`).
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
    /// Sessions in the order of their connection.
    taken: BTreeMap<u64, Occupant>,
    next: u64,
    /// Sessions without a valid token, with the token that ends each to make room.
    without_token: BTreeMap<u64, Stop>,
    /// Sessions that are ending to make room. They do not count towards the limit.
    leaving: BTreeSet<u64>,
    by_ip: HashMap<IpAddr, usize>,
    by_account: HashMap<AccountId, usize>,
    by_tenant: HashMap<AccountId, usize>,
}

#[derive(Debug)]
struct Occupant {
    client: IpAddr,
    /// `None` until the client has shown a valid token.
    view: Option<SessionView>,
    close: Stop,
}

/// The seat of one session; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    sessions: Sessions,
    number: u64,
    address: SocketAddr,
    /// The client's address: the connection's own, or the one that a trusted proxy names.
    client: IpAddr,
    since_us: u64,
    /// Cancelled when an operator closes the session.
    pub(super) closed: Stop,
    /// Cancelled when the session has no valid token and must make room for another.
    pub(super) gives_way: Stop,
    account: Option<AccountId>,
    tenant: Option<AccountId>,
}

/// Why no seat is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// The limit of sessions from this address is reached.
    Address,
    /// The limit of all sessions is reached.
    Total,
}

impl Sessions {
    pub(super) fn new(options: &LiveOptions) -> Self {
        Self(Arc::new(Inner {
            seats: Mutex::default(),
            most: options.max_sessions,
            most_per_ip: options.max_per_ip,
            most_per_account: options.max_per_account,
            most_without_token: options.max_without_token,
            host: options.host.clone(),
        }))
    }

    /// The number of sessions, including those without a valid token.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seats().taken.len()
    }

    /// All sessions that have shown a valid token, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<SessionView> {
        self.seats().taken.values().filter_map(|seat| seat.view.clone()).collect()
    }

    /// The sessions of these accounts.
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

    /// Closes a session of these accounts and returns its last view.
    #[must_use]
    pub fn close(&self, accounts: &[AccountId], id: &str) -> Option<SessionView> {
        let seats = self.seats();
        let is_it = |view: &SessionView| view.id == id && accounts.contains(&view.account);
        let seat = seats.taken.values().find(|seat| seat.view.as_ref().is_some_and(is_it))?;
        seat.close.cancel();
        seat.view.clone()
    }

    /// Takes a seat for a client, unless the limit of its address or of all sessions is reached.
    pub(super) fn enter(&self, address: SocketAddr, client: IpAddr, since_us: u64) -> Result<Seat, NoSeat> {
        let mut seats = self.seats();
        let from_there = seats.by_ip.get(&client).copied().unwrap_or(0);
        // Checked first: an address at its limit must not make other clients' sessions give way.
        if is_full(self.0.most_per_ip, from_there) {
            return Err(NoSeat::Address);
        }
        if is_full(self.0.most_without_token, seats.without_token.len()) {
            seats.make_room();
        }
        // A session that gives way keeps its seat until its connection has ended. The client that it makes room
        // for must not wait for that.
        if is_full(self.0.most, seats.taken.len() - seats.leaving.len()) && !seats.make_room() {
            return Err(NoSeat::Total);
        }
        // Numbers grow with time, so the first entry of `without_token` is the oldest session.
        let (number, closed, gives_way) = (seats.next, Stop::new(), Stop::new());
        seats.next += 1;
        seats.without_token.insert(number, gives_way.clone());
        seats.taken.insert(number, Occupant { client, view: None, close: closed.clone() });
        *seats.by_ip.entry(client).or_default() += 1;
        Ok(Seat {
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
    /// Subtracts a session from the counts of its account and tenant.
    fn leave(&mut self, account: Option<AccountId>, tenant: Option<AccountId>) {
        if let Some(account) = account {
            less(&mut self.by_account, &account);
        }
        if let Some(tenant) = tenant {
            less(&mut self.by_tenant, &tenant);
        }
    }

    /// Ends the oldest session without a valid token; false when there is none.
    fn make_room(&mut self) -> bool {
        let Some((number, gives_way)) = self.without_token.pop_first() else { return false };
        gives_way.cancel();
        self.leaving.insert(number)
    }
}

/// Most sessions of one tenant: three quarters of all, so that others can still connect. 0: any number.
fn tenants_part(most: usize) -> usize {
    (most - most / 4).min(most)
}

fn is_full(most: usize, there: usize) -> bool {
    most > 0 && there >= most
}

impl Seat {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Counts the session towards its account and tenant. When a limit is reached, the error is that limit. `tenant`
    /// is `None` for the master account.
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
        // A client may send a token of another account on the same connection. The session then counts only for
        // that one.
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

    /// Updates the session's view in listings.
    pub(super) fn show(&self, protocol: &Protocol) {
        let Some(caller) = protocol.caller() else { return };
        let view = SessionView {
            id: session_id(self.address),
            account: caller.account,
            token: caller.token.chars().take(8).collect(),
            bindings: protocol.subscriptions.bindings(),
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

impl Drop for Seat {
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

/// A session's id: `IP:PORT`, with IPv6 as eight groups without `::` (`docs/kazoo/websockets.md#session-ids`).
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
