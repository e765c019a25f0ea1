//! What was mended in an event's text before it was stored, as a set that takes one byte.

/// The kinds of repair that an event needed to become strict JSON. Empty for a body that is stored byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended(u8);

impl Mended {
    /// Nothing was mended.
    pub const NOTHING: Self = Self(0);
    /// Bytes that are not UTF-8 became U+FFFD.
    pub const INVALID_UTF8: Self = Self(1);
    /// An escaped half of a surrogate pair became U+FFFD.
    pub const LONE_SURROGATE: Self = Self(2);
    /// A raw control character inside a text was escaped.
    pub const CONTROL_CHARACTER: Self = Self(4);
    /// A backslash that begins no escape of JSON was escaped.
    pub const UNKNOWN_ESCAPE: Self = Self(8);
    /// A value that was nested too deeply became its JSON text.
    pub const NESTING: Self = Self(16);
    /// A member's name that our JSON library keeps for itself lost its `$`.
    pub const RESERVED_NAME: Self = Self(32);
    /// A byte order mark was removed.
    pub const BYTE_ORDER_MARK: Self = Self(64);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::INVALID_UTF8, "invalid_utf8"),
        (Self::LONE_SURROGATE, "lone_surrogate"),
        (Self::CONTROL_CHARACTER, "control_character"),
        (Self::UNKNOWN_ESCAPE, "unknown_escape"),
        (Self::NESTING, "nesting"),
        (Self::RESERVED_NAME, "reserved_name"),
        (Self::BYTE_ORDER_MARK, "byte_order_mark"),
    ];

    /// Whether the body is stored as it came.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// This kind of repair was needed too.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names that the API shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(kind, _)| self.0 & kind.0 != 0).map(|(_, name)| name)
    }

    /// As it stands in a record.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self.0
    }

    /// As it stood in a record; kinds of a later version are kept.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}
