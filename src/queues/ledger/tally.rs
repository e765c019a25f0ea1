//! What became of attempts and deliveries since the start of the program: counted where the ledger is told of
//! them, so that nothing is counted that the ledger does not know.

use super::recent::Recent;
use super::record::{Ending, LedgerRecord, Outcome};
use crate::metrics::{Counter, Histogram, Observed};
use crate::model::TransportError;
use crate::queues::rules::fate::Fate;

/// Bounds of the attempts' durations: from a receiver next door to one at the end of its timeout.
const DURATIONS_US: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// What an attempt met: an answer's class, or why none came.
const RESULTS: [&str; 29] = [
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "refused",
    "name_not_found",
    "connect_timeout",
    "timeout",
    "closed",
    "tls",
    "forbidden_address",
    "invalid_uri",
    "other",
    "abandoned",
    "too_long",
    "own_fault",
    "unsendable",
    "certificate_expired",
    "certificate_name",
    "certificate_authority",
    "certificate_self_signed",
    "not_tls",
    "not_http",
    "https_expected",
    "name_server_failed",
    "name_server_timeout",
    "unreachable",
    "shadow",
];

/// The counts.
#[derive(Debug)]
pub struct Tally {
    deliveries: [Counter; Fate::ALL.len()],
    attempts: [Counter; RESULTS.len()],
    retries: Counter,
    durations: Histogram,
    defects: Counter,
    /// Attempts by queue.
    pub(in crate::queues) recent: Recent,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            deliveries: Default::default(),
            attempts: Default::default(),
            retries: Counter::default(),
            durations: Histogram::new(DURATIONS_US),
            defects: Counter::default(),
            recent: Recent::default(),
        }
    }
}

impl Tally {
    /// Deliveries that ended, by outcome.
    pub fn deliveries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fate::ALL.into_iter().map(Fate::name).zip(self.deliveries.iter().map(Counter::get))
    }

    /// Attempts that ended, by what they met.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.attempts.iter().map(Counter::get))
    }

    /// Attempts after which another one was due.
    pub fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// How long attempts took.
    pub fn durations(&self) -> Observed {
        self.durations.observed()
    }

    /// Defects of the program that the queues have met.
    pub fn defects(&self) -> u64 {
        self.defects.get()
    }

    /// A defect was met.
    pub(in crate::queues) fn note_defect(&self) {
        self.defects.one();
    }

    /// Counts what the ledger is told; the record is of `time_us`.
    pub(in crate::queues) fn note(&self, time_us: u64, record: &LedgerRecord) {
        if let LedgerRecord::Attempt(attempt) = record {
            self.recent.note(time_us, attempt);
            if attempt.ending != Ending::NotSent {
                self.durations.observe_us(attempt.duration_us);
            }
            let is_shadow = attempt.outcome == Outcome::Shadow;
            one(&self.attempts, met(if is_shadow { &Ending::NotSent } else { &attempt.ending }));
            if attempt.outcome == Outcome::Retry {
                self.retries.one();
            }
        }
        if let Some(fate) = record.fate() {
            one(&self.deliveries, fate as usize);
        }
    }
}

fn one(counters: &[Counter], at: usize) {
    if let Some(counter) = counters.get(at) {
        counter.one();
    }
}

/// The index of `RESULTS`.
fn met(ending: &Ending) -> usize {
    match ending {
        Ending::Answered(response) => usize::from(response.status / 100).clamp(1, 5) - 1,
        Ending::Ours(_) => 16,
        Ending::Unsendable(_) => 17,
        Ending::NotSent => 28,
        Ending::Failed(failure) => match failure.error {
            TransportError::Refused => 5,
            TransportError::NameNotFound => 6,
            TransportError::ConnectTimeout => 7,
            TransportError::Timeout => 8,
            TransportError::Closed => 9,
            TransportError::Tls => 10,
            TransportError::ForbiddenAddress => 11,
            TransportError::InvalidUri => 12,
            TransportError::Other => 13,
            TransportError::Abandoned => 14,
            TransportError::TooLong => 15,
            TransportError::CertificateExpired => 18,
            TransportError::CertificateName => 19,
            TransportError::CertificateAuthority => 20,
            TransportError::CertificateSelfSigned => 21,
            TransportError::NotTls => 22,
            TransportError::NotHttp => 23,
            TransportError::HttpsExpected => 24,
            TransportError::NameServerFailed => 25,
            TransportError::NameServerTimeout => 26,
            TransportError::Unreachable => 27,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;
    use crate::queues::Settlement;

    #[test]
    fn every_settlement_is_counted_once_by_its_outcome() {
        let tally = Tally::default();
        for how in [Settlement::Dead, Settlement::Skipped, Settlement::Skipped, Settlement::Expired] {
            tally.note(0, &LedgerRecord::Settled { queue: Id(1), offset: 0, how });
        }
        let counted: Vec<_> = tally.deliveries().collect();
        assert_eq!(counted, [("delivered", 0), ("dead", 1), ("skipped", 2), ("expired", 1), ("shadow", 0)]);
    }

    #[test]
    fn every_way_in_which_no_answer_comes_has_a_name_of_its_own() {
        let met: Vec<_> = (1..=21)
            .filter_map(TransportError::from_byte)
            .map(|error| RESULTS[met(&Ending::Failed(error.into()))])
            .collect();
        assert_eq!(met, [&RESULTS[5..16], &RESULTS[18..28]].concat());
    }
}
