//! What the health endpoints say about the broker, the logs and the steps (the API adds what it knows of the state).
//!
//! Held: a step that does nothing any more is named, whatever it is stuck at. Each is asked for a sign of life.

use std::time::Duration;

use tokio::sync::watch;

use super::threads::shortage;
use crate::amqp::BrokerStatus;
use crate::delivery::{Shortage, Shortages};
use crate::log::{Appender, Reader};
use crate::model::{Clock, Duty, Mode, OwnFault};
use crate::queues::Queues;
use crate::state::State;
use crate::tasks::Pulse;

type Findings = Vec<(&'static str, String)>;

/// Everything whose failure keeps the program from its work.
pub(super) struct StorageHealth {
    pub(super) events: Reader,
    pub(super) ledger: Reader,
    pub(super) broker: watch::Receiver<BrokerStatus>,
    pub(super) clock: Clock,
    /// The connection that commands are published on.
    pub(super) publishing: watch::Receiver<BrokerStatus>,
    pub(super) steps: StepsAtWork,
    pub(super) duty: Duty,
}

/// Who is asked for a sign of life.
#[derive(Debug, Clone)]
pub(super) struct StepsAtWork {
    pub(super) events: Appender,
    pub(super) ledger: Appender,
    pub(super) state: State,
    pub(super) queues: Queues,
    pub(super) delivery: Pulse,
    pub(super) live: Pulse,
    /// The broker, if there is one.
    pub(super) broker: Option<Pulse>,
    pub(super) shortages: Shortages,
}

/// A step that takes longer to answer does not do its work.
const WITHIN: Duration = Duration::from_secs(2);

/// Events that come later than this after they were sent are told of, in milliseconds.
const OLD_MS: u64 = 60_000;
const ALARM: &str = "the broker blocks everybody who publishes, because it is short of memory or disk \
                     (rabbitmq-diagnostics alarms): no events come, and no commands can be sent";

impl StepsAtWork {
    /// The steps that give no sign of life, and what there is too little of.
    async fn silent(&self, is_consuming: bool) -> Findings {
        let writes = async |log: &Appender| {
            // A log that refuses is at work: its own fault says why it refuses.
            tokio::time::timeout(WITHIN, log.ping()).await.is_ok()
        };
        let answers = async || match self.broker.as_ref().filter(|_| is_consuming) {
            Some(broker) => broker.is_felt(WITHIN).await,
            // That it is not connected is said already.
            None => true,
        };
        let (events, ledger, state, queues, delivery, live, broker) = tokio::join!(
            writes(&self.events),
            writes(&self.ledger),
            self.state.is_alive(WITHIN),
            self.queues.is_alive(WITHIN),
            self.delivery.is_felt(WITHIN),
            self.live.is_felt(WITHIN),
            answers(),
        );
        let steps = [
            ("events_log", events),
            ("ledger", ledger),
            ("state", state),
            ("queues", queues),
            ("delivery", delivery),
            ("live", live),
            ("broker", broker),
        ];
        let silent = steps.into_iter().filter(|(_, is_alive)| !is_alive);
        let silent = silent.map(|(step, _)| (step, format!("no sign of life within {} s", WITHIN.as_secs())));
        silent.chain(shortage()).collect()
    }
}

impl StorageHealth {
    /// The steps that give no sign of life, and what there is too little of.
    pub(super) async fn silent(&self) -> Findings {
        let is_consuming = matches!(&*self.broker.borrow(), BrokerStatus::Connected { .. });
        self.steps.silent(is_consuming).await
    }

    /// Faults, which make the program not ready, and notices, which do not.
    pub(super) fn look(&self) -> (Findings, Findings) {
        let (mut faults, mut notices) = (Findings::new(), Findings::new());
        if let BrokerStatus::Connecting { last_error, .. } = &*self.broker.borrow() {
            let reason = last_error.clone().unwrap_or_else(|| "not connected yet".to_owned());
            faults.push(("broker", reason));
        }
        if let BrokerStatus::Connected { queue, .. } = &*self.broker.borrow() {
            faults.extend(queue.fault.iter().map(|fault| ("broker_bindings", fault.clone())));
            notices.extend(queue.notices.iter().map(|notice| ("broker_queue", notice.clone())));
            // A consumer that keeps up leaves nothing for two looks.
            if let (Some(waiting), Some(_)) = (queue.waiting, queue.waiting_since_us) {
                notices.push(("broker_queue", format!("{waiting} messages wait at the broker")));
            }
        }
        if let BrokerStatus::Connected { queue, .. } = &*self.broker.borrow()
            && let Some(age_ms) = queue.event_age_ms.filter(|age_ms| *age_ms > OLD_MS)
        {
            let seconds = age_ms / 1000;
            notices.push(("broker_queue", format!("events come {seconds} s after they were sent")));
        }
        if let BrokerStatus::Connected { queue, .. } = &*self.publishing.borrow()
            && queue.blocked
        {
            notices.push(("broker_alarm", ALARM.to_owned()));
        }
        for (what, log) in [("events_log", &self.events), ("ledger", &self.ledger)] {
            let health = log.health();
            if let Some(reason) = health.poisoned {
                faults.push((what, reason));
            } else if health.full {
                faults.push(("disk_full", format!("{what} is paused until there is room")));
            }
            notices.extend(health.damage.iter().map(|damage| ("damage", damage.to_string())));
        }
        for Shortage { fault, attempts } in self.steps.shortages.lasting() {
            let reason = format!("{}; {attempts} attempts could not be made for now", fault.text());
            // Places for lookups are shared out: what one tenant has too little of may be its own share.
            match fault {
                OwnFault::NoLookupPlace => notices.push(("lookups", reason)),
                _ => faults.push(("shortage", reason)),
            }
        }
        notices.extend(self.unknown_accounts());
        notices.extend(mode_notice(self.duty.now().mode()).map(|reason| ("mode", reason)));
        (faults, notices)
    }

    /// Events of accounts that are not known were given up in the last hour.
    fn unknown_accounts(&self) -> Option<(&'static str, String)> {
        let counts = self.steps.queues.unknown().counts();
        let (at_us, account) = counts.last_given_up?;
        let is_recent = at_us.saturating_add(GIVEN_UP_SHOWN_US) > self.clock.now_us();
        is_recent.then(|| {
            let reason = format!(
                "{} events of accounts that are not known here have been given up since the start, the last of account \
                 {account}; make or import these accounts, or raise accounts.unknown_wait_s and \
                 accounts.unknown_wait_bytes",
                counts.given_up()
            );
            ("unknown_accounts", reason)
        })
    }
}

/// How long a notice tells of events that were given up.
const GIVEN_UP_SHOWN_US: u64 = 3_600_000_000;

/// What a person should not forget.
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
