//! Translates the configuration into the options of each step.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::broker::node_name;
use super::live;
use super::open_files;
use crate::auth;
use crate::config::{self, Config, Profile};
use crate::delivery;
use crate::http;
use crate::ingest::{self, Realms, Tenants};
use crate::log;
use crate::model::{ByteRate, Clock, Duty};
use crate::queues::{self, Policy};
use crate::state::{self, State};

pub(super) fn state_options(config: &Config) -> state::StateOptions {
    let mut options = state::StateOptions::new(&config.data_dir);
    options.node = node_name();
    options.master = config.accounts.master_id;
    options.master_api_key = config.auth.master_api_key.as_ref().map(|key| key.reveal().to_owned());
    options.reserve_bytes = config.ledger.reserve_bytes / 2;
    options.limits = document_limits(&config.limits);
    options.audit_max_age_us = config.audit.max_age_hours.saturating_mul(3_600_000_000);
    options.audit_max_bytes = config.audit.max_bytes;
    options.audit_max_tenant_percent = config.audit.max_tenant_percent;
    options
}

fn document_limits(limits: &config::Limits) -> state::DocumentLimits {
    state::DocumentLimits {
        document_bytes: limits.max_document_bytes,
        hooks: limits.max_hooks_per_account,
        users: limits.max_users_per_account,
        api_keys: limits.max_api_keys_per_account,
        children: limits.max_children_per_account,
        depth: limits.max_account_depth,
        deleted: limits.max_deleted_per_account,
        tenant_bytes: limits.max_tenant_bytes,
        changes: ByteRate { burst: limits.change_burst_bytes, per_second: limits.change_bytes_per_second },
    }
}

/// The largest age (in microseconds) and size of the events log.
pub(super) fn retention_limits(config: &Config) -> (u64, u64) {
    (config.retention.max_age_hours.saturating_mul(3_600_000_000), config.retention.max_bytes)
}

pub(super) fn events_options(config: &Config) -> log::LogOptions {
    let (max_age_us, max_bytes) = retention_limits(config);
    log::LogOptions {
        segment_bytes: config.log.segment_bytes,
        segment_age_us: config.log.segment_age_hours.saturating_mul(3_600_000_000),
        max_age_us: Some(max_age_us),
        max_bytes: Some(max_bytes),
        reserve_bytes: config.log.reserve_bytes,
        gather: Duration::from_micros(config.log.gather_us),
        max_record_bytes: u32::try_from(ingest::RECORD_OVERHEAD)
            .unwrap_or(u32::MAX)
            .saturating_add(config.ingest.max_event_bytes),
        ..log::LogOptions::default()
    }
}

/// The ledger has its own rule of retention (`retention.rs`), which never drops the last checkpoint.
pub(super) fn ledger_options(config: &Config) -> log::LogOptions {
    log::LogOptions {
        segment_bytes: config.ledger.segment_bytes,
        segment_age_us: config.log.segment_age_hours.saturating_mul(3_600_000_000),
        reserve_bytes: config.ledger.reserve_bytes,
        gather: queues::LOG_GATHERS,
        ..log::LogOptions::default()
    }
}

pub(super) fn ingest_options(config: &Config, state: &State) -> ingest::IngestOptions {
    let (state, accounts) = (state.clone(), state.clone());
    ingest::IngestOptions {
        max_event_bytes: config.ingest.max_event_bytes as usize,
        several_brokers: config.amqp.all_zones().iter().map(|zone| zone.uris.len()).sum::<usize>() > 1,
        realms: Realms::new(move |realm| state.account_of_realm(realm)),
        tenants: Tenants::new(move |account| accounts.tenant_of(account)),
        ..ingest::IngestOptions::default()
    }
}

pub(super) fn auth_options(config: &Config) -> anyhow::Result<auth::AuthOptions> {
    let rate = |burst, per_minute| (burst > 0).then_some(auth::Rate { burst, per_minute });
    let keys = config.auth.kazoo_public_keys.as_deref().map(auth::ForeignKeys::load).transpose();
    Ok(auth::AuthOptions {
        token_ttl_s: config.auth.token_expiry_s,
        requests: rate(config.rate_limit.burst, config.rate_limit.per_second.saturating_mul(60)),
        request_cost: config.rate_limit.request_cost,
        log_in_cost: config.rate_limit.log_in_cost,
        wrong_credentials: rate(
            config.auth.wrong_credentials_burst,
            config.auth.wrong_credentials_per_minute,
        ),
        foreign: keys.context("auth.kazoo_public_keys")?,
        crossbar: crossbar(config)?,
        foreign_without_end: config.auth.kazoo_tokens_without_expiry,
        auto_create: config.accounts.auto_create,
        ..auth::AuthOptions::default()
    })
}

fn crossbar(config: &Config) -> anyhow::Result<Option<Arc<auth::Crossbar>>> {
    let Some(url) = config.auth.kazoo_crossbar.clone() else { return Ok(None) };
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("auth.kazoo_api_key_file: {}", path.display()))
    };
    let api_key = config.auth.kazoo_api_key_file.as_ref().map(read).transpose()?;
    let options = auth::CrossbarOptions {
        url,
        api_key: api_key.map(|key| key.trim().to_owned()),
        recheck: Duration::from_secs(config.auth.kazoo_recheck_s),
        steady: Clock::steady(),
    };
    Ok(Some(Arc::new(auth::Crossbar::new(options).context("auth.kazoo_crossbar")?)))
}

