//! KAZOO's envelope of requests (`docs/kazoo/webhooks.md#requests`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use warp::http::Method;

use super::errors::ApiError;
use super::request::Request;
use crate::model::MASK;

/// The most names of a refused body that are shown, and the longest, in bytes.
const NAMES: usize = 32;
const NAME_BYTES: usize = 64;
/// Media types whose body is read. Others are refused after the caller is authenticated.
const READABLE: [&str; 4] = [
    "application/json",
    "application/x-json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
];

/// The parsed body of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Envelope {
    /// The top-level members, with names in lower case; `None` without a body.
    pub(super) members: Option<Value>,
    /// Whether the content type is not supported.
    pub(super) unreadable: bool,
}

/// A refused body in KAZOO's form: its names without values, because a value may be a password.
fn outline(body: &Map<String, Value>) -> Value {
    let names = body.keys().filter(|name| name.len() <= NAME_BYTES).take(NAMES);
    names.map(|name| (name.clone(), MASK.into())).collect::<Map<_, _>>().into()
}

impl Envelope {
    /// Parses the body of a request: 400 if it is not JSON, or an object without `data`.
    pub(super) fn read(request: &Request) -> Result<Self, ApiError> {
        let has_body = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE].contains(&request.method);
        if !has_body || request.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let encoding =
            request.header("content-encoding").filter(|text| !text.eq_ignore_ascii_case("identity"));
        if encoding.is_some() {
            return Err(ApiError::unsupported_encoding());
        }
        let content_type = request.content_type();
        if content_type.as_deref().is_some_and(|t| !READABLE.contains(&t)) {
            return Ok(Self { members: None, unreadable: true });
        }
        let is_form = content_type.as_deref() == Some("application/x-www-form-urlencoded");
        let body = match serde_json::from_slice::<Value>(&request.body) {
            Ok(body) => body,
            Err(_) if is_form => form(&request.body),
            Err(error) => return Err(ApiError::invalid_json(&error)),
        };
        let Value::Object(body) = body else { return Err(ApiError::without_data(&MASK.into())) };
        let has_data = body.keys().any(|key| key.eq_ignore_ascii_case("data"));
        if !has_data && request.method != Method::DELETE {
            return Err(ApiError::without_data(&if is_form { MASK.into() } else { outline(&body) }));
        }
        let members: Map<_, _> =
            body.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        match members.get("data") {
            None | Some(Value::Object(_) | Value::Array(_)) => {
                Ok(Self { members: Some(members.into()), unreadable: false })
            }
            // The value is not shown, because it may be a password.
            Some(_) => Err(ApiError::wrong_type("data", "object, array", &MASK.into())),
        }
    }

    /// Parses a JSON body whose `data` the resource takes unparsed. `data` is replaced by an empty object or array of
    /// its type. The reason: parsing the values of thousands of events would be most of the cost of accepting them.
    /// `None` for a body that must be parsed as a whole.
    pub(super) fn shallow(request: &Request) -> Option<Self> {
        if request.content_type().is_some_and(|text| text != "application/json") {
            return None;
        }
        let Members(found) = serde_json::from_slice(&request.body).ok()?;
        let mut members = Map::new();
        for (key, raw) in found {
            let value = match (key == "data", raw.get().as_bytes().first()) {
                (true, Some(b'{')) => json!({}),
                (true, Some(b'[')) => json!([]),
                (true, _) => return None,
                (false, _) => serde_json::from_str(raw.get()).ok()?,
            };
            if members.insert(key.to_ascii_lowercase(), value).is_some() {
                return None;
            }
        }
        members.contains_key("data").then(|| Self { members: Some(members.into()), unreadable: false })
    }

    /// Parses the envelope of events with as little work as possible. If the body is only almost JSON, its structure
    /// alone is read, and each event is repaired when it is accepted.
    pub(super) fn of_events(request: &Request) -> Result<Self, ApiError> {
        if let Some(shallow) = Self::shallow(request) {
            return Ok(shallow);
        }
        Self::read(request).or_else(|error| Self::of_structure(request).ok_or(error))
    }

    fn of_structure(request: &Request) -> Option<Self> {
        if request.content_type().is_some_and(|text| text != "application/json") {
            return None;
        }
        let mut members = Map::new();
        for (name, value) in super::pieces::members(&request.body)? {
            let name = name.to_ascii_lowercase();
            let value = match (name == "data", value.first()) {
                (true, Some(b'{')) => json!({}),
                (true, Some(b'[')) => json!([]),
                (true, _) => return None,
                (false, _) => serde_json::from_slice(value).ok()?,
            };
            if members.insert(name, value).is_some() {
                return None;
            }
        }
        members.contains_key("data").then(|| Self { members: Some(members.into()), unreadable: false })
    }

    /// A top-level member that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.as_ref()?.get(name)?.as_str()
    }

    /// `data` as an object; empty without a body, 400 for an array.
    pub(super) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        match self.members.as_ref().and_then(|m| m.get("data")) {
            None => Ok(Map::new()),
            Some(Value::Object(data)) => Ok(data.clone()),
            Some(_) => Err(ApiError::wrong_type("data", "object", &MASK.into())),
        }
    }
}

/// The members of an object, with unparsed values.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Cow<'de, str>, &RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

fn form(body: &[u8]) -> Value {
    let pairs = url::form_urlencoded::parse(body).into_owned();
    Value::Object(pairs.map(|(key, value)| (key, Value::from(value))).collect())
}
