//! Offsets: the numbers of the records in a log, from 0 and without gaps. Each log has a type of its own, so that the
//! offset of an event cannot be used for that of an attempt.

use std::fmt;
use std::num::ParseIntError;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The offset of a record in one of the logs.
pub trait Offset: Copy + Ord + fmt::Debug + Default {
    /// The offset of the record with this number.
    fn of_number(number: u64) -> Self;

    /// The number of the record.
    fn number(self) -> u64;
}

/// Defines the offsets of logs. They look the same in text, in JSON and on disk.
macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The beginning of the log.
            pub const FIRST: Self = Self(0);
            /// Behind every record that a log can have.
            pub const MAX: Self = Self(u64::MAX);

            /// The number of offsets from `earlier` to here; 0 if `earlier` is later.
            #[must_use]
            pub fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl Offset for $name {
            fn of_number(number: u64) -> Self {
                Self(number)
            }

            fn number(self) -> u64 {
                self.0
            }
        }

        /// The offset that is this number of places later; at most [`Self::MAX`].
        impl Add<u64> for $name {
            type Output = Self;

            fn add(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }

        /// The offset that is this number of places earlier; at least [`Self::FIRST`].
        impl Sub<u64> for $name {
            type Output = Self;

            fn sub(self, count: u64) -> Self {
                Self(self.0.saturating_sub(count))
            }
        }

        impl From<$name> for Value {
            fn from(offset: $name) -> Self {
                offset.0.into()
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

offsets! {
    /// The offset of an event in the events log.
    EventOffset;
    /// The offset of a record in the ledger.
    LedgerOffset;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_stored_as_its_number_and_never_wraps() {
        let stored = serde_json::to_string(&[EventOffset(7), EventOffset::MAX]).unwrap();
        assert_eq!(stored, "[7,18446744073709551615]");
        assert_eq!(
            serde_json::from_str::<[EventOffset; 2]>(&stored).unwrap(),
            [EventOffset(7), EventOffset::MAX]
        );
        assert_eq!(
            (LedgerOffset::FIRST - 1, LedgerOffset::MAX + 1),
            (LedgerOffset::FIRST, LedgerOffset::MAX)
        );
        assert_eq!((EventOffset(9).since(EventOffset(7)), EventOffset(7).since(EventOffset(9))), (2, 0));
    }
}
