//! Where the broker is, and connecting to it.
//!
//! The password of a URI is never shown: not in a log line, not in an error, not by `Debug`.

use std::fmt;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

/// No handshake takes longer on a broker that works.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Seconds between heartbeats unless the URI says otherwise. After two of them a broker gives up a peer that is gone
/// without a word, and its messages go to the next connection.
const HEARTBEAT_S: u16 = 10;

/// A text that is not an AMQP URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("amqp.uri is not usable: {0}; it should look like amqp://user:password@host:5672/%2f")]
pub struct InvalidUri(String);

/// Whether a text is a URI that a consumer and a publisher can be made for.
pub fn check_uri(uri: &str) -> Result<(), InvalidUri> {
    Address::parse(uri).map(|_| ())
}

/// Where the broker is, and who we are to it.
#[derive(Clone)]
pub struct Address(AMQPUri);

impl Address {
    /// The address that a URI names.
    pub fn parse(uri: &str) -> Result<Self, InvalidUri> {
        let parsed = uri.parse().map(|mut uri: AMQPUri| {
            uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
            Self(uri)
        });
        parsed.map_err(|reason: String| {
            // The parser's texts quote parts of the URI at most up to the host; be sure all the same.
            let secret = uri.split_once('@').is_some_and(|(head, _)| reason.contains(head));
            InvalidUri(if secret { "it cannot be parsed".to_owned() } else { reason })
        })
    }

    /// One attempt to connect, within 15 s; `name` is shown by the broker's tools.
    pub async fn connect(&self, name: &str) -> Result<Connection, String> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        match tokio::time::timeout(CONNECT_WITHIN, Connection::connect_uri(self.0.clone(), properties)).await
        {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.told(&error)),
            Err(_) => Err(format!("no answer within {} s", CONNECT_WITHIN.as_secs())),
        }
    }
}

impl Address {
    /// Why there is no connection; where the protocol is the wrong one, in words that name the right one.
    fn told(&self, error: &lapin::Error) -> String {
        let is_tls = matches!(self.0.scheme, AMQPScheme::AMQPS);
        let error = error.to_string();
        if is_tls && error.contains("InvalidContentType") {
            format!(
                "what answers does not speak TLS; is it the right port, or amqp:// instead of amqps://? ({error})"
            )
        } else if error.starts_with("failed to parse") {
            let other = if is_tls { "" } else { ", or amqps:// instead of amqp://" };
            format!("what answers does not speak AMQP 0-9-1; is it the right port{other}? ({error})")
        } else {
            error
        }
    }
}

/// `amqp://user:***@host:5672/vhost`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
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
