//! The sync with a KAZOO, as the configuration asks for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::{Config, HooksOf, KazooVersion};
use crate::log::ReaderOf;
use crate::model::{AccountId, Clock, EventOffset};
use crate::onboarding::source::{Bounds, Couch, Credentials, Crossbar, Manner, Source};
use crate::onboarding::sync::{Parts, Sync, SyncOptions, SyncWatch};
use crate::onboarding::{Begin, LogEnds, Profile, Rules};
use crate::queues::Queues;
use crate::state::State;
use crate::tasks::Tasks;

/// Where new hooks begin: at the end of the log, or at the first event that waits for their account.
struct Beginning {
    events: ReaderOf<EventOffset>,
    queues: Queues,
}

impl Begin for Beginning {
    fn places(&self) -> LogEnds {
        LogEnds { events: self.events.end(), ledger: self.queues.ledger_end() }
    }

    fn first_waiting(&self, account: AccountId) -> Option<EventOffset> {
        self.queues.first_waiting(account)
    }
}

/// What the synchronised documents become part of.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) state: &'a State,
    pub(super) events: &'a ReaderOf<EventOffset>,
    pub(super) queues: &'a Queues,
}

/// The task and a look at its state; `None`: no KAZOO is named.
pub(super) fn build(
    config: &Config,
    stores: Stores<'_>,
    clock: &Clock,
    tasks: &Tasks,
) -> anyhow::Result<Option<(Sync, SyncWatch)>> {
    let Some(source) = source(config)? else { return Ok(None) };
    let Stores { state, events, queues } = stores;
    let parts = Parts {
        source,
        state: state.clone(),
        events: events.clone(),
        begin: Arc::new(Beginning { events: events.clone(), queues: queues.clone() }),
        clock: clock.clone(),
        tasks: tasks.clone(),
    };
    let sync = &config.kazoo.sync;
    let options = SyncOptions {
        interval: Duration::from_millis(sync.interval_ms),
        settle: Duration::from_millis(sync.settle_ms),
        max_gone_percent: sync.max_gone_percent,
        step: sync.step_accounts,
        bounds: bounds(config),
        rules: Rules {
            allow: config.delivery.allow_addresses.clone(),
            most_hooks: config.limits.max_hooks_per_account,
            most_bytes: config.limits.max_document_bytes,
            hooks_once: sync.hooks == HooksOf::Once,
            remembers_limits: true,
            ..Rules::default()
        },
    };
    Ok(Some(Sync::new(parts, options)))
}

fn bounds(config: &Config) -> Bounds {
    let sync = &config.kazoo.sync;
    Bounds { most_accounts: sync.max_accounts, most_hooks: sync.max_hooks }
}

fn source(config: &Config) -> anyhow::Result<Option<Source>> {
    let sync = &config.kazoo.sync;
    let profile = match sync.version {
        KazooVersion::Classic => Profile::Classic,
        KazooVersion::Current => Profile::Current,
    };
    let bounds = bounds(config);
    // A reading that fails is made again anyway.
    let manner = Manner { timeout: Duration::from_millis(sync.timeout_ms), tries: 3, ..Manner::default() };
    if let Some(address) = &sync.couch {
        let text = sync.couch_credentials_file.as_deref().map(|path| secret("couch_credentials_file", path));
        let credentials = text.transpose()?.map(|text| {
            Credentials::parse(&text).context("kazoo.sync.couch_credentials_file must hold name:password")
        });
        let couch = Couch::new(address, credentials.transpose()?, manner, profile, bounds);
        return Ok(Some(Source::Couch(couch.context("kazoo.sync.couch")?)));
    }
    let Some(address) = &sync.crossbar else { return Ok(None) };
    let path = sync.api_key_file.as_deref().context("kazoo.sync.crossbar needs kazoo.sync.api_key_file")?;
    let key = secret("api_key_file", path)?;
    let crossbar = Crossbar::new(address, &key, manner, profile, bounds).context("kazoo.sync.crossbar")?;
    Ok(Some(Source::Crossbar(crossbar)))
}

fn secret(key: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    Ok(text.with_context(|| format!("kazoo.sync.{key}: {}", path.display()))?.trim().to_owned())
}
