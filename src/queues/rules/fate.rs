//! How a delivery ends. Ledger, counts, metrics and API all use this enum.

use serde::Serialize;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The receiver accepted it.
    Delivered,
    /// It ran out of tries, or can never be sent.
    Dead,
    /// There was nothing to send.
    Skipped,
    /// Retention removed its event first.
    Expired,
    /// It was not sent, because another system delivers the event.
    Shadow,
}

impl Fate {
    /// All fates, in the order of their discriminants.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Dead, Self::Skipped, Self::Expired, Self::Shadow];

    /// Its name in the API and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Shadow => "shadow",
        }
    }
}

/// The deliveries of a queue that have ended, by fate. The ledger and the API store them as an array, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "[u64; 3]")]
pub struct Totals {
    /// Delivered ones.
    pub delivered: u64,
    /// Dead ones.
    pub dead: u64,
    /// Skipped and expired deliveries, and deliveries that another system makes.
    pub skipped: u64,
}

impl Totals {
    /// Counts a delivery.
    pub fn count(&mut self, fate: Fate) {
        let total = match fate {
            Fate::Delivered => &mut self.delivered,
            Fate::Dead => &mut self.dead,
            Fate::Skipped | Fate::Expired | Fate::Shadow => &mut self.skipped,
        };
        *total = total.saturating_add(1);
    }

    /// All deliveries that have ended.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.delivered.saturating_add(self.dead).saturating_add(self.skipped)
    }
}

impl From<Totals> for [u64; 3] {
    fn from(totals: Totals) -> Self {
        [totals.delivered, totals.dead, totals.skipped]
    }
}

impl From<[u64; 3]> for Totals {
    fn from([delivered, dead, skipped]: [u64; 3]) -> Self {
        Self { delivered, dead, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_at_its_index_and_is_counted_once() {
        let mut totals = Totals::default();
        for (at, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, at);
            totals.count(fate);
        }
        assert_eq!((totals, totals.sum()), (Totals { delivered: 1, dead: 1, skipped: 3 }, 5));
        assert_eq!(Totals::from(<[u64; 3]>::from(totals)), totals);
    }
}
