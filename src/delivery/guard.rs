//! The address guard: no connection to loopback, private or otherwise special addresses, decided on the
//! address that is really used, for every connection, whatever the name said when the hook was written.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use tower_service::Service;

use crate::model::forbidden;

/// Every address of the name is forbidden.
#[derive(Debug, thiserror::Error)]
#[error("address of {name} is forbidden; delivery.allow_addresses can allow it")]
pub(super) struct ForbiddenAddress {
    name: String,
}

/// The name has no address.
#[derive(Debug, thiserror::Error)]
#[error("name {name} does not resolve")]
pub(super) struct NameNotFound {
    name: String,
}

/// The addresses of a name, on their way.
type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves names and leaves out forbidden addresses. What it lets through is what is connected to: a name is
/// looked up once for each connection, so an answer that changes later changes nothing.
#[derive(Clone)]
pub(super) struct Guard {
    allow: Arc<[IpNet]>,
    lookup: Arc<dyn Fn(String) -> Addresses + Send + Sync>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Guard {
    /// Over the system's resolver.
    pub(super) fn new(allow: &[IpNet]) -> Self {
        let system = |name: String| -> Addresses {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        };
        Self { allow: allow.into(), lookup: Arc::new(system) }
    }

    /// Whether a URL names a forbidden address literally; such hosts never reach the resolver.
    pub(super) fn forbids(&self, url: &url::Url) -> bool {
        match url.host() {
            Some(url::Host::Ipv4(ip)) => forbidden(ip.into(), &self.allow),
            Some(url::Host::Ipv6(ip)) => forbidden(ip.into(), &self.allow),
            Some(url::Host::Domain(_)) | None => false,
        }
    }
}

/// What the client takes for an error of ours.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;
/// A step of a connection that is being made.
pub(super) type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (allow, looked_up) = (self.allow.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = looked_up.await.unwrap_or_default();
            if found.is_empty() {
                return Err(NameNotFound { name }.into());
            }
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|a| !forbidden(a.ip(), &allow)).collect();
            if allowed.is_empty() {
                return Err(ForbiddenAddress { name }.into());
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
