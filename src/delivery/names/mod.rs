//! Resolves the names of receivers, without a thread for each lookup.
//!
//! Invariants: the lookups of an account, and of a tenant with all its accounts, never use more than their shares of
//! the permits. A tenant without a lookup under way always gets a permit, whatever others do. A lookup ends soon, at
//! the latest with the last attempt that waits for it. Answers are cached for their TTL within bounds; failures,
//! including the silence of a name server, only briefly.

mod answers;
mod permits;
mod system;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::{Instant, timeout};

use self::answers::{Answers, Lifetime};
use self::permits::{LookupPermits, TenantOf};
use self::system::{Files, Upstream};
use crate::model::AccountId;

/// Time limit of a lookup, whatever attempts wait for it. A server is asked twice in this time. Much shorter than an
/// attempt, so that silent names soon release their permits.
const LOOKUP_WITHIN: Duration = Duration::from_secs(4);
/// Above this number of entries, unused ones are removed from the tables below.
const TIDY_ABOVE: usize = 1024;

/// The addresses of a name.
pub(super) type Addresses = Arc<[IpAddr]>;

/// Why a name has no address.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NameFault {
    /// The name does not exist or has no address.
    #[error("host name does not exist or has no address")]
    NotFound,
    /// The name server reported a failure: SERVFAIL, REFUSED or another code.
    #[error("name server failed: {0}")]
    ServerFailed(&'static str),
    /// No name server answered in time.
    #[error("no answer from the name server in time")]
    NoAnswer,
    /// Too many lookups are under way, so the name server was not asked.
    #[error("too many host name lookups under way")]
    TooMany,
    /// This machine could not send the query.
    #[error("host name lookup: {0}")]
    Local(Arc<io::Error>),
}

type Looked = Result<Addresses, NameFault>;
type Lookup = Shared<BoxFuture<'static, Looked>>;

/// Resolves names. Clones share permits and answers.
#[derive(Clone)]
pub(super) struct Names(Arc<Inner>);

struct Inner {
    servers: Vec<SocketAddr>,
    files: Mutex<Files>,
    upstream: ArcSwap<Upstream>,
    answers: Mutex<Answers>,
    permits: LookupPermits,
    under_way: Mutex<HashMap<(AccountId, Arc<str>), UnderWay>>,
}

struct UnderWay {
    lookup: WeakShared<BoxFuture<'static, Looked>>,
    /// Whether the lookup has its permit, so that a query was sent.
    begun: Arc<AtomicBool>,
}

impl Names {
    /// Uses these servers, or those of the system's configuration when there are none. At most `permits` lookups are
    /// under way. `tenant_of` returns the tenant of an account.
    pub(super) fn new(servers: &[SocketAddr], permits: usize, tenant_of: Arc<TenantOf>) -> Self {
        Self(Arc::new(Inner {
            servers: servers.to_vec(),
            files: Mutex::new(Files::now()),
            upstream: ArcSwap::from_pointee(Upstream::new(servers)),
            answers: Mutex::default(),
            permits: LookupPermits::new(permits, tenant_of),
            under_way: Mutex::default(),
        }))
    }

    /// The addresses of a name, for an attempt of this account.
    pub(super) async fn resolve(&self, account: AccountId, name: &str, within: Duration) -> Looked {
        if let Some(known) = lock(&self.0.answers).get(name, Instant::now()) {
            return known;
        }
        let (lookup, begun) = self.lookup(account, name);
        timeout(within, lookup).await.unwrap_or_else(|_| {
            // Without a permit, nobody was asked. That is a fault of this machine, for which the receiver is not
            // charged.
            Err(if begun.load(Ordering::Relaxed) { NameFault::NoAnswer } else { NameFault::TooMany })
        })
    }

    /// Reads the system's configuration again if it has changed. Must be called regularly.
    pub(super) fn refresh(&self) {
        let now = Files::now();
        let mut files = lock(&self.0.files);
        if *files != now {
            *files = now;
            self.0.upstream.store(Arc::new(Upstream::new(&self.0.servers)));
            // Other servers, or another hosts file, may have other answers.
            lock(&self.0.answers).clear();
            tracing::info!("the system's configuration of name servers has changed and was read again");
        }
    }

    /// One lookup for all attempts of an account at the same name.
    fn lookup(&self, account: AccountId, name: &str) -> (Lookup, Arc<AtomicBool>) {
        let key = (account, Arc::from(name));
        let mut under_way = lock(&self.0.under_way);
        // Only weak references here: a lookup ends when the last attempt that waits for it is gone.
        if let Some(running) = under_way.get(&key)
            && let Some(lookup) = running.lookup.upgrade()
        {
            return (lookup, Arc::clone(&running.begun));
        }
        let begun = Arc::new(AtomicBool::new(false));
        let lookup = self.clone().look_up(account, Arc::clone(&key.1), Arc::clone(&begun)).boxed().shared();
        if under_way.len() >= TIDY_ABOVE {
            under_way.retain(|_, running| running.lookup.upgrade().is_some());
        }
        if let Some(weak) = lookup.downgrade() {
            under_way.insert(key, UnderWay { lookup: weak, begun: Arc::clone(&begun) });
        }
        (lookup, begun)
    }

    async fn look_up(self, account: AccountId, name: Arc<str>, begun: Arc<AtomicBool>) -> Looked {
        let Some(_permit) = self.0.permits.get(account).await else { return Err(NameFault::TooMany) };
        begun.store(true, Ordering::Relaxed);
        let upstream = self.0.upstream.load_full();
        let asked = timeout(LOOKUP_WITHIN, upstream.look_up(&name)).await;
        let (looked, lifetime) = asked.unwrap_or((Err(NameFault::NoAnswer), Lifetime::SILENCE));
        // In this order, so that an attempt between the two finds the answer and does not ask again.
        lock(&self.0.answers).put(&name, looked.clone(), lifetime, Instant::now());
        lock(&self.0.under_way).remove(&(account, name));
        looked
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
