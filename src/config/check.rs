//! Checks of a configuration: the ranges of values, and rules between keys.

use std::collections::HashSet;

use super::{AmqpZone, Config, ConfigError};
use crate::{amqp, queues};

fn refuse(key: &'static str, value: &dyn std::fmt::Display, rule: impl Into<String>) -> ConfigError {
    ConfigError::Value { key, value: value.to_string(), rule: rule.into() }
}

fn within(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(refuse(key, &value, format!("must be between {min} and {max}")))
    }
}

impl super::Http {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 9] {
        [
            ("http.max_page_bytes", self.max_page_bytes as u64, 1 << 16, 1 << 30),
            ("http.max_connections", self.max_connections as u64, 1, 1_000_000),
            ("http.idle_timeout_ms", self.idle_timeout_ms, 100, 3_600_000),
            ("http.write_timeout_ms", self.write_timeout_ms, 100, 3_600_000),
            (
                "http.body_memory_bytes",
                self.body_memory_bytes,
                self.max_body_bytes.saturating_mul(6),
                1 << 40,
            ),
            ("http.max_body_bytes", self.max_body_bytes, 1024, 1 << 30),
            ("http.request_timeout_ms", self.request_timeout_ms, 100, 3_600_000),
            ("http.page_size", self.page_size as u64, 1, self.max_page_size as u64),
            ("http.max_page_size", self.max_page_size as u64, 1, 1_000_000),
        ]
    }
}

impl super::Auth {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 3] {
        let wrong = u64::from(self.wrong_credentials_per_minute);
        [
            ("auth.token_expiry_s", self.token_expiry_s, 1, 31_536_000),
            ("auth.wrong_credentials_per_minute", wrong, 1, 1_000_000),
            ("auth.kazoo_recheck_s", self.kazoo_recheck_s, 0, 3600),
        ]
    }
}

impl super::KazooSync {
    /// The addresses hold no credentials, and an API that is read has its key.
    fn check(&self) -> Result<(), ConfigError> {
        for (key, address) in [("kazoo.sync.couch", &self.couch), ("kazoo.sync.crossbar", &self.crossbar)] {
            if address.as_deref().is_some_and(|address| !is_address(address)) {
                let rule =
                    "must be an http:// or https:// URL without a password, such as http://10.0.0.5:8000";
                return Err(refuse(key, &"***", rule));
            }
        }
        if self.couch.is_none() && self.crossbar.is_some() && self.api_key_file.is_none() {
            let rule = "must name a file with an API key of the KAZOO's master account when kazoo.sync.crossbar is set";
            return Err(refuse("kazoo.sync.api_key_file", &"nothing", rule));
        }
        Ok(())
    }

    fn ranges(&self) -> [(&'static str, u64, u64, u64); 7] {
        [
            ("kazoo.sync.interval_ms", self.interval_ms, 100, 86_400_000),
            ("kazoo.sync.settle_ms", self.settle_ms, 1, 60_000),
            ("kazoo.sync.timeout_ms", self.timeout_ms, 100, 3_600_000),
            ("kazoo.sync.max_gone_percent", self.max_gone_percent as u64, 0, 100),
            ("kazoo.sync.step_accounts", self.step_accounts as u64, 1, 100_000),
            ("kazoo.sync.max_accounts", self.max_accounts as u64, 1, 10_000_000),
            ("kazoo.sync.max_hooks", self.max_hooks as u64, 1, 10_000_000),
        ]
    }
}

impl super::RateLimit {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 3] {
        [
            ("rate_limit.per_second", u64::from(self.per_second), 1, 1_000_000),
            ("rate_limit.request_cost", u64::from(self.request_cost), 0, 1_000_000),
            ("rate_limit.log_in_cost", u64::from(self.log_in_cost), 0, 1_000_000),
        ]
    }
}

impl super::Delivery {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 11] {
        let d = self;
        [
            ("delivery.max_in_flight", d.max_in_flight as u64, 1, queues::MOST_IN_FLIGHT as u64),
            ("delivery.per_hook_in_flight", u64::from(d.per_hook_in_flight), 1, 100_000),
            ("delivery.per_host_in_flight", u64::from(d.per_host_in_flight), 1, 100_000),
            ("delivery.connect_timeout_ms", d.connect_timeout_ms, 1, 600_000),
            ("delivery.request_timeout_ms", d.request_timeout_ms, 1, 600_000),
            ("delivery.response_read_bytes", d.response_read_bytes as u64, 1, 1 << 30),
            ("delivery.success_keep_bytes", d.success_keep_bytes as u64, 0, 1 << 20),
            ("delivery.body_memory_bytes", d.body_memory_bytes as u64, 1 << 20, 1 << 40),
            ("delivery.max_idle_connections", d.max_idle_connections as u64, 0, 1_000_000),
            ("delivery.keep_alive_max_s", d.keep_alive_max_s, 1, 86_400),
            ("delivery.max_tests", d.max_tests as u64, 0, 1000),
        ]
    }
}

