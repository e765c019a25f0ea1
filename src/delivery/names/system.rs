//! The underlying resolver: the system's name servers, search rules and hosts file.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, system_conf};
use tokio::time::Instant;

use super::answers::Lifetime;
use super::{Looked, NameFault};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Time to wait for one answer before the same or the next server is asked again.
const ANSWER_WITHIN: Duration = Duration::from_millis(1800);

/// Modification times of the system's configuration files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files([Option<SystemTime>; 2]);

impl Files {
    pub(super) fn now() -> Self {
        Self([RESOLV_CONF, HOSTS].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok()))
    }
}

/// The sources of a lookup: the hosts file, then the name servers.
pub(super) struct Upstream {
    hosts: Hosts,
    /// `None` when it could not be built.
    resolver: Option<TokioResolver>,
}

impl Upstream {
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let hosts = Hosts::from_system().unwrap_or_default();
        let (config, mut options) = configuration(servers);
        // Caching is done by `answers`.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(ANSWER_WITHIN);
        options.ip_strategy = family_first();
        let builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let resolver = builder.build().inspect_err(|error| {
            tracing::error!(%error, "cannot build a resolver: host names cannot be looked up");
        });
        Self { hosts, resolver: resolver.ok() }
    }

    /// The addresses of a name, and how long they may be cached.
    pub(super) async fn look_up(&self, name: &str) -> (Looked, Lifetime) {
        let Ok(parsed) = Name::from_ascii(name) else {
            return (Err(NameFault::NotFound), Lifetime::NONE);
        };
        let listed = self.in_hosts(&parsed);
        if !listed.is_empty() {
            return (Ok(listed.into()), Lifetime::of_answer(Duration::ZERO));
        }
        let Some(resolver) = &self.resolver else {
            return (Err(NameFault::NoAnswer), Lifetime::NONE);
        };
        match resolver.lookup_ip(parsed).await {
            Ok(found) => {
                let ttl = found.valid_until().saturating_duration_since(Instant::now().into_std());
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() {
                    return (Err(NameFault::NotFound), Lifetime::of_no_such_name(None));
                }
                (Ok(addresses.into()), Lifetime::of_answer(ttl))
            }
            Err(error) => fault(error),
        }
    }

    /// The hosts file's addresses of a name; search rules do not apply to it.
    fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(of)
            .flat_map(|found| found.answers().iter().filter_map(|r| r.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }
}

/// Servers, search rules and options of the system. `servers`, if any, replace the system's.
fn configuration(servers: &[SocketAddr]) -> (ResolverConfig, ResolverOpts) {
    let local = [SocketAddr::from((Ipv4Addr::LOCALHOST, 53))];
    let (system, options) = match system_conf::read_system_conf() {
        Ok(read) => read,
        Err(error) => {
            if servers.is_empty() {
                // As in the C library.
                tracing::warn!(%error, "{RESOLV_CONF} names no server: using 127.0.0.1 for host names");
            }
            (ResolverConfig::default(), ResolverOpts::default())
        }
    };
    let (domain, search, of_system) = system.into_parts();
    let own = if servers.is_empty() && of_system.is_empty() { &local } else { servers };
    let used = if own.is_empty() { of_system } else { own.iter().copied().map(server).collect() };
    (ResolverConfig::from_parts(domain, search, used), options)
}

fn server(at: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = at.port();
        connection
    });
    NameServerConfig::new(at.ip(), true, connections.into())
}

/// Decides which kind of address to ask for first: one to which this machine has a route. Sends nothing to find out.
fn family_first() -> LookupIpStrategy {
    let routed = |from: &str, to: &str| UdpSocket::bind(from).and_then(|socket| socket.connect(to)).is_ok();
    if !routed("0.0.0.0:0", "192.0.2.1:9") && routed("[::]:0", "[2001:db8::1]:9") {
        LookupIpStrategy::Ipv6thenIpv4
    } else {
        LookupIpStrategy::Ipv4thenIpv6
    }
}

fn fault(error: NetError) -> (Looked, Lifetime) {
    let failed = |code: ResponseCode| (NameFault::ServerFailed(code.to_str()), Lifetime::SERVER_FAILURE);
    let (fault, lifetime) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain | ResponseCode::NoError => {
                let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into()));
                (NameFault::NotFound, Lifetime::of_no_such_name(ttl))
            }
            code => failed(code),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => failed(code),
        NetError::Io(error) => (NameFault::Local(Arc::clone(&error)), Lifetime::NONE),
        NetError::Proto(_) | NetError::Truncated => {
            (NameFault::ServerFailed("unusable answer"), Lifetime::SERVER_FAILURE)
        }
        _ => (NameFault::NoAnswer, Lifetime::NONE),
    };
    (Err(fault), lifetime)
}
