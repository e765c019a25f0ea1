//! Where an event came from when there are several brokers.

/// The broker that a message was taken from. Both numbers follow the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The broker's zone.
    pub zone: u16,
    /// The broker among those of all zones.
    pub broker: u16,
}
