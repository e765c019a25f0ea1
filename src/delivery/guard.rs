//! The address guard: no connection to loopback, private or otherwise special addresses, decided on the
//! address that is really used, for every connection, whatever the name said when the hook was written.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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

/// Resolves names and leaves out forbidden addresses.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    allow: Arc<[IpNet]>,
}

impl Guard {
    pub(super) fn new(allow: &[IpNet]) -> Self {
        Self { allow: allow.into() }
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

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = self.allow.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let Ok(found) = tokio::net::lookup_host((name.as_str(), 0)).await else {
                return Err(NameNotFound { name }.into());
            };
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err(NameNotFound { name }.into());
            }
            let allowed: Vec<SocketAddr> = found.into_iter().filter(|a| !forbidden(a.ip(), &allow)).collect();
            if allowed.is_empty() {
                return Err(ForbiddenAddress { name }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
