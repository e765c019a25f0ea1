//! The URIs that a hook may have, and the parts of a request to one. The host is determined by the URL standard, so
//! credentials, numeric forms and escapes cannot hide an address. Every connection checks the resolved address again.
//!
//! Invariant: a URI is accepted only if a request to it can be made. `RequestUri` decides both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderValue, Uri};
use ipnet::IpNet;
use url::{Host, Position, Url};

use crate::model::forbidden;

/// Length in bytes of the longest URI of a request.
const LONGEST_URI: usize = 65_534;
/// Length in bytes of the longest host name (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why no request can be made to a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableUri {
    /// Not an `http` or `https` URL with a host, by the URL standard.
    #[error("not an http or https URL")]
    NoUrl,
    /// Too long for a request.
    #[error("longer than {LONGEST_URI} bytes")]
    TooLong,
    /// The host name cannot be resolved.
    #[error(
        "a host name has letters, digits, hyphens and underscores, at most {LONGEST_LABEL} between two dots and \
         {LONGEST_NAME} in total"
    )]
    HostName,
    /// A loopback, private or other special address.
    #[error(
        "nothing is delivered to loopback, private and other special addresses unless delivery.allow_addresses opens them"
    )]
    Forbidden,
    /// Nothing can listen on port 0.
    #[error("port 0 cannot be connected to")]
    Port,
    /// A character that cannot be sent in a request.
    #[error("holds a character that must be percent-encoded")]
    Character,
}

/// A URI in all forms that a request needs, without credentials and fragment.
#[derive(Debug, Clone)]
pub struct RequestUri {
    /// The URL by the URL standard.
    pub url: Url,
    /// The URI for the HTTP client.
    pub uri: Uri,
    /// Path and query, as in a request line (RFC 9112, 3.2.1).
    pub path: Uri,
    /// The `Host` header.
    pub host: HeaderValue,
}

impl RequestUri {
    /// The parts of requests to this URL; user, password and fragment are left out.
    pub fn new(mut url: Url) -> Result<Self, UnusableUri> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UnusableUri::NoUrl);
        }
        url.set_fragment(None);
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| UnusableUri::NoUrl)?;
        match url.host() {
            None => return Err(UnusableUri::NoUrl),
            Some(Host::Domain(name)) if !can_be_looked_up(name) => return Err(UnusableUri::HostName),
            Some(_) => {}
        }
        if url.port() == Some(0) {
            return Err(UnusableUri::Port);
        }
        if url.as_str().len() > LONGEST_URI {
            return Err(UnusableUri::TooLong);
        }
        let uri = url.as_str().parse().map_err(|_| UnusableUri::Character)?;
        let path = url[Position::BeforePath..Position::AfterQuery].parse();
        let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
        match (path, host) {
            (Ok(path), Ok(host)) => Ok(Self { url, uri, path, host }),
            _ => Err(UnusableUri::Character),
        }
    }
}

/// Whether name servers and hosts files can have this host name. The name is in ASCII already.
fn can_be_looked_up(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

/// True for an `http` or `https` URI (scheme in lower case) to which requests can be made and whose host is a name
/// other than `localhost`, or an address that may be reached. `localhost` needs an allowed loopback address.
#[must_use]
pub fn uri_is_acceptable(uri: &str, allow: &[IpNet]) -> bool {
    why_refused(uri, allow).is_none()
}

/// Why a hook may not have this URI; `None` when it may.
#[must_use]
pub fn why_refused(uri: &str, allow: &[IpNet]) -> Option<UnusableUri> {
    let Some(rest) = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://")) else {
        return Some(UnusableUri::NoUrl);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    // URL parsers repair these silently and in different ways, so a URI must not contain them.
    if authority.is_empty() || authority.contains(['\\', ' ']) || uri.chars().any(char::is_control) {
        return Some(UnusableUri::NoUrl);
    }
    // The same code as for a delivery, so that a hook which is accepted can also be sent to.
    let usable = match Url::parse(uri).map_err(|_| UnusableUri::NoUrl).and_then(RequestUri::new) {
        Ok(usable) => usable,
        Err(why) => return Some(why),
    };
    let is_allowed = match usable.url.host() {
        None => return Some(UnusableUri::NoUrl),
        Some(Host::Ipv4(ip)) => !forbidden(IpAddr::V4(ip), allow),
        Some(Host::Ipv6(ip)) => !forbidden(IpAddr::V6(ip), allow),
        Some(Host::Domain(name)) => name_is_acceptable(name, allow),
    };
    (!is_allowed).then_some(UnusableUri::Forbidden)
}

fn name_is_acceptable(name: &str, allow: &[IpNet]) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_localhost = name.eq_ignore_ascii_case("localhost")
        || name.rsplit_once('.').is_some_and(|(_, top)| top.eq_ignore_ascii_case("localhost"));
    !is_localhost
        || !forbidden(IpAddr::V4(Ipv4Addr::LOCALHOST), allow)
        || !forbidden(IpAddr::V6(Ipv6Addr::LOCALHOST), allow)
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
