//! What one tenant may hold of the API at once: requests that are being answered, readings of lists, memory of answers on
//! their way, and memory of large bodies. Strangers together count as one tenant.
//!
//! Held: whatever one tenant asks for, and however slowly they read, another tenant's requests are answered.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;
use crate::shares::Shares;

/// Bytes of one piece of memory; memory is taken in whole pieces.
const PIECE: usize = 1 << 10;
/// Bytes of the largest answer that is not counted: the number of connections bounds what such answers take.
const SMALL: usize = 64 << 10;
/// Of all connections, the part that one tenant's requests may keep busy.
const BUSY_PART: usize = 4;
/// Requests that one tenant may have under way on a listener with few connections.
const BUSY_LEAST: usize = 32;
/// Requests of each tenant that take nothing of what all tenants share, and the part of the connections that all further
/// requests share: tenants that keep many connections busy together leave the rest to the others.
const FEW: usize = 4;
const SHARED: (usize, usize) = (3, 4);
/// Chunks of lists that are read for one tenant at once.
const LISTS_AT_ONCE: usize = 2;

/// A tenant; `None` for callers without a good token.
pub(super) type Tenant = Option<AccountId>;

/// The parts of all tenants. Cheap to clone.
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

/// What a request holds while it is answered: who asked, and one of the requests that they may have under way.
#[derive(Debug, Default)]
pub(super) struct Presence {
    pub(super) tenant: Tenant,
    place: Option<Place>,
}

/// A request under way: one of its tenant's, and one of the few or of the shared ones.
#[derive(Debug)]
struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// What an answer holds until it is sent.
#[derive(Debug)]
pub(super) struct Room {
    /// One of the tenant's part, then of the whole.
    _memory: Option<[OwnedSemaphorePermit; 2]>,
    /// A streamed list is under way until its last row is written.
    _place: Option<Place>,
}

/// An answer's text with what it holds, both dropped when the text is sent.
struct Kept {
    text: String,
    _room: Option<Room>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Presence {
    /// A tenant whose request holds no place.
    pub(super) fn of(tenant: Tenant) -> Self {
        Self { tenant, place: None }
    }
}

impl Tenants {
    /// Parts of this number of connections, and of these bytes for bodies, of which one may have `most_body` bytes. Answers
    /// get a third as much memory besides.
    pub(super) fn new(connections: usize, body_memory: usize, most_body: usize) -> Self {
        let answers = (body_memory / 3 / PIECE).clamp(2, Semaphore::MAX_PERMITS);
        // Large bodies have a sixth of the memory; half of that is a tenant's, and the largest body fits.
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

    /// One more request of a tenant; `None` when the tenant has as many under way as it may have, or has some and all tenants
    /// together have as many as they share.
    pub(super) fn enter(&self, tenant: Tenant) -> Option<Presence> {
        let own = self.0.busy.try_one(tenant)?;
        let few = self.0.few.try_one(tenant);
        let of_all = few.or_else(|| Arc::clone(&self.0.shared).try_acquire_owned().ok())?;
        Some(Presence { tenant, place: Some(Place { _own: own, _of_all: of_all }) })
    }

    /// A request of the operator's own account, which may have any number under way.
    pub(super) fn operator(tenant: Tenant) -> Presence {
        Presence { tenant, place: None }
    }

    /// The readings of lists of a tenant.
    pub(super) fn lists(&self, tenant: Tenant) -> Arc<Semaphore> {
        self.0.lists.of(tenant)
    }

    /// Waits until these bytes of a large body are within the tenant's part as well.
    pub(super) async fn large_body(&self, tenant: Tenant, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = bytes.div_ceil(PIECE).min(self.0.large_bodies.each());
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        // Nobody closes it.
        self.0.large_bodies.of(tenant).acquire_many_owned(pieces).await.ok()
    }

    /// Room for an answer of this many bytes on its way, or for a list that is made while it is sent; `None` when the tenant, or all together, have as much on their way as they may.
    pub(super) fn room(&self, presence: Presence, bytes: Option<usize>) -> Option<Room> {
        let Presence { tenant, place } = presence;
        let Some(bytes) = bytes else { return Some(Room { _memory: None, _place: place }) };
        if bytes <= SMALL {
            return Some(Room { _memory: None, _place: None });
        }
        // One answer always fits.
        let pieces = u32::try_from(bytes.div_ceil(PIECE).min(self.0.answers_of.each())).unwrap_or(u32::MAX);
        let own = self.0.answers_of.of(tenant).try_acquire_many_owned(pieces).ok()?;
        let all = Arc::clone(&self.0.answers).try_acquire_many_owned(pieces).ok()?;
        Some(Room { _memory: Some([own, all]), _place: None })
    }
}

/// The bytes of an answer, which hold its room until they are sent.
pub(super) fn keeping(text: String, room: Option<Room>) -> Bytes {
    Bytes::from_owner(Kept { text, _room: room })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    const ONE: Tenant = Some(Id(1));
    const OTHER: Tenant = Some(Id(2));

    #[test]
    fn a_tenant_keeps_a_quarter_of_the_connections_busy_and_no_more() {
        let tenants = Tenants::new(160, 1 << 20, 1 << 10);
        let held: Vec<_> = (0..40).map_while(|_| tenants.enter(ONE)).collect();
        assert!(held.len() == 40 && tenants.enter(ONE).is_none());
        assert!(tenants.enter(OTHER).is_some() && tenants.enter(None).is_some());
    }

    #[test]
    fn many_tenants_together_leave_every_other_one_a_few_requests() {
        let tenants = Tenants::new(160, 1 << 20, 1 << 10);
        let mut held = Vec::new();
        for tenant in 10..14 {
            held.extend((0..40).map_while(|_| tenants.enter(Some(Id(tenant)))));
        }
        assert_eq!(held.len(), 120 + 4 * FEW, "of 160 connections");
        assert!(tenants.enter(Some(Id(10))).is_none());
        let few: Vec<_> = (0..10).map_while(|_| tenants.enter(OTHER)).collect();
        assert_eq!(few.len(), FEW);
        drop(held);
        assert!(tenants.enter(OTHER).is_some());
    }

    #[test]
    fn answers_that_are_not_sent_take_half_of_the_memory_for_one_tenant() {
        let tenants = Tenants::new(8, 3 << 20, 1 << 10);
        let room = |tenant, bytes| tenants.room(Presence { tenant, place: None }, Some(bytes));
        let first = room(ONE, 300 << 10);
        assert!(first.is_some() && room(ONE, 300 << 10).is_none(), "512 KiB are a tenant's");
        assert!(room(ONE, SMALL).is_some() && room(OTHER, 300 << 10).is_some());
        let bytes = keeping("text".to_owned(), first);
        assert!(room(ONE, 300 << 10).is_none(), "until it is sent");
        drop(bytes);
        assert!(room(ONE, 8 << 20).is_some(), "one answer always fits");
    }

    #[tokio::test]
    async fn large_bodies_of_one_tenant_leave_another_room() {
        let tenants = Tenants::new(8, 12 << 10, 2 << 10);
        let held = tenants.large_body(ONE, 2 << 10).await;
        assert!(held.is_some());
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), tenants.large_body(ONE, 1));
        assert!(waits.await.is_err());
        assert!(tenants.large_body(OTHER, 2 << 10).await.is_some());
    }
}
