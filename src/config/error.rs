//! Why a configuration is refused. Each error names the key and what a correct value would be, and never shows a
//! value that may be a secret.

use std::path::PathBuf;

use toml::Value;

use super::Config;
use super::load::{DEFAULTS, parse};

/// Why a configuration is refused. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {}: {error}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A source is not valid TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// The name of the source.
        origin: String,
        /// The place and the error.
        message: String,
    },
    /// A source has an unknown key.
    #[error("{origin}: unknown key '{key}'; {}", hint(key))]
    UnknownKey {
        /// The name of the source.
        origin: String,
        /// The full key.
        key: String,
    },
    /// An environment variable begins like ours, but names no key.
    #[error("environment variable {name} is not read; did you mean {right}?")]
    Variable {
        /// Its name.
        name: String,
        /// The name of the variable that was probably meant.
        right: String,
    },
    /// A value has the wrong type.
    #[error("{key}: {rule}")]
    Type {
        /// The full key.
        key: String,
        /// The type that it should have. Never the value, which may be a secret.
        rule: String,
    },
    /// A value is out of range or conflicts with another key.
    #[error("{key} = {value}: {rule}")]
    Value {
        /// The full key.
        key: &'static str,
        /// The value.
        value: String,
        /// The rule that it breaks.
        rule: String,
    },
}

impl ConfigError {
    /// The error without values, for the log.
    #[must_use]
    pub fn without_value(&self) -> String {
        match self {
            Self::Value { key, rule, .. } => format!("{key}: {rule}"),
            Self::File { .. }
            | Self::Syntax { .. }
            | Self::UnknownKey { .. }
            | Self::Variable { .. }
            | Self::Type { .. } => self.to_string(),
        }
    }
}

/// Suggests a known key in place of an unknown one.
fn hint(key: &str) -> String {
    const ALIKE: f64 = 0.88;
    let keys = Config::keys();
    let likeness = |known: &String| strsim::jaro_winkler(known, key);
    // The right name in the wrong section, or without a section.
    let name = key.rsplit('.').next().unwrap_or(key);
    let elsewhere = keys.iter().find(|known| known.rsplit('.').next() == Some(name));
    let near = keys.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match elsewhere.or_else(|| near.filter(|known| likeness(known) > ALIKE)) {
        Some(known) => format!("did you mean {known}? (config/switchhook.toml lists every key)"),
        None => "config/switchhook.toml lists every key".to_owned(),
    }
}

/// The rule for a key's value. `found` is the parser's error about the given value.
pub(super) fn rule(key: &str, found: &str) -> String {
    let defaults = parse(DEFAULTS, "defaults").unwrap_or_default();
    let default = match key.split_once('.') {
        Some((section, name)) => defaults.get(section).and_then(|section| section.get(name)),
        None => defaults.get(key),
    };
    // The parser lists the allowed words.
    if let Some((_, words)) = found.split_once(", expected").filter(|_| found.starts_with("unknown variant"))
    {
        return format!("must be{}", words.replace('`', ""));
    }
    match (key, default) {
        ("http.listen" | "websocket.listen", Some(default)) => {
            format!("must be an IP address with a port, such as {default}")
        }
        ("delivery.nameservers", _) => {
            r#"must be a list of IP addresses with ports, such as ["10.0.0.53:53"]"#.to_owned()
        }
        // The parser's error could contain a password.
        ("amqp.zones", _) => {
            r#"must be a list of zones, [[amqp.zones]] with name = "ams" and uris = ["amqp://user:password@host:5672"]; \
               also ca_file, certificate_file and key_file"#
                .to_owned()
        }
        (_, Some(Value::Array(_))) => {
            r#"must be a list of address ranges (CIDRs), such as ["10.1.2.0/24"]; one address is 10.1.2.3/32"#
                .to_owned()
        }
        (_, Some(Value::Integer(default))) => {
            let most = if found.ends_with("u16") { format!("to {}", u16::MAX) } else { "on".to_owned() };
            format!("must be a whole number from 0 {most}, such as {default}")
        }
        (_, Some(Value::Boolean(_))) => "must be true or false".to_owned(),
        (_, Some(Value::Table(_))) => format!("must be a section: [{key}], with its keys below"),
        _ => "must be a text, in quotes in a file".to_owned(),
    }
}
