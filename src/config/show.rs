//! The present configuration, key by key, without secrets.

use serde_json::Value;

use super::{Config, Overlay, RELOADABLE, load};
use crate::model::masked_uri;

/// Keys whose values are URLs that may contain a password.
const ADDRESSES: [&str; 1] = ["telemetry.otlp_endpoint"];

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// `key` or `section.key`.
    pub key: String,
    /// The value. A secret is shown as `***`, an unset key as null.
    pub value: Value,
    /// Whether it differs from the default.
    pub changed: bool,
    /// Whether a running program can reload it.
    pub reloadable: bool,
}

impl Config {
    /// Every key with its value, in the order of `config/switchhook.toml`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        // All values are plain, so this cannot fail.
        let values = serde_json::to_value(self).unwrap_or_default();
        let changed = load(&Overlay::default()).map(|defaults| self.differing(&defaults)).unwrap_or_default();
        let setting = |key: String| {
            let value = values.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default();
            let value = match value.as_str() {
                Some(address) if ADDRESSES.contains(&key.as_str()) => masked_uri(address).into(),
                _ => value,
            };
            let (changed, reloadable) = (changed.contains(&key), RELOADABLE.contains(&key.as_str()));
            Setting { key, value, changed, reloadable }
        };
        Self::keys().into_iter().map(setting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_shown_without_secrets() {
        let set = [
            "auth.master_api_key=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "amqp.uri=amqp://guest:guessme@127.0.0.1/",
            "metrics.token=scrape-secret",
            "telemetry.otlp_endpoint=http://me:collector-pass@127.0.0.1:4318",
            "http.page_size=25",
        ];
        let overlay = Overlay { set: set.map(str::to_owned).to_vec(), ..Overlay::default() };
        let settings = load(&overlay).unwrap().settings();
        assert_eq!(settings.len(), Config::keys().len());
        let shown = format!("{settings:?}");
        for secret in ["0123456789abcdef", "guessme", "scrape-secret", "collector-pass"] {
            assert!(!shown.contains(secret), "{secret}");
        }
        let of = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!((&of("http.page_size").value, of("http.page_size").changed), (&25.into(), true));
        assert!(!of("http.max_page_size").changed && of("retry.max_ms").reloadable);
        assert_eq!(of("amqp.uri").value, "***");
    }
}
