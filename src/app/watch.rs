//! What the health endpoints are told of the broker and the logs (the API adds what it knows of the state).

use tokio::sync::watch;

use crate::amqp::BrokerStatus;
use crate::log::Reader;

type Findings = Vec<(&'static str, String)>;

/// Everything whose failure keeps the program from its work.
pub(super) struct StorageHealth {
    pub(super) events: Reader,
    pub(super) ledger: Reader,
    pub(super) broker: watch::Receiver<BrokerStatus>,
}

impl StorageHealth {
    /// Faults, which make the program not ready, and notices, which do not.
    pub(super) fn look(&self) -> (Findings, Findings) {
        let (mut faults, mut notices) = (Findings::new(), Findings::new());
        if let BrokerStatus::Connecting { last_error, .. } = &*self.broker.borrow() {
            let reason = last_error.clone().unwrap_or_else(|| "not connected yet".to_owned());
            faults.push(("broker", reason));
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
        (faults, notices)
    }
}
