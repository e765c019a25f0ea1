//! The broker's address, and connecting to it.
//!
//! Promise: the password in a URI is never shown, neither in a log line, nor in an error, nor by `Debug`.

use std::fmt;
use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

/// The time limit for connecting. A handshake with a working broker takes less.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Seconds between heartbeats, unless the URI sets another interval. After two missed heartbeats a broker drops a dead
/// connection and hands its messages to the next one.
const HEARTBEAT_S: u16 = 10;

/// The text is not a usable AMQP URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("amqp.uri is not usable: {0}; it should look like amqp://user:password@host:5672/%2f")]
pub struct InvalidUri(String);

/// Checks that a consumer and a publisher can use the URI.
pub fn check_uri(uri: &str) -> Result<(), InvalidUri> {
    Address::parse(uri).map(|_| ())
}

/// Splits a text with several hosts or several URIs, separated by commas, into URIs: `amqp://me:pw@a,b:5673/%2f` or
/// `amqp://me:pw@a,amqp://me:pw@b`.
#[must_use]
pub fn several(text: &str) -> Vec<String> {
    let text = text.trim();
    let split = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect();
    if text.contains(",amqp://") || text.contains(",amqps://") || text.contains(", amqp") {
        return split(text);
    }
    let Some((scheme, rest)) = text.split_once("://") else { return vec![text.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // A comma in the password does not separate hosts.
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(_, hosts)| {
        (authority.get(..authority.len() - hosts.len()).unwrap_or_default(), hosts)
    });
    let hosts: Vec<String> = split(hosts);
    hosts.into_iter().map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

/// TLS settings in addition to the certificates that the system trusts.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates of further authorities (PEM).
    pub authorities: Option<String>,
    /// The certificate with which we identify ourselves.
    pub identity: Option<Identity>,
}

/// A client's certificate.
#[derive(Clone)]
pub struct Identity {
    /// The certificate with its chain, PEM.
    pub certificate: Vec<u8>,
    /// Its private key, PEM.
    pub key: Vec<u8>,
}

/// A broker's address, with our credentials.
#[derive(Clone)]
pub struct Address {
    uri: AMQPUri,
    tls: OwnedTLSConfig,
}

impl Address {
    /// Parses a URI.
    pub fn parse(uri: &str) -> Result<Self, InvalidUri> {
        let parsed = uri.parse().map(|mut uri: AMQPUri| {
            uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
            Self { uri, tls: OwnedTLSConfig::default() }
        });
        parsed.map_err(|reason: String| {
            // The parser's texts should quote no part of the URI before the host. This check makes sure of it.
            let secret = uri.split_once('@').is_some_and(|(head, _)| reason.contains(head));
            InvalidUri(if secret { "it cannot be parsed".to_owned() } else { reason })
        })
    }

    /// The same address with TLS settings.
    #[must_use]
    pub fn with_tls(mut self, tls: &Tls) -> Self {
        let identity = tls
            .identity
            .clone()
            .map(|Identity { certificate, key }| OwnedIdentity::PKCS8 { pem: certificate, key });
        self.tls = OwnedTLSConfig { identity, cert_chain: tls.authorities.clone() };
        self
    }

    /// The host and port, which identify the broker.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    pub(super) fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    pub(super) fn tls(&self) -> &OwnedTLSConfig {
        &self.tls
    }

    /// Makes one attempt to connect, within 15 s. The broker's tools show `name`.
    pub async fn connect(&self, name: &str) -> Result<Connection, String> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = async {
            let runtime = lapin::runtime::default_runtime()?;
            let (uri, tls) = (self.uri.clone(), self.tls.clone());
            Connection::connect_uri_with_config(uri, properties, tls, runtime).await
        };
        match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_) => Err(format!("no answer within {} s", CONNECT_WITHIN.as_secs())),
        }
    }
}

impl Address {
    /// The reason of a failure to connect. When the other side speaks another protocol, suggests the right one.
    fn explain(&self, error: &lapin::Error) -> String {
        let is_tls = matches!(self.uri.scheme, AMQPScheme::AMQPS);
        let error = error.to_string();
        if is_tls && error.contains("InvalidContentType") {
            format!(
                "the other side does not speak TLS; is it the right port, or amqp:// instead of amqps://? ({error})"
            )
        } else if error.starts_with("failed to parse") {
            let other = if is_tls { "" } else { ", or amqps:// instead of amqp://" };
            format!("the other side does not speak AMQP 0-9-1; is it the right port{other}? ({error})")
        } else {
            error
        }
    }
}

/// `amqp://user:***@host:5672/vhost`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let (user, host, port) = (&authority.userinfo.username, &authority.host, authority.port);
        write!(f, "{scheme}://{user}:***@{host}:{port}/{}", vhost.replace('/', "%2f"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let address = Address::parse("amqps://me:s3cret@broker.example.com:5671/%2f?heartbeat=10").unwrap();
        assert_eq!(address.to_string(), "amqps://me:***@broker.example.com:5671/%2f");
        assert!(!format!("{address:?}").contains("s3cret"));
    }

    #[test]
    fn several_hosts_share_the_rest_of_the_uri_and_a_comma_in_a_password_separates_none() {
        let uris = |text: &str| several(text);
        assert_eq!(uris("amqp://a"), ["amqp://a"]);
        assert_eq!(
            uris("amqp://m,e:p@a:1,b/%2f?heartbeat=5"),
            ["amqp://m,e:p@a:1/%2f?heartbeat=5", "amqp://m,e:p@b/%2f?heartbeat=5"]
        );
        assert_eq!(uris("amqps://u:p@a/x, amqp://v:q@b"), ["amqps://u:p@a/x", "amqp://v:q@b"]);
        assert_eq!(uris("amqp://a,,b")[1], "amqp://");
    }

    #[test]
    fn an_uri_of_another_kind_is_refused_without_showing_its_password() {
        for bad in
            ["http://me:s3cret@x/", "nonsense", "amqp://me:s3cret@x:99999", "", "amqp://me:s3cret@[::1/"]
        {
            let refused = Address::parse(bad).unwrap_err().to_string();
            assert!(
                refused.starts_with("amqp.uri is not usable") && !refused.contains("s3cret"),
                "{refused}"
            );
        }
    }
}
