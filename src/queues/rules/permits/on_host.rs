//! Names of hosts, and of the tenants on a host.

use super::tier::HolderId;

/// Names a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::queues) struct HostId(pub(super) usize);

/// A host, and a tenant among those with hooks on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct OnHost {
    pub(in crate::queues) host: HostId,
    pub(super) tenant: HolderId,
}