impl super::Limits {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 10] {
        const MOST: u64 = 1_000_000_000;
        [
            ("limits.max_document_bytes", self.max_document_bytes as u64, 1024, 8 << 20),
            ("limits.max_hooks_per_account", self.max_hooks_per_account as u64, 1, MOST),
            ("limits.max_users_per_account", self.max_users_per_account as u64, 1, MOST),
            ("limits.max_api_keys_per_account", self.max_api_keys_per_account as u64, 1, MOST),
            ("limits.max_children_per_account", self.max_children_per_account as u64, 1, MOST),
            ("limits.max_account_depth", self.max_account_depth as u64, 1, 1000),
            ("limits.max_deleted_per_account", self.max_deleted_per_account as u64, 1, MOST),
            ("limits.max_tenant_bytes", self.max_tenant_bytes, 1 << 20, 1 << 50),
            ("limits.change_burst_bytes", self.change_burst_bytes, 1 << 16, 1 << 40),
            ("limits.change_bytes_per_second", self.change_bytes_per_second, 1024, 1 << 40),
        ]
    }
}

impl super::Amqp {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 5] {
        [
            ("amqp.queue_max_bytes", self.queue_max_bytes, 0, 1 << 50),
            ("amqp.queue_max_messages", self.queue_max_messages, 0, 1 << 40),
            ("amqp.check_interval_ms", self.check_interval_ms, 100, 3_600_000),
            ("amqp.prefetch", u64::from(self.prefetch), 1, 65_535),
            ("amqp.reconnect_max_ms", self.reconnect_max_ms, 500, 3_600_000),
        ]
    }
}

/// The longest name of a zone, in characters. It is a label of metrics.
const MOST_ZONE_NAME: usize = 64;

impl super::Amqp {
    fn check_zones(&self) -> Result<(), ConfigError> {
        if self.uri.is_some() && !self.zones.is_empty() {
            return Err(refuse(
                "amqp.uri",
                &"***",
                "must not be set together with amqp.zones: add its zone there",
            ));
        }
        let key = if self.uri.is_some() { "amqp.uri" } else { "amqp.zones" };
        let (mut names, mut seen) = (HashSet::new(), HashSet::new());
        for AmqpZone { name, uris, certificate_file, key_file, .. } in self.all_zones() {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let is_named = !name.is_empty() && name.len() <= MOST_ZONE_NAME && name.chars().all(is_plain);
            if self.uri.is_none() && !is_named {
                let rule = "the name of a zone must have 1 to 64 letters, digits, '-', '_' or '.'";
                return Err(refuse(key, &format!("name = {name:?}"), rule));
            }
            if !names.insert(name.clone()) {
                return Err(refuse(key, &format!("name = {name:?}"), "every zone needs its own name"));
            }
            if uris.is_empty() {
                return Err(refuse(key, &format!("name = {name:?}"), "a zone needs at least one of uris"));
            }
            if certificate_file.is_some() != key_file.is_some() {
                let rule = "certificate_file and key_file belong together";
                return Err(refuse(key, &format!("name = {name:?}"), rule));
            }
            for uri in uris {
                if !(uri.reveal().starts_with("amqp://") || uri.reveal().starts_with("amqps://")) {
                    return Err(refuse(key, &"***", "must start with amqp:// or amqps://"));
                }
                amqp::check_uri(uri.reveal()).map_err(|error| refuse(key, &"***", error.to_string()))?;
                if !seen.insert(uri.reveal().to_owned()) {
                    return Err(refuse(key, &"***", "must not name a broker twice"));
                }
            }
        }
        Ok(())
    }
}

