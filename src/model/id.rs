//! Ids: 128 bits, written like in KAZOO as 32 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an id of 32 hex digits")]
pub struct ParseIdError(String);

/// Defines types of 128-bit ids. They look the same in text and JSON, but one cannot be used in place of another.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub u128);

        impl $name {
            /// The tag by which a log finds records of this id: 64 evenly distributed bits.
            #[must_use]
            pub fn tag(self) -> u64 {
                tag(self.0)
            }

            /// An id from 16 random bytes.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(hex(self.0, &mut [0; 32]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Accepts exactly 32 hex digits of either case.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// The id of an account, which owns hooks and events.
    AccountId;
    /// The id of a hook.
    HookId;
    /// The id of a replay.
    ReplayId;
    /// The name of a queue in the ledger. It has the same bits as the id of the queue's hook or replay, so the ledger alone
    /// does not say which of the two a queue belongs to.
    QueueId;
    /// The id of a document whose kind is named beside it.
    DocumentId;
}

/// Between an account and the queue of its callflow webhooks.
const ONE_SHOT: u128 = 0x6f6e_652d_7368_6f74_2063_616c_6c66_6c77;

impl AccountId {
    /// The id that stands for the hook of an account's callflow webhooks, which have no hook document.
    #[must_use]
    pub fn one_shot(self) -> HookId {
        HookId(self.0 ^ ONE_SHOT)
    }
}

impl DocumentId {
    /// The account with this id, if the kind beside the id is that of accounts.
    #[must_use]
    pub fn as_account(self) -> AccountId {
        AccountId(self.0)
    }

    /// The hook with this id, if the kind beside the id is that of hooks.
    #[must_use]
    pub fn as_hook(self) -> HookId {
        HookId(self.0)
    }

    /// The id of the hook of callflow webhooks that the account with this id has, or would have.
    #[must_use]
    pub fn one_shot(self) -> HookId {
        self.as_account().one_shot()
    }

    /// Whether two different ids collide: the ids derived from them are equal, or two of all these ids have the same
    /// tag.
    #[must_use]
    pub fn collides(self, other: Self) -> bool {
        let is_derived = self.0 == other.one_shot().0 || self.one_shot().tag() == other.tag();
        self != other && (self.tag() == other.tag() || self.tag() == other.one_shot().tag() || is_derived)
    }
}

impl From<AccountId> for DocumentId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<HookId> for DocumentId {
    fn from(hook: HookId) -> Self {
        Self(hook.0)
    }
}

impl From<HookId> for QueueId {
    fn from(hook: HookId) -> Self {
        Self(hook.0)
    }
}

impl From<ReplayId> for QueueId {
    fn from(replay: ReplayId) -> Self {
        Self(replay.0)
    }
}

impl QueueId {
    /// The hook of this queue, if the queue is a hook's own.
    #[must_use]
    pub fn as_hook(self) -> HookId {
        HookId(self.0)
    }

    /// The replay of this queue, if the queue is a replay's.
    #[must_use]
    pub fn as_replay(self) -> ReplayId {
        ReplayId(self.0)
    }

    /// The account of this queue, if the queue is that of an account's callflow webhooks.
    #[must_use]
    pub fn as_one_shot(self) -> AccountId {
        AccountId(self.0 ^ ONE_SHOT)
    }
}

fn tag(id: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let folded = (id >> 64) as u64 ^ id as u64;
    // splitmix64, so that hand-made ids (0001, 0002) neither collide nor cluster.
    let mut x = folded.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn parse(text: &str) -> Result<u128, ParseIdError> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ParseIdError(text.chars().take(64).collect()));
    }
    u128::from_str_radix(text, 16).map_err(|_| ParseIdError(text.to_owned()))
}

/// The last `out.len()` hex digits of a number. Ids are written several times for each delivery, and this takes a
/// tenth of the time of the standard formatting.
pub(super) fn hex(mut number: u128, out: &mut [u8]) -> &str {
    for digit in out.iter_mut().rev() {
        let nibble = (number & 0xf) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        number >>= 4;
    }
    std::str::from_utf8(out).unwrap_or_default()
}

/// The stable id of one event for one hook: the same across attempts, restarts and replays.
///
/// Written as `dlv_{event id}_{hook id}`. Receivers get it as `webhook-id` and can use it to drop duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    /// The event.
    pub event: super::EventId,
    /// The hook.
    pub hook: HookId,
}

/// One attempt of a delivery, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedAttempt {
    /// The delivery.
    pub delivery: DeliveryId,
    /// 1 for the first try.
    pub number: u16,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dlv_")?;
        self.event.fmt(f)?;
        f.write_str("_")?;
        self.hook.fmt(f)
    }
}

/// A text that is not the id of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a delivery, which is 'dlv_', an event id, '_' and a hook id")]
pub struct ParseDeliveryIdError;

impl FromStr for DeliveryId {
    type Err = ParseDeliveryIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parts = s.strip_prefix("dlv_").and_then(|rest| rest.split_once('_'));
        let parsed = parts
            .and_then(|(event, hook)| Some(Self { event: event.parse().ok()?, hook: hook.parse().ok()? }));
        parsed.ok_or(ParseDeliveryIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventId, EventOffset};

    #[test]
    fn a_written_id_equals_the_parsed_one() {
        let text = "00f2c1a9be0d34c7f8a6b5d2e1c0f9a8";
        assert_eq!(text.parse::<AccountId>().unwrap().to_string(), text);
    }

    #[test]
    fn only_32_hex_digits_are_an_id() {
        for bad in ["", "abc", "00f2c1a9be0d34c7f8a6b5d2e1c0f9ag", "+0f2c1a9be0d34c7f8a6b5d2e1c0f9a8"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parsed_delivery_id_equals_the_written_one() {
        let id = DeliveryId { event: EventId { log: 7, offset: EventOffset(9) }, hook: HookId(3) };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "dlv_", "dlv_x_y", "9", "dlv_000000070000000000000009"] {
            assert_eq!(bad.parse::<DeliveryId>(), Err(ParseDeliveryIdError), "{bad}");
        }
    }
}
