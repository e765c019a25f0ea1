//! Whether a hook may name this URI. The host is the one that the URL standard finds, so credentials, number
//! forms and escapes hide no address; what names resolve to is checked again for every connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use crate::model::forbidden;

/// True for an `http` or `https` URI (scheme in lower case) whose host is a name other than `localhost`, or an
/// address that may be reached. `localhost` needs an allowed loopback address.
#[must_use]
pub fn uri_is_acceptable(uri: &str, allow: &[IpNet]) -> bool {
    let Some(rest) = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    // URL parsers mend these silently and in different ways: none of them belongs into a URI
    if authority.is_empty() || authority.contains(['\\', ' ']) || uri.chars().any(char::is_control) {
        return false;
    }
    let Ok(url) = Url::parse(uri) else { return false };
    match url.host() {
        None => false,
        Some(Host::Ipv4(ip)) => !forbidden(IpAddr::V4(ip), allow),
        Some(Host::Ipv6(ip)) => !forbidden(IpAddr::V6(ip), allow),
        Some(Host::Domain(name)) => name_is_acceptable(name, allow),
    }
}

fn name_is_acceptable(name: &str, allow: &[IpNet]) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.split('.').any(str::is_empty) {
        return false;
    }
    let is_localhost = name.eq_ignore_ascii_case("localhost")
        || name.rsplit_once('.').is_some_and(|(_, top)| top.eq_ignore_ascii_case("localhost"));
    !is_localhost
        || !forbidden(IpAddr::V4(Ipv4Addr::LOCALHOST), allow)
        || !forbidden(IpAddr::V6(Ipv6Addr::LOCALHOST), allow)
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
