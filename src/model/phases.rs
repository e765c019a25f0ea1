//! The durations of the phases of an attempt.

use serde::Serialize;

/// The phases of an attempt in order, in microseconds. `None` when the attempt did not have the phase, because it
/// used an open connection, needed no TLS, or ended before. The phase in which an attempt failed lasts until the
/// failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Phases {
    /// Name lookup.
    pub name_us: Option<u32>,
    /// Connecting.
    pub connect_us: Option<u32>,
    /// TLS handshake.
    pub tls_us: Option<u32>,
    /// From the request's first byte to the end of the answer's head.
    pub first_byte_us: Option<u32>,
}

impl Phases {
    /// The phases in order.
    #[must_use]
    pub fn all(self) -> [Option<u32>; 4] {
        [self.name_us, self.connect_us, self.tls_us, self.first_byte_us]
    }

    /// Creates phases from values in order.
    #[must_use]
    pub fn from_all([name_us, connect_us, tls_us, first_byte_us]: [Option<u32>; 4]) -> Self {
        Self { name_us, connect_us, tls_us, first_byte_us }
    }

    /// Whether nothing was measured.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}
