//! Health of the broker, the logs and the steps, for the health endpoints. The API adds the health of the state.
//!
//! Promise: a step that no longer works is named, whatever it is stuck at. Each step is asked for a sign of life.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::broker::Watched;
use super::threads::shortage;
use crate::amqp::BrokerStatus;
use crate::delivery::{Shortage, Shortages};
use crate::log::{Appender, Reader};
use crate::model::{Clock, Duty, Mode, OwnFault};
use crate::onboarding::sync::SyncWatch;
use crate::queues::Queues;
use crate::state::State;
use crate::tasks::Pulse;

type Findings = Vec<(&'static str, String)>;

/// The parts whose failure makes the program not ready.
pub(super) struct StorageHealth {
    pub(super) events: Reader,
    pub(super) ledger: Reader,
    pub(super) brokers: Vec<Watched>,
    pub(super) clock: Clock,
    pub(super) steps: StepsAtWork,
    pub(super) duty: Duty,
    /// The sync with a KAZOO, if there is one.
    pub(super) synced: Option<SyncWatch>,
}

/// The steps that are asked for a sign of life.
#[derive(Debug, Clone)]
pub(super) struct StepsAtWork {
    pub(super) events: Appender,
    pub(super) ledger: Appender,
    pub(super) state: State,
    pub(super) queues: Queues,
    /// One for each shard.
    pub(super) delivery: Vec<Pulse>,
    pub(super) live: Pulse,
    pub(super) shortages: Shortages,
}

/// The time limit for a sign of life.
const WITHIN: Duration = Duration::from_secs(2);

/// A notice reports events that arrive later than this after they were sent, in milliseconds.
const OLD_MS: u64 = 60_000;
const ALARM: &str = "the broker blocks all publishers because it is short of memory or disk \
 (rabbitmq-diagnostics alarms): no events arrive, and no commands can be sent";

impl StepsAtWork {
    /// The steps without a sign of life, and shortages of threads or files.
    async fn silent(&self, brokers: &[Watched]) -> Findings {
        let writes = async |log: &Appender| {
            // A log that refuses records still answers. It is a different fault, with the reason.
            tokio::time::timeout(WITHIN, log.ping()).await.is_ok()
        };
        // All at once, so that several dead steps together take no longer than one.
        let (events, ledger, state, queues, delivery, live, silent_brokers) = tokio::join!(
            writes(&self.events),
            writes(&self.ledger),
            self.state.is_alive(WITHIN),
            self.queues.is_alive(WITHIN),
            join_all(self.delivery.iter().map(|shard| shard.is_felt(WITHIN))),
            self.live.is_felt(WITHIN),
            silent_of(brokers),
        );
        let steps = [
            ("events_log", events),
            ("ledger", ledger),
            ("state", state),
            ("queues", queues),
            ("delivery", delivery.into_iter().all(|is_felt| is_felt)),
            ("live", live),
        ];
        let silent = steps.into_iter().filter(|(_, is_alive)| !is_alive);
        let silent = silent.map(|(step, _)| (step, format!("no sign of life within {} s", WITHIN.as_secs())));
        silent.chain(silent_brokers).chain(shortage()).collect()
    }
}

/// The connected brokers that do not answer. Brokers that are not connected are a different fault.
async fn silent_of(brokers: &[Watched]) -> Findings {
    let consumed =
        brokers.iter().filter(|broker| matches!(*broker.status.borrow(), BrokerStatus::Connected { .. }));
    let felt = consumed.map(|broker| async move { (broker, broker.pulse.is_felt(WITHIN).await) });
    let silent = join_all(felt).await.into_iter().filter(|(_, is_felt)| !is_felt);
    let reason = || format!("no sign of life within {} s", WITHIN.as_secs());
    silent.map(|(broker, _)| ("broker", said_of(broker, reason()))).collect()
}

/// A sentence about a broker. Names the broker when there are several.
fn said_of(broker: &Watched, reason: String) -> String {
    if broker.zone.is_empty() { reason } else { format!("zone {}, {}: {reason}", broker.zone, broker.host) }
}

impl StorageHealth {
    /// The steps without a sign of life, and shortages of threads or files.
    pub(super) async fn silent(&self) -> Findings {
        self.steps.silent(&self.brokers).await
    }

    /// Returns the faults, which make the program not ready, and the notices, which do not.
    pub(super) fn look(&self) -> (Findings, Findings) {
        let (mut faults, mut notices) = (Findings::new(), Findings::new());
        for broker in &self.brokers {
            self.look_at(broker, &mut faults, &mut notices);
        }
        let said = self.synced.iter().flat_map(SyncWatch::notices);
        notices.extend(said.map(|notice| ("kazoo_sync", notice)));
        for (what, log) in [("events_log", &self.events), ("ledger", &self.ledger)] {
            let health = log.health();
            if let Some(reason) = health.poisoned {
                faults.push((what, reason));
            } else if health.full {
                faults.push(("disk_full", format!("{what} accepts nothing until the disk has room")));
            }
            notices.extend(health.damage.iter().map(|damage| ("damage", damage.to_string())));
        }
        for Shortage { fault, attempts } in self.steps.shortages.lasting() {
            let reason = format!("{}; {attempts} attempts had to be postponed", fault.text());
            // Lookups have shares per tenant, so a shortage may be a tenant's own.
            match fault {
                OwnFault::NoLookupPlace => notices.push(("lookups", reason)),
                _ => faults.push(("shortage", reason)),
            }
        }
        notices.extend(self.unknown_accounts());
        let mode = self.duty.now().mode();
        notices.extend(mode_notice(mode).map(|reason| ("mode", reason)));
        if mode == Mode::Live && self.synced.is_some() {
            notices.extend(self.delivered_twice().map(|reason| ("kazoo_webhooks", reason)));
        }
        (faults, notices)
    }

    /// Whether KAZOO still delivers to the hooks that are followed here.
    fn delivered_twice(&self) -> Option<String> {
        let now_us = self.clock.now_us();
        let nodes: BTreeSet<String> =
            self.brokers.iter().flat_map(|broker| broker.delivering.now(now_us)).collect();
        let first = nodes.first()?;
        let more = match nodes.len() {
            1 => String::new(),
            all => format!(" and {} more nodes", all - 1),
        };
        Some(format!(
            "KAZOO's webhooks application runs on {first}{more}, so both systems deliver to the hooks that are followed: stop \
             it there (sup kazoo_apps_maintenance stop webhooks), or change the mode here (switchhook shadow mode shadow)"
        ))
    }

    /// Checks one broker. If another broker of its zone is connected, the zone works, so this is not a fault.
    fn look_at(&self, broker: &Watched, faults: &mut Findings, notices: &mut Findings) {
        match &*broker.status.borrow() {
            BrokerStatus::Disabled => {}
            BrokerStatus::Connecting { last_error, .. } => {
                let reason = last_error.clone().unwrap_or_else(|| "not connected yet".to_owned());
                let works = |other: &&Watched| {
                    other.zone == broker.zone
                        && other.host != broker.host
                        && matches!(*other.status.borrow(), BrokerStatus::Connected { .. })
                };
                if self.brokers.iter().any(|other| works(&other)) {
                    notices.push(("broker_standby", format!("{}: {}", broker.host, said_of(broker, reason))));
                } else {
                    faults.push(("broker", said_of(broker, reason)));
                }
            }
            BrokerStatus::Connected { queue, .. } => {
                let said = |text: &String| said_of(broker, text.clone());
                faults.extend(queue.fault.iter().map(|fault| ("broker_bindings", said(fault))));
                notices.extend(queue.notices.iter().map(|notice| ("broker_queue", said(notice))));
                // A consumer that keeps up has emptied the queue at one of two successive checks.
                if let (Some(waiting), Some(_)) = (queue.waiting, queue.waiting_since_us) {
                    notices.push((
                        "broker_queue",
                        said(&format!("{waiting} messages are waiting at the broker")),
                    ));
                }
                if let Some(age_ms) = queue.event_age_ms.filter(|age_ms| *age_ms > OLD_MS) {
                    let seconds = age_ms / 1000;
                    let text = format!("events arrive {seconds} s after they were sent");
                    notices.push(("broker_queue", said(&text)));
                }
            }
        }
        if let BrokerStatus::Connected { queue, .. } = &*broker.publishing.borrow()
            && queue.blocked
        {
            notices.push(("broker_alarm", said_of(broker, ALARM.to_owned())));
        }
    }

    /// A notice when events of unknown accounts were given up in the last hour.
    fn unknown_accounts(&self) -> Option<(&'static str, String)> {
        let counts = self.steps.queues.unknown_counts();
        let (at, account) = counts.last_given_up?;
        let is_recent = at.micros().saturating_add(GIVEN_UP_SHOWN_US) > self.clock.now_us();
        is_recent.then(|| {
            let reason = format!(
                "{} events of unknown accounts have been given up since the start, the last one of account \
                 {account}; create or import these accounts, or raise accounts.unknown_wait_s and \
                 accounts.unknown_wait_bytes",
                counts.given_up()
            );
            ("unknown_accounts", reason)
        })
    }
}

/// How long a notice reports events that were given up.
const GIVEN_UP_SHOWN_US: u64 = 3_600_000_000;

/// A notice about a mode that should not be forgotten.
fn mode_notice(mode: Mode) -> Option<String> {
    let what = match mode {
        Mode::Live => return None,
        Mode::Shadow => "nothing is delivered; every delivery is settled as `shadow`",
        Mode::Handover => {
            "events wait, or are left to KAZOO, until the mode is changed to `live` or `shadow`"
        }
    };
    Some(format!("mode {mode}: {what}"))
}
