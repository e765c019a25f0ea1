//! The kinds of values that keys have, beside numbers and texts. A secret never prints.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// One of `[[amqp.zones]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "every key is documented in config/switchhook.toml")]
pub struct AmqpZone {
    pub name: String,
    pub uris: Vec<Masked>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// The type of our queue at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// On one node.
    Classic,
    /// Replicated, and kept when a broker stops.
    Quorum,
}

/// Which KAZOO is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum KazooVersion {
    /// 4.3.
    #[serde(rename = "4.3")]
    Classic,
    /// 5.
    #[serde(rename = "5")]
    Current,
}

/// Where imported hooks live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HooksOf {
    /// In KAZOO.
    Follow,
    /// Here, after they have been imported.
    Once,
}

/// The KAZOO version whose listings the API imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// KAZOO 4.0.
    Classic,
    /// KAZOO 5.
    Current,
}

/// What happens to a websocket session whose token has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenExpiry {
    /// Nothing.
    Ignore,
    /// The session cannot subscribe any more.
    Refuse,
    /// The session is closed.
    Close,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// A secret. It prints as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Masked(String);

impl Masked {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Serialize for Masked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl From<String> for Masked {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl std::fmt::Debug for Masked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
