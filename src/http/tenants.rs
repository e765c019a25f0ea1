//! The share of one tenant in the API: requests under way, concurrent reads of lists, memory of responses being sent,
//! and memory of large bodies. Strangers together count as one tenant.
//!
//! Promise: whatever one tenant requests, and however slowly it reads, other tenants' requests are answered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;
use crate::shares::Shares;

/// Memory is taken in pieces of this many bytes.
const PIECE: usize = 1 << 10;
/// The largest response whose memory is not counted. Such responses are bounded by the number of connections.
const SMALL: usize = 64 << 10;
/// The part of all connections that one tenant's requests may keep busy: one in this many.
const BUSY_PART: usize = 4;
/// The least number of requests under way for one tenant, for a listener with few connections.
const BUSY_LEAST: usize = 32;
/// The number of requests that each tenant may always have, apart from the shared ones. All further requests share a
/// part of the connections, so tenants that together keep many connections busy leave these to the others.
const FEW: usize = 4;
const SHARED: (usize, usize) = (3, 4);
/// The concurrent reads of lists for one tenant.
const LISTS_AT_ONCE: usize = 2;

/// A tenant; `None` for callers without a valid token.
pub(super) type Tenant = Option<AccountId>;

/// The shares of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tenants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    busy: Shares<Tenant>,
    few: Shares<Tenant>,
    shared: Arc<Semaphore>,
    lists: Shares<Tenant>,
    answers: Arc<Semaphore>,
    answers_of: Shares<Tenant>,
    large_bodies: Shares<Tenant>,
}

/// The tenant of a request, and its permit for one request under way.
#[derive(Debug, Default)]
pub(super) struct Presence {
    pub(super) tenant: Tenant,
    place: Option<BusyPermit>,
}

/// A permit for a request under way: of its tenant, and either one of the few or a shared one.
#[derive(Debug)]
struct BusyPermit {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// The memory of a response until it is sent.
#[derive(Debug)]
pub(super) struct Room {
    /// A permit of the tenant's part, and one of the whole.
    _memory: Option<[OwnedSemaphorePermit; 2]>,
    /// A streamed list counts as under way until its last row is written.
    _place: Option<BusyPermit>,
}

/// The text of a response with its memory; both are dropped when the text is sent.
struct TextInMemory {
    text: String,
    _room: Option<Room>,
}

impl AsRef<[u8]> for TextInMemory {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Presence {
    /// A request that needs no permit.
    pub(super) fn of(tenant: Tenant) -> Self {
        Self { tenant, place: None }
    }
}

impl Tenants {
    /// Divides the connections and the memory of bodies; one body may have `most_body` bytes. Responses get another
    /// third of that memory.
    pub(super) fn new(connections: usize, body_memory: usize, most_body: usize) -> Self {
        let answers = (body_memory / 3 / PIECE).clamp(2, Semaphore::MAX_PERMITS);
        // Large bodies have a sixth of the memory. A tenant gets half of that, but at least enough for the largest
        // body.
        let large = (body_memory / 12).max(most_body).div_ceil(PIECE);
        Self(Arc::new(Inner {
            busy: Shares::new((connections / BUSY_PART).max(BUSY_LEAST)),
            few: Shares::new(FEW),
            shared: Arc::new(Semaphore::new(
                (connections * SHARED.0 / SHARED.1).clamp(1, Semaphore::MAX_PERMITS),
            )),
            lists: Shares::new(LISTS_AT_ONCE),
            answers: Arc::new(Semaphore::new(answers)),
            answers_of: Shares::new(answers / 2),
            large_bodies: Shares::new(large),
        }))
    }

    /// Begins a request of a tenant. `None` when the tenant has its most requests under way, or when it has its few
    /// and all shared ones are taken.
    pub(super) fn enter(&self, tenant: Tenant) -> Option<Presence> {
        let own = self.0.busy.try_one(tenant)?;
        // The tenant's few first: the shared permits are left to tenants that need more.
        let few = self.0.few.try_one(tenant);
        let of_all = few.or_else(|| Arc::clone(&self.0.shared).try_acquire_owned().ok())?;
        Some(Presence { tenant, place: Some(BusyPermit { _own: own, _of_all: of_all }) })
    }

