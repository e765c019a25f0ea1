//! The repairs of an event's text before it was stored, as a set in one byte.

/// The kinds of repairs that made an event strict JSON. Empty for a body that is stored byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended(u8);

impl Mended {
    /// No repairs.
    pub const NOTHING: Self = Self(0);
    /// Invalid UTF-8 was replaced by U+FFFD.
    pub const INVALID_UTF8: Self = Self(1);
    /// An escaped unpaired surrogate was replaced by U+FFFD.
    pub const LONE_SURROGATE: Self = Self(2);
    /// A raw control character inside a text was escaped.
    pub const CONTROL_CHARACTER: Self = Self(4);
    /// A backslash that did not start a valid escape was escaped.
    pub const UNKNOWN_ESCAPE: Self = Self(8);
    /// A value that was nested too deeply was replaced by its JSON text.
    pub const NESTING: Self = Self(16);
    /// A member name that our JSON library reserves lost its `$`.
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

    /// Whether the body is stored unchanged.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Adds a kind of repair.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The names in the API.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(kind, _)| self.0 & kind.0 != 0).map(|(_, name)| name)
    }

    /// Encodes the set for a record.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self.0
    }

    /// Decodes the set from a record; unknown kinds of a later version are kept.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self(byte)
    }
}
