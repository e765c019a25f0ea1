//! Reads the body of a request: bounded in size, time, and total memory.
//!
//! Promise: a client without a valid token can send only a little, so strangers leave memory for known clients.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, pin_mut};
use tokio::time::timeout;

use super::api::Api;
use super::bearer::token_of;
use super::errors::ApiError;
use super::memory::BodyMemory;
use super::request::Request;
use super::site::Site;
use super::tenants::Tenant;

/// The largest body without a valid token in a header, in the query string, or in a session of the console. Enough to log in, and for every document.
const STRANGERS_BYTES: usize = 64 << 10;
/// The byte order mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the body, together with the memory for it and its parsed values. Refuses a body that is too large or too slow,
/// and a large body without a valid token. A form of the site has the token of its session.
pub(super) async fn read(
    api: &Api,
    site: Option<&dyn Site>,
    request: &Request,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<(Bytes, BodyMemory), ApiError> {
    let (most, within) = (api.options.max_body_bytes, api.options.body_timeout);
    let announced = announced(request);
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(ApiError::too_large("file", most));
    }
    let is_small = announced.is_some_and(|bytes| bytes <= STRANGERS_BYTES);
    let sender = if is_small { None } else { sender(api, site, request).await };
    // Without a valid token, a body may announce nothing and still grow. It is bounded like a small one.
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
        let mut whole = BytesMut::new();
        if !is_small {
            let bytes = announced.unwrap_or(most);
            // The tenant's share first, then the common memory: a tenant that waits for its own share holds
            // nothing of the others.
            held.keep(api.tenants.large_body(sender, bytes).await);
            held.grow_to(bytes).await;
            // All at once: a buffer that grows is copied each time, and half of it may stay empty.
            whole.reserve(announced.unwrap_or_default().min(most));
        }
        let mut bytes = 0;
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
                // Reads to the end without storing, because a client that is still sending would not see the refusal.
                whole = BytesMut::new();
            } else {
                whole.extend_from_slice(&part);
            }
        }
        if values.number > most_values {
            return Err(ApiError::too_many_values(most_values));
        }
        // Some platforms put a byte order mark before JSON. A reader may ignore it (RFC 8259, 8.1).
        if whole.starts_with(BYTE_ORDER_MARK) {
            whole.advance(BYTE_ORDER_MARK.len());
        }
        Ok(whole.freeze())
    };
    let whole = timeout(within, reading).await.unwrap_or_else(|_| Err(ApiError::slow_body()))?;
    timeout(within, held.take_values(&api.memory, values.number)).await.map_err(|_| ApiError::too_many())?;
    Ok((whole, held))
}

/// The number of bytes according to the head. A request without body headers has no body (RFC 9112, 6.3) and needs no
/// memory.
fn announced(request: &Request) -> Option<usize> {
    match request.header("content-length") {
        Some(text) => text.parse().ok(),
        None if request.headers.contains_key("transfer-encoding") => None,
        None => Some(0),
    }
}

/// The tenant of the token in a header, in the query string, or in a session of the site.
async fn sender(api: &Api, site: Option<&dyn Site>, request: &Request) -> Tenant {
    let in_session = || site?.token(&request.path, &request.headers);
    let caller = api.auth.verify(&token_of(request, None).or_else(in_session)?).await.ok()?;
    Some(api.state.tenant_of(caller.account))
}

/// Counts an upper bound of the values and names in a body while it arrives.
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
            // A pair has a name and a text, and the text may be JSON.
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

/// The counted number. No JSON text or form has more values and names than this.
#[cfg(any(test, fuzzing))]
pub(super) fn values(text: &[u8], is_form: bool) -> usize {
    let mut values = Values::new(is_form);
    // In pieces, as bodies arrive.
    for part in text.chunks(7) {
        values.count(part);
    }
    values.number
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The exact number of values and names.
    fn counted(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(counted).sum::<usize>(),
            Value::Object(members) => 1 + members.values().map(|value| 1 + counted(value)).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn the_counted_number_is_an_upper_bound() {
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
    fn a_request_without_body_headers_counts_as_small() {
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