pub(super) fn http_options(config: &Config) -> http::ApiOptions {
    http::ApiOptions {
        listen: config.http.listen,
        connections: live::connections(config),
        max_body_bytes: usize::try_from(config.http.max_body_bytes).unwrap_or(usize::MAX),
        body_memory_bytes: usize::try_from(config.http.body_memory_bytes).unwrap_or(usize::MAX),
        page_size: config.http.page_size,
        max_page_size: config.http.max_page_size,
        max_page_bytes: config.http.max_page_bytes,
        events: ByteRate {
            burst: config.ingest.http_burst_bytes,
            per_second: config.ingest.http_bytes_per_second,
        },
        body_timeout: Duration::from_millis(config.http.request_timeout_ms),
        max_searched_events: config.http.max_searched_events,
        node: node_name(),
        metrics_public: config.metrics.public,
        metrics_token_hash: config.metrics.token.as_ref().map(|token| state::key_hash(token.reveal())),
        profile: match config.api.profile {
            Profile::Classic => http::Profile::Classic,
            Profile::Current => http::Profile::Current,
        },
        allow_addresses: config.delivery.allow_addresses.clone(),
        kazoo_owns: kazoo_owns(config),
        ..http::ApiOptions::default()
    }
}

/// With a sync, imported documents can be changed only in KAZOO.
fn kazoo_owns(config: &Config) -> http::KazooOwns {
    let sync = &config.kazoo.sync;
    let is_on = sync.couch.is_some() || sync.crossbar.is_some();
    http::KazooOwns { accounts: is_on, hooks: is_on && sync.hooks == config::HooksOf::Follow }
}

pub(super) fn delivery_options(config: &Config) -> delivery::DeliveryOptions {
    delivery::DeliveryOptions {
        limits: delivery_limits(config),
        allow_addresses: config.delivery.allow_addresses.clone(),
        nameservers: config.delivery.nameservers.clone(),
        max_lookups: open_files::share(256, 16),
        body_memory_bytes: config.delivery.body_memory_bytes,
        inbox: config.delivery.inbox,
        spans: None,
        duty: Duty::default(),
        sink: delivery::Sink::new(config.kazoo.shadow_sink.as_ref().map(config::Masked::reveal)),
    }
}

pub(super) fn delivery_limits(config: &Config) -> delivery::TransportLimits {
    let d = &config.delivery;
    delivery::TransportLimits {
        connect_timeout: Duration::from_millis(d.connect_timeout_ms),
        request_timeout: Duration::from_millis(d.request_timeout_ms),
        response_read_bytes: d.response_read_bytes,
        response_keep_bytes: d.response_keep_bytes,
        success_keep_bytes: d.success_keep_bytes,
        idle: delivery::IdleLimits {
            total: open_files::share(d.max_idle_connections, 16).div_ceil(shards(config)),
            per_origin: d.per_host_in_flight as usize,
            timeout: Duration::from_secs(30),
            max_age: Duration::from_secs(d.keep_alive_max_s),
        },
    }
}

/// The most concurrent attempts. Each has a connection, so at most an eighth of the open files are used.
fn most_in_flight(asked: usize) -> usize {
    let most = open_files::share(asked, 8);
    if most < asked {
        tracing::warn!(
            asked,
            used = most,
            "delivery.max_in_flight is lowered: the process may have too few files open (ulimit -n, LimitNOFILE)"
        );
    }
    most
}

/// The number of simultaneous reads of the log for queues that are behind, in all shards together; each shard has at
/// least one.
const MAX_READS: usize = 4;
/// The default number of shards on a machine with more cores than this.
const MOST_SHARDS: usize = 16;

/// The number of shards.
pub(super) fn shards(config: &Config) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    match config.queues.shards {
        0 => cores().clamp(1, MOST_SHARDS),
        asked => asked,
    }
}

/// The number of simultaneous reads of the log in each shard.
fn reads_of_shard(config: &Config) -> usize {
    (MAX_READS / shards(config)).max(1)
}

/// The most threads of the queues: one for each shard, and the threads that read the log for it.
pub(super) fn queue_threads(config: &Config) -> usize {
    shards(config) * (1 + reads_of_shard(config))
}

pub(super) fn queue_options(config: &Config) -> queues::QueueOptions {
    let d = &config.delivery;
    queues::QueueOptions {
        max_in_flight: most_in_flight(d.max_in_flight),
        per_hook_in_flight: d.per_hook_in_flight,
        per_host_in_flight: d.per_host_in_flight,
        window: config.queues.window,
        lane: config.queues.lane,
        keep_bytes: config.queues.keep_bytes,
        checkpoint_records: config.ledger.checkpoint_records,
        max_reads: reads_of_shard(config),
        max_replays: config.queues.max_replays,
        unknown: queues::UnknownLimits {
            wait: Duration::from_secs(config.accounts.unknown_wait_s),
            bytes: config.accounts.unknown_wait_bytes,
        },
        grace: Duration::from_millis(config.shutdown_grace_ms),
        policy: Policy {
            retry_initial: Duration::from_millis(config.retry.initial_ms),
            retry_max: Duration::from_millis(config.retry.max_ms),
            failure_count: Some(config.disable.failure_count).filter(|count| *count > 0),
            failure_window: Duration::from_millis(config.disable.window_ms),
            probe_initial: Some(config.disable.probe_initial_ms)
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            probe_max: Duration::from_millis(config.disable.probe_max_ms),
        },
    }
}
