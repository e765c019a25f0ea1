//! The configuration: compiled-in defaults, overridden by a file, the environment and the command line, in this order.
//!
//! Defaults exist in one place only, `config/switchhook.toml`, which is compiled in. An unknown key or an invalid
//! value is refused with its name and the remedy; nothing is corrected silently. A running program can reload some of
//! the keys (`reload`).

mod check;
mod error;
mod load;
mod reload;
mod show;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{AccountId, Mode};

pub use error::ConfigError;
pub use load::{Overlay, load};
pub use reload::{Difference, RELOADABLE};
pub use show::Setting;
pub use values::{AmqpZone, HooksOf, KazooVersion, LogFormat, Masked, Profile, QueueType, TokenExpiry};

macro_rules! config {
    ($($key:ident: $type:ty),*; $($section:ident: $keys:ty),* $(,)?) => {
        /// A checked configuration.
        #[derive(Debug, Clone, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "every key is documented in config/switchhook.toml")]
        pub struct Config { $(pub $key: $type,)* $(pub $section: $keys,)* }

        impl Config {
            /// The names of all keys: `key` or `section.key`.
            #[must_use]
            pub fn keys() -> Vec<String> {
                let mut keys = vec![$(stringify!($key).to_owned()),*];
                $(keys.extend(<$keys>::KEYS.iter().map(|key| format!("{}.{key}", stringify!($section))));)*
                with_nested(keys)
            }

            /// The names of all keys whose values differ.
            fn differing(&self, other: &Self) -> Vec<String> {
                let mut keys = Vec::new();
                $(if self.$key != other.$key { keys.push(stringify!($key).to_owned()); })*
                $(for key in self.$section.differing(&other.$section) {
                    keys.push(format!("{}.{key}", stringify!($section)));
                })*
                if let Some(at) = keys.iter().position(|key| key == "kazoo.sync") {
                    let nested = self.kazoo.sync.differing(&other.kazoo.sync).into_iter();
                    keys.splice(at..=at, nested.map(|key| format!("kazoo.sync.{key}")));
                }
                keys
            }
        }
    };
}

config! {
    data_dir: PathBuf,
    shutdown_grace_ms: u64;
    http: Http,
    websocket: Websocket,
    amqp: Amqp,
    auth: Auth,
    accounts: Accounts,
    rate_limit: RateLimit,
    api: Api,
    console: Console,
    commands: Commands,
    kazoo: Kazoo,
    ingest: Ingest,
    limits: Limits,
    log: Log,
    ledger: Ledger,
    retention: Retention,
    queues: Queues,
    delivery: Delivery,
    retry: Retry,
    disable: Disable,
    attempts: Attempts,
    audit: Audit,
    metrics: Metrics,
    telemetry: Telemetry,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "every key is documented in config/switchhook.toml")]
        pub struct $name { $(pub $field: $type),* }

        impl $name {
            const KEYS: &[&str] = &[$(stringify!($field)),*];

            fn differing(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$field != other.$field { keys.push(stringify!($field)); })*
                keys
            }
        }
    };
}

