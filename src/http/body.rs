//! A request's body on its way into memory: bounded in size, in time, and in what all of them take together.
//!
//! Held: whoever has shown no good token yet can send little, so that strangers leave room for those who are known.

use std::num::NonZero;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, pin_mut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::api::Api;
use super::bearer::token_of;
use super::errors::ApiError;
use super::request::Request;
use super::tenants::Tenant;

/// What may be sent without a good token in a header or in the query string: enough to log in, and for every
/// document.
const STRANGERS_BYTES: usize = 64 << 10;
/// What one value of a JSON text may take in memory beside its bytes, in the worst case (`0,0,0,…`).
const VALUE_BYTES: usize = 160;
/// Memory is taken in pieces of so many bytes.
const PIECE: usize = 1 << 10;
/// A body with more values than this is heavy: to make and check them takes milliseconds, which all others would wait
/// for in the threads that serve.
const HEAVY: usize = 10_000;
/// Of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The memory of all bodies that are being received or answered. Small ones wait for no large one; a large one has room
/// before it is read and room before its values are made, so that no two wait for each other.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// A third: small bodies and what is made of them.
    small: Pool,
    /// A sixth: large ones as they came.
    large: Pool,
    /// Half: what is made of large ones.
    values: Pool,
    /// Heavy bodies that are worked on at once: as many as there are cores.
    heavy: Arc<Semaphore>,
}

/// So many pieces of memory.
#[derive(Debug, Clone)]
struct Pool {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// A body's part of the memory; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    pool: Pool,
    /// Of a large one: what it takes of its tenant's part.
    of_tenant: Option<OwnedSemaphorePermit>,
    received: Option<OwnedSemaphorePermit>,
    values: Option<OwnedSemaphorePermit>,
    heavy: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// So many bytes for all bodies; what is made of one takes half of them at most.
    pub(super) fn new(bytes: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            small: Pool::new(bytes / 3),
            large: Pool::new(bytes / 6),
            values: Pool::new(bytes / 2),
            heavy: Arc::new(Semaphore::new(cores)),
        }
    }

    fn hold(&self, is_small: bool) -> Held {
        let pool = if is_small { self.small.clone() } else { self.large.clone() };
        Held { pool, of_tenant: None, received: None, values: None, heavy: None }
    }

    /// Where the values of a body have their room.
    fn of_values(&self, is_small: bool) -> &Pool {
        if is_small { &self.small } else { &self.values }
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        // Rounded up: the largest body that is allowed must fit.
        let pieces = bytes.div_ceil(PIECE).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(pieces)), bytes: pieces * PIECE }
    }

    /// Waits until so many pieces are free.
    async fn take(&self, pieces: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        // Nobody closes it.
        Arc::clone(&self.free).acquire_many_owned(pieces).await.ok()
    }
}

impl Held {
    /// Whether the request is to be answered beside the threads that serve all others.
    pub(super) fn is_heavy(&self) -> bool {
        self.heavy.is_some()
    }

    /// Waits for its turn if it has so many values that it is heavy.
    async fn weigh(&mut self, memory: &Memory, values: usize) {
        if values > HEAVY {
            // Nobody closes it.
            self.heavy = Arc::clone(&memory.heavy).acquire_owned().await.ok();
        }
    }

    /// Waits until there is room for so many bytes of the body in all.
    async fn grow_to(&mut self, bytes: usize) {
        let had = self.received.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PIECE).saturating_sub(had);
        if more == 0 {
            return;
        }
        let got = self.pool.take(more).await;
        match (&mut self.received, got) {
            (Some(received), Some(got)) => received.merge(got),
            (received, got) => *received = got,
        }
    }
}

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
    let pool = api.memory.of_values(is_small);
    let is_form = request.content_type().is_some_and(|text| text.contains("form"));
    let (mut values, most_values) = (Values::new(is_form), pool.bytes / VALUE_BYTES);
    let reading = async {
        pin_mut!(body);
        if !is_small {
            let bytes = announced.unwrap_or(most);
            held.of_tenant = api.tenants.large_body(sender, bytes).await;
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
    let taking = async {
        held.values = pool.take((values.number * VALUE_BYTES).div_ceil(PIECE)).await;
        held.weigh(&api.memory, values.number).await;
    };
    timeout(within, taking).await.map_err(|_| ApiError::too_many())?;
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

    #[tokio::test]
    async fn bodies_wait_for_each_other_and_give_back_what_they_held() {
        let memory = Memory::new(30 * PIECE);
        let (mut one, mut other) = (memory.hold(true), memory.hold(true));
        one.grow_to(1).await;
        one.grow_to(4 * PIECE).await;
        other.grow_to(6 * PIECE).await;
        assert_eq!(memory.small.free.available_permits(), 0);
        let waits = timeout(std::time::Duration::from_millis(1), one.grow_to(5 * PIECE)).await;
        assert!(waits.is_err());
        drop(other);
        one.grow_to(5 * PIECE).await;
        drop(one);
        assert_eq!(memory.small.free.available_permits(), 10);
    }

    #[tokio::test]
    async fn the_largest_body_fits_into_the_least_memory_that_the_configuration_allows() {
        for most in [1024, 1025, 8_000_000] {
            let memory = Memory::new(6 * most);
            let mut held = memory.hold(false);
            let fits = timeout(std::time::Duration::from_secs(5), held.grow_to(most)).await;
            assert!(fits.is_ok(), "{most}");
        }
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

    #[tokio::test]
    async fn small_bodies_wait_for_no_large_one() {
        let memory = Memory::new(30 * PIECE);
        let (mut large, mut small) = (memory.hold(false), memory.hold(true));
        large.grow_to(5 * PIECE).await;
        large.values = memory.of_values(false).take(15).await;
        assert_eq!((memory.large.free.available_permits(), memory.values.free.available_permits()), (0, 0));
        small.grow_to(PIECE).await;
        small.values = memory.of_values(true).take(9).await;
        assert_eq!(memory.small.free.available_permits(), 0);
    }

    #[tokio::test]
    async fn as_many_heavy_bodies_are_worked_on_at_once_as_there_are_cores() {
        let memory = Memory::new(30 * PIECE);
        let cores = memory.heavy.available_permits();
        assert!(cores > 0);
        let (mut light, mut heavy) = (memory.hold(true), memory.hold(true));
        light.weigh(&memory, HEAVY).await;
        heavy.weigh(&memory, HEAVY + 1).await;
        assert!(!light.is_heavy() && heavy.is_heavy());
        assert_eq!(memory.heavy.available_permits(), cores - 1);
        drop(heavy);
        assert_eq!(memory.heavy.available_permits(), cores);
    }
}