    /// A request of the master account, whose number is not limited.
    pub(super) fn operator(tenant: Tenant) -> Presence {
        Presence { tenant, place: None }
    }

    /// The concurrent reads of lists of a tenant.
    pub(super) fn lists(&self, tenant: Tenant) -> Arc<Semaphore> {
        self.0.lists.of(tenant)
    }

    /// Waits until a large body fits into the tenant's part.
    pub(super) async fn large_body(&self, tenant: Tenant, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = bytes.div_ceil(PIECE).min(self.0.large_bodies.each());
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        // Fails only if the semaphore is closed, which never happens.
        self.0.large_bodies.of(tenant).acquire_many_owned(pieces).await.ok()
    }

    /// Memory for a response of `bytes`, or for a streamed list. `None` when the tenant's part or the whole is used up.
    pub(super) fn room(&self, presence: Presence, bytes: Option<usize>) -> Option<Room> {
        let Presence { tenant, place } = presence;
        let Some(bytes) = bytes else { return Some(Room { _memory: None, _place: place }) };
        if bytes <= SMALL {
            return Some(Room { _memory: None, _place: None });
        }
        // A single response always fits.
        let pieces = u32::try_from(bytes.div_ceil(PIECE).min(self.0.answers_of.each())).unwrap_or(u32::MAX);
        let own = self.0.answers_of.of(tenant).try_acquire_many_owned(pieces).ok()?;
        let all = Arc::clone(&self.0.answers).try_acquire_many_owned(pieces).ok()?;
        Some(Room { _memory: Some([own, all]), _place: None })
    }
}

/// The bytes of a response. They hold its memory until they are sent.
pub(super) fn keeping(text: String, room: Option<Room>) -> Bytes {
    Bytes::from_owner(TextInMemory { text, _room: room })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tenant = Some(AccountId(1));
    const OTHER: Tenant = Some(AccountId(2));

    #[test]
    fn a_tenant_keeps_at_most_a_quarter_of_the_connections_busy() {
        let tenants = Tenants::new(160, 1 << 20, 1 << 10);
        let held: Vec<_> = (0..40).map_while(|_| tenants.enter(ONE)).collect();
        assert!(held.len() == 40 && tenants.enter(ONE).is_none());
        assert!(tenants.enter(OTHER).is_some() && tenants.enter(None).is_some());
    }

    #[test]
    fn many_tenants_together_leave_every_other_tenant_a_few_requests() {
        let tenants = Tenants::new(160, 1 << 20, 1 << 10);
        let mut held = Vec::new();
        for tenant in 10..14 {
            held.extend((0..40).map_while(|_| tenants.enter(Some(AccountId(tenant)))));
        }
        assert_eq!(held.len(), 120 + 4 * FEW, "of 160 connections");
        assert!(tenants.enter(Some(AccountId(10))).is_none());
        let few: Vec<_> = (0..10).map_while(|_| tenants.enter(OTHER)).collect();
        assert_eq!(few.len(), FEW);
        drop(held);
        assert!(tenants.enter(OTHER).is_some());
    }

    #[test]
    fn unsent_responses_of_one_tenant_take_at_most_half_of_the_memory() {
        let tenants = Tenants::new(8, 3 << 20, 1 << 10);
        let room = |tenant, bytes| tenants.room(Presence { tenant, place: None }, Some(bytes));
        let first = room(ONE, 300 << 10);
        assert!(first.is_some() && room(ONE, 300 << 10).is_none(), "512 KiB are a tenant's");
        assert!(room(ONE, SMALL).is_some() && room(OTHER, 300 << 10).is_some());
        let bytes = keeping("text".to_owned(), first);
        assert!(room(ONE, 300 << 10).is_none(), "until it is sent");
        drop(bytes);
        assert!(room(ONE, 8 << 20).is_some(), "a single response always fits");
    }

    #[tokio::test]
    async fn large_bodies_of_one_tenant_leave_room_for_another() {
        let tenants = Tenants::new(8, 12 << 10, 2 << 10);
        let held = tenants.large_body(ONE, 2 << 10).await;
        assert!(held.is_some());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), tenants.large_body(ONE, 1));
        assert!(waits.await.is_err());
        assert!(tenants.large_body(OTHER, 2 << 10).await.is_some());
    }
}