section!(
    /// `[http]`
    Http {
        listen: SocketAddr,
        trusted_proxies: Vec<IpNet>,
        max_connections: usize,
        idle_timeout_ms: u64,
        write_timeout_ms: u64,
        max_body_bytes: u64,
        body_memory_bytes: u64,
        request_timeout_ms: u64,
        page_size: usize,
        max_page_size: usize,
        max_page_bytes: usize,
        max_searched_events: usize,
    }
);
section!(
    /// `[console]`
    Console {
        enabled: bool,
        session_hours: u64,
    }
);
section!(
    /// `[websocket]`
    Websocket {
        listen: SocketAddr,
        max_sessions: usize,
        max_sessions_per_account: usize,
        max_sessions_per_ip: usize,
        max_sessions_without_token: usize,
        token_timeout_ms: u64,
        max_bindings: usize,
        max_commands: usize,
        max_frame_bytes: usize,
        frame_burst: u32,
        frames_per_second: u32,
        window_bytes: usize,
        shared_bytes: usize,
        ping_interval_ms: u64,
        idle_timeout_ms: u64,
        token_expiry: TokenExpiry,
    }
);
section!(
    /// `[amqp]`
    Amqp {
        uri: Option<Masked>,
        zones: Vec<AmqpZone>,
        queue: String,
        queue_type: QueueType,
        queue_max_bytes: u64,
        queue_max_messages: u64,
        check_interval_ms: u64,
        prefetch: u16,
        reconnect_max_ms: u64,
    }
);
section!(
    /// `[auth]`
    Auth {
        master_api_key: Option<Masked>,
        token_expiry_s: u64,
        wrong_credentials_burst: u32,
        wrong_credentials_per_minute: u32,
        kazoo_public_keys: Option<PathBuf>,
        kazoo_crossbar: Option<String>,
        kazoo_api_key_file: Option<PathBuf>,
        kazoo_recheck_s: u64,
        kazoo_tokens_without_expiry: bool,
    }
);
section!(
    /// `[accounts]`
    Accounts { auto_create: bool, master_id: Option<AccountId>, unknown_wait_s: u64, unknown_wait_bytes: u64 }
);
section!(
    /// `[rate_limit]`
    RateLimit { burst: u32, per_second: u32, request_cost: u32, log_in_cost: u32 }
);
section!(
    /// `[api]`
    Api { profile: Profile }
);
section!(
    /// `[commands]`
    Commands { timeout_ms: u64, max_in_flight: usize, flow_as_action: bool }
);
section!(
    /// `[kazoo]`
    Kazoo {
        mode: Mode,
        shadow_sink: Option<Masked>,
        replace_webhooks: bool,
        replace_blackhole: bool,
        sync: KazooSync,
    }
);
section!(
    /// `[kazoo.sync]`
    KazooSync {
        couch: Option<String>,
        couch_credentials_file: Option<PathBuf>,
        crossbar: Option<String>,
        api_key_file: Option<PathBuf>,
        version: KazooVersion,
        hooks: HooksOf,
        interval_ms: u64,
        settle_ms: u64,
        timeout_ms: u64,
        max_gone_percent: usize,
        step_accounts: usize,
        max_accounts: usize,
        max_hooks: usize,
    }
);
section!(
    /// `[ingest]`
    Ingest {
        batch_events: usize,
        max_event_bytes: u32,
        http_burst_bytes: u64,
        http_bytes_per_second: u64,
    }
);
section!(
    /// `[limits]`
    Limits {
        max_document_bytes: usize,
        max_hooks_per_account: usize,
        max_users_per_account: usize,
        max_api_keys_per_account: usize,
        max_children_per_account: usize,
        max_account_depth: usize,
        max_deleted_per_account: usize,
        max_tenant_bytes: u64,
        change_burst_bytes: u64,
        change_bytes_per_second: u64,
    }
);
section!(
    /// `[log]`
    Log { segment_bytes: u64, segment_age_hours: u64, reserve_bytes: u64, gather_us: u64 }
);
section!(
    /// `[ledger]`
    Ledger { segment_bytes: u64, reserve_bytes: u64, checkpoint_records: u64 }
);
section!(
    /// `[retention]`
    Retention { max_age_hours: u64, max_bytes: u64, max_account_percent: u64 }
);
section!(
    /// `[queues]`
    Queues { shards: usize, window: usize, lane: usize, keep_bytes: usize, max_replays: usize }
);
section!(
    /// `[delivery]`
    Delivery {
        max_in_flight: usize,
        per_hook_in_flight: u32,
        per_host_in_flight: u32,
        connect_timeout_ms: u64,
        request_timeout_ms: u64,
        allow_addresses: Vec<IpNet>,
        nameservers: Vec<SocketAddr>,
        max_idle_connections: usize,
        keep_alive_max_s: u64,
        response_read_bytes: usize,
        response_keep_bytes: usize,
        success_keep_bytes: usize,
        body_memory_bytes: usize,
        max_tests: usize,
        inbox: bool,
    }
);
section!(
    /// `[retry]`
    Retry { initial_ms: u64, max_ms: u64 }
);
section!(
    /// `[disable]`
    Disable { failure_count: u32, window_ms: u64, probe_initial_ms: u64, probe_max_ms: u64 }
);
section!(
    /// `[attempts]`
    Attempts { log_successful: bool }
);
section!(
    /// `[audit]`
    Audit { max_age_hours: u64, max_bytes: u64, max_tenant_percent: u64 }
);
section!(
    /// `[metrics]`
    Metrics { token: Option<Masked>, public: bool, hook_series: usize }
);
section!(
    /// `[telemetry]`
    Telemetry { format: LogFormat, filter: String, otlp_endpoint: Option<String> }
);

impl Amqp {
    /// All zones with their URIs: `zones`, or a single zone without a name for `uri`.
    #[must_use]
    pub fn all_zones(&self) -> Vec<AmqpZone> {
        let Some(uri) = &self.uri else { return self.zones.clone() };
        let uris = crate::amqp::several(uri.reveal()).into_iter().map(Masked::from).collect();
        vec![AmqpZone { name: String::new(), uris, ca_file: None, certificate_file: None, key_file: None }]
    }
}

/// The keys, with those of a section that lies within another in its place.
fn with_nested(keys: Vec<String>) -> Vec<String> {
    let spread = |key: String| match key.as_str() {
        "kazoo.sync" => KazooSync::KEYS.iter().map(|name| format!("{key}.{name}")).collect(),
        _ => vec![key],
    };
    keys.into_iter().flat_map(spread).collect()
}
