//! KAZOO's envelope of a request: what its body holds (`docs/kazoo/webhooks.md#requests`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use warp::http::Method;

use super::errors::ApiError;
use super::request::Request;
use crate::model::MASK;

/// Names of a refused body that are shown, and bytes of each.
const NAMES: usize = 32;
const NAME_BYTES: usize = 64;
/// Media types whose body is read. All others are refused, once the caller is known.
const READABLE: [&str; 4] = [
    "application/json",
    "application/x-json",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
];

/// The body of a request, taken apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Envelope {
    /// Its top-level members, names in lower case; `None` when there is no body.
    pub(super) members: Option<Value>,
    /// Whether the content type is one that is not read.
    pub(super) unreadable: bool,
}

/// A body as a refusal shows it, in KAZOO's form: its names, and none of its values, for one may be a password.
fn outline(body: &Map<String, Value>) -> Value {
    let names = body.keys().filter(|name| name.len() <= NAME_BYTES).take(NAMES);
    names.map(|name| (name.clone(), MASK.into())).collect::<Map<_, _>>().into()
}

impl Envelope {
    /// Reads a request's body: 400 when it is no JSON, or an object without `data`.
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
            // Not shown again: it may be a password.
            Some(_) => Err(ApiError::wrong_type("data", "object, array", &MASK.into())),
        }
    }

    /// Reads a JSON body whose `data` the resource takes as it came: of `data` only the type stands in the members, as an
    /// empty object or array. To make values of thousands of events would be most of what handing them in costs. `None`
    /// for every body that needs a look at it as a whole.
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

    /// The envelope of events: as little of it is read as can be, and of a body that is not quite JSON no more than its
    /// structure. Its events are mended one by one when they are taken in.
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

    /// A top-level text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.as_ref()?.get(name)?.as_str()
    }

    /// `data` as an object; empty when there was no body, 400 for an array.
    pub(super) fn object(&self) -> Result<Map<String, Value>, ApiError> {
        match self.members.as_ref().and_then(|m| m.get("data")) {
            None => Ok(Map::new()),
            Some(Value::Object(data)) => Ok(data.clone()),
            Some(_) => Err(ApiError::wrong_type("data", "object", &MASK.into())),
        }
    }
}

/// The members of an object, none of them looked into.
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
