//! How a delivery ends. The ledger, the counts, the metrics and the API all say it with this one enum.

use serde::Serialize;

/// What became of a delivery for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Dead,
    /// There was nothing to send.
    Skipped,
    /// Retention dropped its event first.
    Expired,
    /// It was not sent: it is another system's to deliver.
    Shadow,
}

impl Fate {
    /// All of them, in the order of their discriminants.
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

/// How many deliveries of a queue have ended, by their fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(into = "[u64; 3]")]
pub struct Totals {
    /// The receiver has them.
    pub delivered: u64,
    /// They were given up.
    pub dead: u64,
    /// There was nothing to send, the event was gone, or another system delivers it.
    pub skipped: u64,
}

impl Totals {
    /// One more.
    pub fn count(&mut self, fate: Fate) {
        let total = match fate {
            Fate::Delivered => &mut self.delivered,
            Fate::Dead => &mut self.dead,
            // A replay that was not sent has not delivered anything.
            Fate::Skipped | Fate::Expired | Fate::Shadow => &mut self.skipped,
        };
        *total = total.saturating_add(1);
    }

    /// All that have ended.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.delivered.saturating_add(self.dead).saturating_add(self.skipped)
    }
}

impl From<Totals> for [u64; 3] {
    /// In the order in which the ledger has them.
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
    fn every_fate_stands_at_its_place_and_is_counted_once() {
        let mut totals = Totals::default();
        for (at, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, at);
            totals.count(fate);
        }
        assert_eq!((totals, totals.sum()), (Totals { delivered: 1, dead: 1, skipped: 3 }, 5));
        assert_eq!(Totals::from(<[u64; 3]>::from(totals)), totals);
    }
}
