//! A request's body on its way into memory: bounded in size, in time, and in what all of them take together.
//!
//! Held: whoever has shown no good token yet can send little, so that strangers leave room for those who are known.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, pin_mut};
use tokio::time::timeout;

use super::api::Api;
use super::bearer::token_of;
use super::errors::ApiError;
use super::memory::Held;
use super::request::Request;
use super::tenants::Tenant;

/// What may be sent without a good token in a header or in the query string: enough to log in, and for every
/// document.
const STRANGERS_BYTES: usize = 64 << 10;
/// Of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The whole body, and the memory that it and what is made of it take. Refused when it is too large, too slow, or
/// from a stranger and not small.
pub(super) async fn read(
    api: &Api,
    request: &Request,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<(Bytes, Held), ApiError> {
    let (most, within) = (api.options.max_body_bytes, api.options.body_timeout);
    let announced = announced(request);
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(ApiError::too_large("file", most));
    }
    let is_small = announced.is_some_and(|bytes| bytes <= STRANGERS_BYTES);
    let sender = if is_small { None } else { sender(api, request).await };
    let trusted = if is_small || sender.is_some() { most } else { most.min(STRANGERS_BYTES) };
    if announced.is_some_and(|bytes| bytes > trusted) {
        return Err(ApiError::invalid_credentials());
    }
    let is_small = is_small || trusted <= STRANGERS_BYTES;
    let mut held = api.memory.hold(is_small);
    let is_form = request.content_type().is_some_and(|text| text.contains("form"));
    let (mut values, most_values) = (Values::new(is_form), held.most_values());
    let reading = async {
        pin_mut!(body);
        if !is_small {
            let bytes = announced.unwrap_or(most);
            held.keep(api.tenants.large_body(sender, bytes).await);
            held.grow_to(bytes).await;
        }
        let (mut whole, mut bytes) = (BytesMut::new(), 0);
        while let Some(part) = body.next().await {
            let mut part = part.map_err(|_| ApiError::broken_body())?;
            bytes += part.remaining();
            if bytes > trusted {
                let too_large = ApiError::too_large("file", most);
                return Err(if bytes > most { too_large } else { ApiError::invalid_credentials() });
            }
            held.grow_to(bytes).await;
            let part = part.copy_to_bytes(part.remaining());
            values.count(&part);
            if values.number > most_values {
                // Read on, or its sender would never see why it is refused.
                whole = BytesMut::new();
            } else {
                whole.extend_from_slice(&part);
            }
        }
        if values.number > most_values {
            return Err(ApiError::too_many_values(most_values));
        }
        // Some platforms write a mark before UTF-8 that JSON does not have; a reader may pass it by (RFC 8259, 8.1).
        if whole.starts_with(BYTE_ORDER_MARK) {
            whole.advance(BYTE_ORDER_MARK.len());
        }
        Ok(whole.freeze())
    };
    let whole = timeout(within, reading).await.unwrap_or_else(|_| Err(ApiError::slow_body()))?;
    timeout(within, held.take_values(&api.memory, values.number)).await.map_err(|_| ApiError::too_many())?;
    Ok((whole, held))
}

/// How many bytes come, if the head says it. Without a word of a body there is none (RFC 9112, 6.3): such a request waits
/// for no room.
fn announced(request: &Request) -> Option<usize> {
    match request.header("content-length") {
        Some(text) => text.parse().ok(),
        None if request.headers.contains_key("transfer-encoding") => None,
        None => Some(0),
    }
}

/// The tenant whose token is in a header or in the query string.
async fn sender(api: &Api, request: &Request) -> Tenant {
    let caller = api.auth.verify(&token_of(request, None)?).await.ok()?;
    Some(api.state.tenant_of(caller.account))
}

/// How many values and names a body has at the most, counted while it comes.
struct Values {
    number: usize,
    is_form: bool,
    in_string: bool,
    escaped: bool,
}

impl Values {
    fn new(is_form: bool) -> Self {
        let number = if is_form { 3 } else { 1 };
        Self { number, is_form, in_string: false, escaped: false }
    }

    fn count(&mut self, part: &[u8]) {
        if self.is_form {
            // Each pair is a name and a text, and a form may also be JSON.
            let marks = part.iter().filter(|byte| matches!(byte, b'&' | b',' | b':' | b'[' | b'{'));
            self.number += marks.count() * 2;
            return;
        }
        for byte in part {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                self.in_string = *byte != b'"';
                self.escaped = *byte == b'\\';
            } else {
                self.in_string = *byte == b'"';
                self.number += usize::from(matches!(byte, b',' | b':' | b'[' | b'{'));
            }
        }
    }
}

/// No JSON text or form has more values and names than this counts.
#[cfg(any(test, fuzzing))]
pub(super) fn values(text: &[u8], is_form: bool) -> usize {
    let mut values = Values::new(is_form);
    // In parts, as bodies come.
    for part in text.chunks(7) {
        values.count(part);
    }
    values.number
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Values and names, one by one.
    fn counted(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(counted).sum::<usize>(),
            Value::Object(members) => 1 + members.values().map(|value| 1 + counted(value)).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn no_text_has_more_values_than_are_counted() {
        let texts = json!([
            0, [], {}, [[]], [{}], {"a": {}}, [0, 0, 0], {"a": 1, "b": [1, 2]}, {"a,b:[{": "x,y\"],[\\", "c": "\\\""},
            {"data": [{"a": {"b": {"c": [[], [], {}]}}}]},
        ]);
        for value in texts.as_array().unwrap() {
            let text = value.to_string();
            assert!(values(text.as_bytes(), false) >= counted(value), "{text}");
            assert!(values(text.as_bytes(), false) <= 2 * counted(value) + 1, "{text}");
        }
        assert_eq!(values(br#""commas, within: a [text]""#, false), 1);
        assert!(values(b"\"a=1&b=2&c=3", true) >= 3);
    }

    #[test]
    fn a_request_that_says_nothing_of_a_body_has_a_small_one() {
        let request = |name: &'static str, value| {
            let mut headers = warp::http::HeaderMap::new();
            headers.insert(name, warp::http::HeaderValue::from_static(value));
            Request::new(warp::http::Method::GET, "/", "", headers)
        };
        assert_eq!(announced(&request("content-length", "9000000")), Some(9_000_000));
        assert_eq!(announced(&request("transfer-encoding", "chunked")), None);
        assert_eq!(announced(&request("accept", "*/*")), Some(0));
    }
}
