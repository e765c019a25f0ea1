//! A payload: its members in the order in which they are sent. Texts are borrowed from the event where possible,
//! because building the payload is the most expensive step of a delivery on our side.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Object;
use super::lenient::Text;

/// Up to this number of members, a linear search is faster than an index.
pub(super) const FEW: usize = 64;

/// The data for a receiver: named members in order, each name once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload<'a>(Vec<(Cow<'a, str>, Member<'a>)>);

/// One member's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Member<'a> {
    /// A text, borrowed from the event if possible.
    Text(Cow<'a, str>),
    /// Any other value.
    Value(Value),
    /// A nested object.
    Members(Payload<'a>),
}

impl<'a> Payload<'a> {
    pub(super) fn with_capacity(members: usize) -> Self {
        Self(Vec::with_capacity(members))
    }

    /// Adds a member with a new name; `None` adds nothing.
    pub(super) fn put(&mut self, name: &'static str, member: Option<impl Into<Member<'a>>>) {
        if let Some(member) = member {
            self.0.push((Cow::Borrowed(name), member.into()));
        }
    }

    /// Adds a member, or replaces the one of that name in place.
    pub(super) fn set(&mut self, name: Cow<'a, str>, member: Member<'a>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = member,
            None => self.0.push((name, member)),
        }
    }

    /// Sets these members in order; fast for any number of members.
    pub(super) fn set_all(&mut self, members: impl IntoIterator<Item = (Cow<'a, str>, Member<'a>)>) {
        let mut places = None;
        for (name, member) in members {
            if self.0.len() <= FEW {
                self.set(name, member);
                continue;
            }
            // From here on a linear search would make the whole quadratic, so build an index once.
            let names = || self.0.iter().enumerate().map(|(at, (name, _))| (name.clone(), at));
            let places: &mut HashMap<Cow<'a, str>, usize> = places.get_or_insert_with(|| names().collect());
            if let Some((_, old)) = places.get(&name).and_then(|at| self.0.get_mut(*at)) {
                *old = member;
            } else {
                places.insert(name.clone(), self.0.len());
                self.0.push((name, member));
            }
        }
    }

    /// Removes members that are `null`. Called after all members are set, so that of duplicates the last one counts
    /// here too.
    pub(super) fn drop_nulls(&mut self) {
        self.0.retain(|(_, member)| *member != Member::Value(Value::Null));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, member)| member)
    }

    /// A member that is a text, boolean or number, as a text; none for anything else.
    pub(super) fn text(&self, name: &str) -> Text<'_> {
        match self.get(name) {
            Some(Member::Text(text)) => Text::from_cow(Cow::Borrowed(text)),
            Some(Member::Value(value)) => Text::from_value(value),
            Some(Member::Members(_)) | None => Text::default(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Member<'a>)> {
        self.0.iter().map(|(name, member)| (name.as_ref(), member))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The same payload as an owned value.
    pub(super) fn into_owned(self) -> Payload<'static> {
        let own = |(name, member): (Cow<'a, str>, Member<'a>)| {
            let member = match member {
                Member::Text(text) => Member::Text(Cow::Owned(text.into_owned())),
                Member::Value(value) => Member::Value(value),
                Member::Members(members) => Member::Members(members.into_owned()),
            };
            (Cow::Owned(name.into_owned()), member)
        };
        Payload(self.0.into_iter().map(own).collect())
    }
}

impl From<Payload<'_>> for Object {
    fn from(payload: Payload<'_>) -> Self {
        let value = |member| match member {
            Member::Text(text) => Value::String(text.into_owned()),
            Member::Value(value) => value,
            Member::Members(members) => Value::Object(members.into()),
        };
        payload.0.into_iter().map(|(name, member)| (name.into_owned(), value(member))).collect()
    }
}

impl From<Object> for Payload<'_> {
    fn from(map: Object) -> Self {
        Self(map.into_iter().map(|(name, value)| (Cow::Owned(name), Member::Value(value))).collect())
    }
}

impl<'a> From<Cow<'a, str>> for Member<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }
}

impl From<Value> for Member<'_> {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl PartialEq<Value> for Member<'_> {
    fn eq(&self, other: &Value) -> bool {
        match self {
            Self::Text(text) => other.as_str() == Some(text.as_ref()),
            Self::Value(value) => value == other,
            Self::Members(members) => other.as_object().is_some_and(|map| {
                map.len() == members.len() && members.iter().all(|(k, v)| map.get(k).is_some_and(|o| v == o))
            }),
        }
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Member<'de>, E> {
        Ok(Member::Value(flag.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Member<'de>, E> {
        Ok(Member::Value(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Member<'de>, E> {
        Ok(Member::Value(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Member<'de>, E> {
        Ok(Member::Value(number.into()))
    }

    fn visit_unit<E>(self) -> Result<Member<'de>, E> {
        Ok(Member::Value(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Member<'de>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Member::Value)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Member::Value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kazoo::json::json as written;
    use serde_json::json;

    #[test]
    fn a_member_set_twice_keeps_its_first_position() {
        let mut payload = Payload::default();
        payload.put("a", Some(json!(1)));
        payload.put("b", Some(json!(2)));
        payload.put("c", None::<Value>);
        payload.set("a".into(), json!(3).into());
        payload.set("d".into(), Member::Text("x".into()));
        assert_eq!(written(&payload), br#"{"a":3,"b":2,"d":"x"}"#);
    }

    #[test]
    fn set_all_equals_setting_one_by_one() {
        for count in [3, 200] {
            let name = |n: usize| (format!("m{n}"), json!(n));
            let (old, new) = ((0..count).map(name).collect::<Object>(), (count / 2..count * 2).map(name));
            let new: Object = new.map(|(name, value)| (name, json!([value]))).collect();
            let (mut at_once, mut one_by_one) = (Payload::from(old.clone()), Payload::from(old));
            at_once.set_all(new.iter().map(|(name, value)| (name.into(), value.clone().into())));
            at_once.set_all(new.iter().map(|(name, value)| (name.into(), value.clone().into())));
            new.iter().for_each(|(name, value)| one_by_one.set(name.into(), value.clone().into()));
            assert_eq!(at_once, one_by_one);
        }
    }

    #[test]
    fn every_json_value_survives_a_round_trip() {
        for text in ["null", "true", "-3", "7", "0.5", r#""a\nb""#, r#""plain""#, r#"[1,{"k":[]}]"#, "{}"] {
            let member: Member<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(member, serde_json::from_str::<Value>(text).unwrap());
            let mut payload = Payload::default();
            payload.put("m", Some(member));
            assert_eq!(String::from_utf8(written(&payload)).unwrap(), format!(r#"{{"m":{text}}}"#));
        }
    }
}
