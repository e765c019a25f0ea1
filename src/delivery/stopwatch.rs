//! Measures the phases of an attempt. The phase in which an attempt fails or is abandoned lasts until that moment.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::model::Phases;

/// The time at which the TCP connection was established, set by the connector.
pub(super) type ConnectedAt = Arc<OnceLock<Instant>>;

/// The phases of one attempt.
#[derive(Debug)]
pub(super) struct Stopwatch {
    phases: Phases,
    /// The present phase and its start.
    current: Option<(Phase, Instant)>,
}

/// A phase.
#[derive(Debug)]
pub(super) enum Phase {
    /// Name lookup.
    Name,
    /// The connection, including TLS, which starts when `at` is filled.
    Connect {
        /// Filled when the TCP connection is established.
        at: ConnectedAt,
        /// Whether TLS follows.
        tls: bool,
    },
    /// From the request to the head of its answer.
    Answer,
}

impl Stopwatch {
    /// A stopwatch before the first phase.
    pub(super) fn new() -> Self {
        Self { phases: Phases::default(), current: None }
    }

    /// Ends the present phase and starts another.
    pub(super) fn begin(&mut self, phase: Phase) {
        self.begin_at(phase, Instant::now());
    }

    fn begin_at(&mut self, phase: Phase, now: Instant) {
        self.end_at(now);
        self.current = Some((phase, now));
    }

    /// Ends the present phase.
    pub(super) fn end(&mut self) {
        self.end_at(Instant::now());
    }

    fn end_at(&mut self, now: Instant) {
        match self.current.take() {
            Some((Phase::Name, since)) => self.phases.name_us = Some(micros(since, now)),
            Some((Phase::Connect { at, tls }, since)) => {
                let connected = at.get().copied().filter(|_| tls);
                self.phases.connect_us = Some(micros(since, connected.unwrap_or(now)));
                self.phases.tls_us = connected.map(|connected| micros(connected, now));
            }
            Some((Phase::Answer, since)) => self.phases.first_byte_us = Some(micros(since, now)),
            None => {}
        }
    }

    /// Ends the attempt and returns its phases.
    pub(super) fn stop(mut self) -> Phases {
        self.end();
        self.phases
    }
}

fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_phase_lasts_until_the_next_one_begins() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let (mut watch, at) = (Stopwatch::new(), ConnectedAt::default());
        watch.begin_at(Phase::Name, after(1));
        watch.begin_at(Phase::Connect { at: at.clone(), tls: true }, after(3));
        at.set(after(6)).unwrap();
        watch.begin_at(Phase::Answer, after(10));
        watch.end_at(after(15));
        let ms = watch.stop().all().map(|us| us.map(|us| us / 1000));
        assert_eq!(ms, [Some(2), Some(3), Some(4), Some(5)]);
    }

    #[test]
    fn an_abandoned_attempt_has_the_time_of_its_last_phase() {
        let start = Instant::now();
        let mut watch = Stopwatch::new();
        watch.begin_at(Phase::Connect { at: ConnectedAt::default(), tls: true }, start);
        watch.end_at(start + Duration::from_millis(7));
        assert_eq!(watch.stop(), Phases { connect_us: Some(7_000), ..Phases::default() });
    }
}
