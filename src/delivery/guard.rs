//! The address guard: permits no connection to loopback, private or otherwise special addresses. The guard checks the
//! address that is really used, for every connection, because a name may resolve differently than when the hook was
//! created.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use url::{Host, Url};

use super::names::{Addresses, NameFault, Names};
use crate::model::{AccountId, forbidden};

/// Why there is no address for a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAddress {
    /// Every address of the name is forbidden.
    #[error("address is forbidden; delivery.allow_addresses can allow it")]
    Forbidden,
    /// The name could not be resolved.
    #[error(transparent)]
    Name(#[from] NameFault),
}

/// A name lookup, with the account, the name and the time limit.
type Resolve =
    dyn Fn(AccountId, String, Duration) -> BoxFuture<'static, Result<Addresses, NameFault>> + Send + Sync;

/// Resolves names and removes forbidden addresses. Connections use exactly the addresses that the guard returned: a
/// name is resolved once for each connection, so a later change of its address (DNS rebinding) has no effect.
#[derive(Clone)]
pub(super) struct Guard {
    allow: Arc<[IpNet]>,
    resolve: Arc<Resolve>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that resolves with `names`.
    pub(super) fn new(allow: &[IpNet], names: Names) -> Self {
        let resolve = move |account, name: String, within| -> BoxFuture<'static, _> {
            let names = names.clone();
            Box::pin(async move { names.resolve(account, &name, within).await })
        };
        Self { allow: allow.into(), resolve: Arc::new(resolve) }
    }

    /// Whether the host of a URL is a literal forbidden address. Such a host never reaches the resolver.
    pub(super) fn forbids(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(ip)) => forbidden(ip.into(), &self.allow),
            Some(Host::Ipv6(ip)) => forbidden(ip.into(), &self.allow),
            Some(Host::Domain(_)) | None => false,
        }
    }

    /// The addresses to which an account's request to this URL may be sent; never empty, and none forbidden.
    pub(super) async fn addresses(
        &self,
        account: AccountId,
        url: &Url,
        within: Duration,
    ) -> Result<Vec<SocketAddr>, NoAddress> {
        let found: Addresses = match url.host() {
            Some(Host::Ipv4(ip)) => [IpAddr::from(ip)].into(),
            Some(Host::Ipv6(ip)) => [IpAddr::from(ip)].into(),
            Some(Host::Domain(name)) => (self.resolve)(account, name.to_owned(), within).await?,
            None => [].into(),
        };
        if found.is_empty() {
            return Err(NameFault::NotFound.into());
        }
        let port = url.port_or_known_default().unwrap_or(80);
        // A name may have both kinds of addresses. The connection can only use those that are left here.
        let allowed = found.iter().filter(|ip| !forbidden(**ip, &self.allow));
        let allowed: Vec<_> = allowed.map(|ip| SocketAddr::new(*ip, port)).collect();
        if allowed.is_empty() { Err(NoAddress::Forbidden) } else { Ok(allowed) }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
