//! Finds the client's address behind proxies; only headers of trusted proxies count. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use warp::http::header::{FORWARDED, HeaderMap};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of trusted proxies. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl From<Vec<IpNet>> for Proxies {
    fn from(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }
}

impl Proxies {
    /// The client's address: the last hop that is not a trusted proxy. A peer that is not a trusted proxy is the
    /// client itself, whatever its headers say.
    ///
    /// If both `X-Forwarded-For` and `Forwarded` are present, they must agree: a proxy that writes only one of them
    /// forwards the other as the client sent it. If they differ, both are ignored, and the proxy's address counts.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let values = |name: &str| {
            let values = headers.get_all(name).into_iter();
            values
                // An unreadable value must end the search (`last_hop`), because entries before it may come from
                // the client.
                .flat_map(|value| value.to_str().unwrap_or("?").split(','))
                .map(str::trim)
                .collect::<Vec<_>>()
        };
        let by_x = values(X_FORWARDED_FOR).into_iter().map(address);
        let by_standard = values(FORWARDED.as_str()).into_iter().map(|element| address(for_of(element)?));
        match (self.last_hop(peer, by_x), self.last_hop(peer, by_standard)) {
            (Some(one), Some(other)) if one != other => peer,
            (one, other) => one.or(other).unwrap_or(peer),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last hop that is not trusted; `None` without hops. The search ends at an unreadable entry; then the hop
    /// that forwarded it counts.
    fn last_hop(
        &self,
        peer: IpAddr,
        hops: impl DoubleEndedIterator<Item = Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut found = None;
        // From the end: each proxy appends the address that called it, and earlier entries may come from the
        // client.
        for hop in hops.rev() {
            let Some(hop) = hop else { return found.or(Some(peer)) };
            found = Some(hop);
            if !self.trusts(hop) {
                break;
            }
        }
        found
    }
}

/// `for=` of one element of `Forwarded` (RFC 7239).
fn for_of(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(node.trim().trim_matches('"'))
}

/// An address, with or without a port; an IPv6 address with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bare).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Proxies::from(trusted).client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn only_headers_of_trusted_proxies_count_and_the_last_untrusted_hop_is_the_client() {
        let x = |value| [("x-forwarded-for", value)];
        assert_eq!(client("192.0.2.9", &x("203.0.113.1")), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &x("203.0.113.1")), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &x("198.51.100.7, 203.0.113.1, 10.0.0.2")), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &x("10.0.0.3, 10.0.0.2")), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &x("203.0.113.1, unknown")), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &x("203.0.113.1:80")), "203.0.113.1");
        let twice = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "203.0.113.1")];
        assert_eq!(client("10.0.0.1", &twice), "203.0.113.1");
    }

    #[test]
    fn the_standard_header_is_read_and_contradicting_headers_are_ignored() {
        let standard = "for=198.51.100.7, For=\"[2001:db8::1]:4711\";proto=https, for=10.0.0.2";
        assert_eq!(client("fd00::1", &[("forwarded", standard)]), "2001:db8::1");
        let both = |other| [("forwarded", "for=203.0.113.1"), ("x-forwarded-for", other)];
        assert_eq!(client("10.0.0.1", &both("203.0.113.1")), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &both("203.0.113.2")), "10.0.0.1");
    }
}