impl super::Websocket {
    fn ranges(&self) -> [(&'static str, u64, u64, u64); 11] {
        [
            ("websocket.max_sessions_without_token", self.max_sessions_without_token as u64, 1, 1_000_000),
            ("websocket.token_timeout_ms", self.token_timeout_ms, 1000, 30_000),
            ("websocket.max_bindings", self.max_bindings as u64, 1, 100_000),
            ("websocket.max_commands", self.max_commands as u64, 0, 1024),
            ("websocket.max_frame_bytes", self.max_frame_bytes as u64, 1024, 16 << 20),
            ("websocket.frame_burst", u64::from(self.frame_burst), 1, 1_000_000),
            ("websocket.frames_per_second", u64::from(self.frames_per_second), 1, 1_000_000),
            ("websocket.window_bytes", self.window_bytes as u64, 1024, 16 << 20),
            ("websocket.shared_bytes", self.shared_bytes as u64, 1 << 16, 1 << 32),
            ("websocket.ping_interval_ms", self.ping_interval_ms, 100, 3_600_000),
            ("websocket.idle_timeout_ms", self.idle_timeout_ms, 100, 1 << 40),
        ]
    }
}

impl Config {
    /// Refuses a configuration that cannot work, naming the key and the rule.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let (q, r) = (&self.queues, &self.retry);
        let ranges = [
            ("shutdown_grace_ms", self.shutdown_grace_ms, 0, 600_000),
            ("console.session_hours", self.console.session_hours, 1, 8760),
            ("commands.timeout_ms", self.commands.timeout_ms, 1, 60_000),
            ("commands.max_in_flight", self.commands.max_in_flight as u64, 1, 100_000),
            ("ingest.batch_events", self.ingest.batch_events as u64, 1, 100_000),
            ("ingest.max_event_bytes", u64::from(self.ingest.max_event_bytes), 1024, 32 << 20),
            ("ingest.http_burst_bytes", self.ingest.http_burst_bytes, 1 << 20, 1 << 40),
            ("ingest.http_bytes_per_second", self.ingest.http_bytes_per_second, 1024, 1 << 40),
            ("log.segment_bytes", self.log.segment_bytes, 64 << 10, 1 << 30),
            ("log.segment_age_hours", self.log.segment_age_hours, 1, 100_000),
            ("log.gather_us", self.log.gather_us, 0, 1_000_000),
            ("ledger.segment_bytes", self.ledger.segment_bytes, 64 << 10, 1 << 30),
            ("ledger.checkpoint_records", self.ledger.checkpoint_records, 1, 100_000_000),
            ("retention.max_age_hours", self.retention.max_age_hours, 1, 1_000_000),
            ("retention.max_bytes", self.retention.max_bytes, 1 << 20, u64::MAX),
            ("retention.max_account_percent", self.retention.max_account_percent, 1, 100),
            ("queues.shards", q.shards as u64, 0, 16),
            ("queues.window", q.window as u64, 1, 1_000_000),
            ("queues.lane", q.lane as u64, 1, 1_000_000),
            ("queues.max_replays", q.max_replays as u64, 1, 1000),
            ("accounts.unknown_wait_s", self.accounts.unknown_wait_s, 0, 86_400),
            ("accounts.unknown_wait_bytes", self.accounts.unknown_wait_bytes, 0, 1 << 30),
            ("audit.max_age_hours", self.audit.max_age_hours, 1, 1_000_000),
            ("audit.max_bytes", self.audit.max_bytes, 1 << 20, u64::MAX),
            ("audit.max_tenant_percent", self.audit.max_tenant_percent, 1, 100),
            ("metrics.hook_series", self.metrics.hook_series as u64, 0, 1_000_000),
            ("retry.initial_ms", r.initial_ms, 1, 86_400_000),
            ("disable.window_ms", self.disable.window_ms, 1, 86_400_000),
        ];
        let sections = self
            .http
            .ranges()
            .into_iter()
            .chain(self.websocket.ranges())
            .chain(self.limits.ranges())
            .chain(self.rate_limit.ranges())
            .chain(self.auth.ranges())
            .chain(self.amqp.ranges())
            .chain(self.kazoo.sync.ranges())
            .chain(self.delivery.ranges());
        for (key, value, min, max) in ranges.into_iter().chain(sections) {
            within(key, value, min, max)?;
        }
        if r.max_ms < r.initial_ms {
            return Err(refuse("retry.max_ms", &r.max_ms, "must not be less than retry.initial_ms"));
        }
        if self.disable.probe_initial_ms > 0 && self.disable.probe_max_ms < self.disable.probe_initial_ms {
            let rule = "must not be less than disable.probe_initial_ms";
            return Err(refuse("disable.probe_max_ms", &self.disable.probe_max_ms, rule));
        }
        if self.ledger.reserve_bytes > self.log.reserve_bytes {
            let rule = "must not be more than log.reserve_bytes: the ledger must continue after the events log has paused";
            return Err(refuse("ledger.reserve_bytes", &self.ledger.reserve_bytes, rule));
        }
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), ConfigError> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(refuse("data_dir", &"\"\"", "must not be empty"));
        }
        if self.amqp.queue.is_empty() || self.amqp.queue.len() > 255 {
            return Err(refuse("amqp.queue", &self.amqp.queue, "must have 1 to 255 characters"));
        }
        self.amqp.check_zones()?;
        if let Some(sink) = &self.kazoo.shadow_sink
            && !url::Url::parse(sink.reveal()).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            return Err(refuse("kazoo.shadow_sink", &"***", "must be an http:// or https:// URL"));
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint
            && !url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            let rule = "must be an http:// or https:// URL such as http://127.0.0.1:4318";
            return Err(refuse("telemetry.otlp_endpoint", endpoint, rule));
        }
        self.kazoo.sync.check()?;
        if self.auth.kazoo_crossbar.as_deref().is_some_and(|crossbar| !is_address(crossbar)) {
            let rule = "must be an http:// or https:// URL without a password, such as http://10.0.0.5:8000";
            return Err(refuse("auth.kazoo_crossbar", &"***", rule));
        }
        if let Some(key) = &self.auth.master_api_key
            && key.reveal().chars().count() != 64
        {
            return Err(refuse("auth.master_api_key", &"***", "must have 64 characters"));
        }
        Ok(())
    }
}

/// Whether it is the address of an HTTP server, without credentials in it.
fn is_address(text: &str) -> bool {
    let is_plain = |url: &url::Url| url.username().is_empty() && url.password().is_none();
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && is_plain(&url))
}
