//! Counts of attempts and deliveries since the start, for metrics. A record is counted when it is handed to the ledger, so
//! metrics and ledger agree.

use super::recent::Recent;
use super::record::{Ending, LedgerRecord, Outcome};
use crate::metrics::{Counter, Histogram, Observed};
use crate::model::{TransportError, WallTime};
use crate::queues::rules::fate::Fate;

/// The buckets of attempts' durations: from a receiver on the same network to one that runs into the timeout.
const DURATIONS_US: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];

/// The results of attempts: the class of the response's status, or the reason why there is none.
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
    /// The recent activity of each queue.
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
    /// The deliveries that ended, by how they ended.
    pub fn deliveries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fate::ALL.into_iter().map(Fate::name).zip(self.deliveries.iter().map(Counter::get))
    }

    /// The attempts that ended, by result.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RESULTS.into_iter().zip(self.attempts.iter().map(Counter::get))
    }

    /// The attempts that were followed by a retry.
    pub fn retries(&self) -> u64 {
        self.retries.get()
    }

    /// The durations of attempts.
    pub fn durations(&self) -> Observed {
        self.durations.observed()
    }

    /// The defects of the program that the queues have reported.
    pub fn defects(&self) -> u64 {
        self.defects.get()
    }

    /// Counts a defect.
    pub(in crate::queues) fn note_defect(&self) {
        self.defects.one();
    }

    /// Counts a record that is handed to the ledger at this time.
    pub(in crate::queues) fn note(&self, time: WallTime, record: &LedgerRecord) {
        if let LedgerRecord::Attempt(attempt) = record {
            self.recent.note(time, attempt);
            // What was not sent took no time, and would make receivers look quicker than they are.
            if attempt.ending != Ending::NotSent {
                self.durations.observe_us(attempt.duration_us);
            }
            let is_shadow = attempt.outcome == Outcome::Shadow;
            let result = result(if is_shadow { &Ending::NotSent } else { &attempt.ending });
            if let Some((_, counter)) = RESULTS.iter().zip(&self.attempts).find(|(name, _)| **name == result)
            {
                counter.one();
            }
            if attempt.outcome == Outcome::Retry {
                self.retries.one();
            }
        }
        if let Some(counter) = record.fate().and_then(|fate| self.deliveries.get(fate as usize)) {
            counter.one();
        }
    }
}

/// The result of an attempt, one of `RESULTS`.
fn result(ending: &Ending) -> &'static str {
    match ending {
        Ending::Answered(response) => match response.status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        },
        Ending::Ours(_) => "own_fault",
        Ending::Unsendable(_) => "unsendable",
        Ending::NotSent => "shadow",
        Ending::Failed(failure) => match failure.error {
            TransportError::Refused => "refused",
            TransportError::NameNotFound => "name_not_found",
            TransportError::ConnectTimeout => "connect_timeout",
            TransportError::Timeout => "timeout",
            TransportError::Closed => "closed",
            TransportError::Tls => "tls",
            TransportError::ForbiddenAddress => "forbidden_address",
            TransportError::InvalidUri => "invalid_uri",
            TransportError::Other => "other",
            TransportError::Abandoned => "abandoned",
            TransportError::TooLong => "too_long",
            TransportError::CertificateExpired => "certificate_expired",
            TransportError::CertificateName => "certificate_name",
            TransportError::CertificateAuthority => "certificate_authority",
            TransportError::CertificateSelfSigned => "certificate_self_signed",
            TransportError::NotTls => "not_tls",
            TransportError::NotHttp => "not_http",
            TransportError::HttpsExpected => "https_expected",
            TransportError::NameServerFailed => "name_server_failed",
            TransportError::NameServerTimeout => "name_server_timeout",
            TransportError::Unreachable => "unreachable",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventOffset, QueueId};
    use crate::queues::Settlement;

    #[test]
    fn every_settlement_is_counted_once() {
        let tally = Tally::default();
        for how in [Settlement::Dead, Settlement::Skipped, Settlement::Skipped, Settlement::Expired] {
            tally.note(
                WallTime::default(),
                &LedgerRecord::Settled { queue: QueueId(1), offset: EventOffset(0), how },
            );
        }
        let counted: Vec<_> = tally.deliveries().collect();
        assert_eq!(counted, [("delivered", 0), ("dead", 1), ("skipped", 2), ("expired", 1), ("shadow", 0)]);
    }

    #[test]
    fn every_reason_for_a_missing_response_has_its_own_name() {
        let errors = (1..=21).filter_map(TransportError::from_byte);
        let found: Vec<_> = errors.map(|error| result(&Ending::Failed(error.into()))).collect();
        let without_response = RESULTS.iter().filter(|name| !name.ends_with("xx"));
        let others = ["own_fault", "unsendable", "shadow"];
        let expected: Vec<_> = without_response.filter(|name| !others.contains(name)).copied().collect();
        assert_eq!(found, expected);
    }
}
