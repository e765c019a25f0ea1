//! Lenient JSON reading, for events of many publishers: a field of the wrong type counts as absent, of a repeated
//! field the last one counts, and only malformed JSON is an error. Texts are borrowed where they have no escapes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The name under which `serde_json` passes a number with its original digits. No event has a member of this name,
/// because [`super::reading()`] renames it.
pub(super) const NUMBER: &str = "$serde_json::private::Number";

/// A text, or a number or boolean as a text. Absent, `null`, empty and structured values all count as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text, or `""`.
    pub(super) fn or_empty(&self) -> &str {
        self.get().unwrap_or("")
    }

    pub(super) fn into_value(self) -> Option<Value> {
        self.0.map(|text| Value::String(text.into_owned()))
    }

    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        self.0
    }

    /// The text as an owned value.
    pub(super) fn into_owned(self) -> Option<Cow<'static, str>> {
        self.0.map(|text| Cow::Owned(text.into_owned()))
    }

    /// The text, or `""`.
    pub(super) fn into_cow(self) -> Cow<'a, str> {
        self.0.unwrap_or_default()
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.get().and_then(flag)
    }

    /// A whole number; fractions are rounded.
    pub(super) fn integer(&self) -> Option<i64> {
        self.get().and_then(integer)
    }

    /// A whole number as a JSON number; one that is out of range keeps its original digits.
    pub(super) fn number(&self) -> Option<Value> {
        let text = self.get()?;
        let as_it_came = || serde_json::from_str(text.trim()).ok().filter(Value::is_number);
        integer(text).map(Value::from).or_else(as_it_came)
    }

    pub(super) fn from_value(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::from_cow(Cow::Borrowed(text)),
            Value::Bool(flag) => Self::from(*flag),
            Value::Number(number) => Self(Some(Cow::Owned(number.to_string()))),
            Value::Null | Value::Array(_) | Value::Object(_) => Self(None),
        }
    }

    pub(super) fn from_cow(text: Cow<'a, str>) -> Self {
        Self(if text.is_empty() { None } else { Some(text) })
    }
}

impl From<bool> for Text<'_> {
    fn from(flag: bool) -> Self {
        Self(Some(Cow::Borrowed(if flag { "true" } else { "false" })))
    }
}

/// `true` or `false` in any case.
pub(super) fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number; fractions are rounded half away from zero.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<f64>().ok().and_then(round))
}

/// The nearest whole number, unless it is out of range.
pub(super) fn round(number: f64) -> Option<i64> {
    let whole = number.round();
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked: 2^53 and below are exact")]
    (whole.abs() <= 9_007_199_254_740_992.0).then_some(whole as i64)
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text::from_cow(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text::from_cow(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Text::from(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(Value::from(number).to_string()))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        // Read to its end, so that malformed JSON inside is still an error.
        IgnoredAny.visit_seq(seq)?;
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(first) = map.next_key::<Cow<'de, str>>()? else { return Ok(Text(None)) };
        // With arbitrary precision, serde_json passes a number as a map with this one key.
        if first == NUMBER {
            return map.next_value::<String>().map(|digits| Text(Some(Cow::Owned(digits))));
        }
        map.next_value::<IgnoredAny>()?;
        IgnoredAny.visit_map(map)?;
        Ok(Text(None))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Visitor methods of an object reader that treat any value other than an object as an empty object.
macro_rules! other_types_are_empty {
    () => {
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("any JSON value")
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            serde::de::IgnoredAny.visit_seq(seq)?;
            Ok(Self::Value::default())
        }
    };
}

/// Declares a struct with some members of a JSON object, which are read leniently; other members are skipped.
macro_rules! lenient_object {
    ($(#[$doc:meta])* struct $name:ident<$life:lifetime> { $($field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        struct $name<$life> { $($field: $type,)* }

        const _: () = {
            #[derive(serde::Deserialize)]
            #[serde(field_identifier)]
            #[expect(non_camel_case_types, reason = "the macro has only the field's name at hand")]
            enum Key { $(#[serde(rename = $key)] $field,)* #[serde(other)] other_ }

            struct Reader;

            impl<'de> serde::de::Visitor<'de> for Reader {
                type Value = $name<'de>;

                $crate::kazoo::lenient::other_types_are_empty!();

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut read = $name::default();
                    while let Some(key) = map.next_key::<Key>()? {
                        match key {
                            $(Key::$field => read.$field = map.next_value()?,)*
                            Key::other_ => {
                                map.next_value::<serde::de::IgnoredAny>()?;
                            }
                        }
                    }
                    Ok(read)
                }
            }

            impl<'de: $life, $life> serde::Deserialize<'de> for $name<$life> {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_any(Reader)
                }
            }
        };
    };
}

pub(super) use lenient_object;
pub(super) use other_types_are_empty;

#[cfg(test)]
mod tests {
    use super::*;

    lenient_object! {
        struct Pair<'a> { one: Text<'a> = "One", inner: Inner<'a> = "In", }
    }
    lenient_object! {
        struct Inner<'a> { deep: Text<'a> = "deep", }
    }

    #[test]
    fn a_member_of_the_wrong_type_is_absent_and_the_last_duplicate_counts() {
        let read: Pair = serde_json::from_str(r#"{"x":[{}],"One":{"a":1},"In":[1,[2]]}"#).unwrap();
        assert_eq!((read.one.get(), read.inner.deep.get()), (None, None));
        let read: Pair = serde_json::from_str(r#"{"One":1,"One":2.5,"In":{"deep":true}}"#).unwrap();
        assert_eq!((read.one.get(), read.inner.deep.flag()), (Some("2.5"), Some(true)));
        assert_eq!(read.one.integer(), Some(3));
        let read: Pair = serde_json::from_str("7").unwrap();
        assert_eq!(read.one, Text::default());
    }
}
