//! The families of events that hooks can ask for, by KAZOO's ids (`docs/kazoo/webhooks.md#families`,
//! `docs/kazoo/classic.md#hook-families`).

use serde::{Deserialize, Serialize};

/// An event family, which a hook's `hook` field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Family {
    /// A call leg was created.
    ChannelCreate = 1,
    /// A call leg was answered.
    ChannelAnswer = 2,
    /// Two legs were bridged.
    ChannelBridge = 3,
    /// A call leg ended.
    ChannelDestroy = 4,
    /// A call was parked, fetched or abandoned.
    Parking = 5,
    /// A document changed.
    Object = 6,
    /// One of KAZOO's notifications.
    Notifications = 7,
    /// A text message came in from a carrier.
    Sms = 8,
    /// A picture message came in from a carrier.
    Mms = 9,
    /// A fax was received, or receiving failed (classic).
    InboundFax = 10,
    /// A fax was sent, or sending failed (classic).
    OutboundFax = 11,
    /// A one-shot webhook of a callflow; stored hooks with this id never fire (classic).
    Callflow = 12,
}

impl Family {
    /// Every family, in the order of their ids.
    pub const ALL: [Self; 12] = [
        Self::Callflow,
        Self::ChannelAnswer,
        Self::ChannelBridge,
        Self::ChannelCreate,
        Self::ChannelDestroy,
        Self::InboundFax,
        Self::Mms,
        Self::Notifications,
        Self::Object,
        Self::OutboundFax,
        Self::Parking,
        Self::Sms,
    ];

    /// The id on the wire, for example `channel_create`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::ChannelCreate => "channel_create",
            Self::ChannelAnswer => "channel_answer",
            Self::ChannelBridge => "channel_bridge",
            Self::ChannelDestroy => "channel_destroy",
            Self::Parking => "parking",
            Self::Object => "object",
            Self::Notifications => "notifications",
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::InboundFax => "inbound_fax",
            Self::OutboundFax => "outbound_fax",
            Self::Callflow => "callflow",
        }
    }

    /// The family of an id; case is ignored.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.id().eq_ignore_ascii_case(id))
    }

    /// Decodes the byte in the log.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|f| *f as u8 == byte)
    }
}
