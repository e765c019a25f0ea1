//! The built-in receiver: the name under which hooks reach it, and what it keeps of a request.

use bytes::Bytes;
use url::Url;

use super::HookId;

/// The host of the built-in receiver. Names under `invalid` exist nowhere (RFC 2606), so no real receiver is shadowed.
pub const INBOX_HOST: &str = "inbox.switchhook.invalid";

/// A request that the built-in receiver got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The hook that sent it.
    pub hook: HookId,
    /// When it came, microseconds since 1970.
    pub at_us: u64,
    /// HTTP method.
    pub method: String,
    /// The whole URI.
    pub uri: String,
    /// Headers with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of the body.
    pub body: Bytes,
    /// The size of the whole body.
    pub body_bytes: usize,
    /// The status that it was answered with.
    pub status: u16,
}

/// The status that the built-in receiver answers a URI with: 200, or the status that the path names (`/503`). `None`: the URI
/// is not the built-in receiver's.
#[must_use]
pub fn inbox_status(url: &Url) -> Option<u16> {
    if url.host_str() != Some(INBOX_HOST) || url.scheme() != "http" || url.port().is_some() {
        return None;
    }
    let named = url.path().trim_matches('/').parse().ok().filter(|status| (200..600).contains(status));
    Some(named.unwrap_or(200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_name_is_the_built_in_receivers() {
        for (uri, status) in [
            ("http://inbox.switchhook.invalid/", Some(200)),
            ("http://INBOX.switchhook.invalid", Some(200)),
            ("http://inbox.switchhook.invalid/503?a=b", Some(503)),
            ("http://inbox.switchhook.invalid/999", Some(200)),
            ("http://inbox.switchhook.invalid:8000/", None),
            ("https://inbox.switchhook.invalid/", None),
            ("http://inbox.switchhook.invalid.example/", None),
            ("http://x.inbox.switchhook.invalid/", None),
            ("http://127.0.0.1/inbox.switchhook.invalid", None),
            ("http://inbox.switchhook.invalid@127.0.0.1/", None),
        ] {
            assert_eq!(inbox_status(&Url::parse(uri).unwrap()), status, "{uri}");
        }
    }
}
