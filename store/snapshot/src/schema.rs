//! Names of etcd 3.7's buckets and of the rows in them that have fixed keys.

pub const ALARM: &[u8] = b"alarm";
pub const AUTH: &[u8] = b"auth";
pub const AUTH_ROLES: &[u8] = b"authRoles";
pub const AUTH_USERS: &[u8] = b"authUsers";
pub const CLUSTER: &[u8] = b"cluster";
pub const KEY: &[u8] = b"key";
pub const LEASE: &[u8] = b"lease";
pub const MEMBERS: &[u8] = b"members";
pub const MEMBERS_REMOVED: &[u8] = b"members_removed";
pub const META: &[u8] = b"meta";

/// Rows of `auth`.
pub const AUTH_ENABLED: &[u8] = b"authEnabled";
pub const AUTH_REVISION: &[u8] = b"authRevision";
/// Row of `cluster`: the version as text.
pub const CLUSTER_VERSION: &[u8] = b"clusterVersion";
/// Row of `cluster`: a downgrade job, in JSON.
pub const DOWNGRADE: &[u8] = b"downgrade";
/// Rows of `meta`. Revisions have the form of a key in the bucket `key`; index and term are 8
/// bytes, big endian.
pub const CONF_STATE: &[u8] = b"confState";
pub const CONSISTENT_INDEX: &[u8] = b"consistent_index";
pub const FINISHED_COMPACTION: &[u8] = b"finishedCompactRev";
pub const SCHEDULED_COMPACTION: &[u8] = b"scheduledCompactRev";
pub const STORAGE_VERSION: &[u8] = b"storageVersion";
pub const TERM: &[u8] = b"term";

/// The shape of the data that is written here, and the newest that is read.
pub const VERSION: &str = "3.7.0";
/// Major and minor of it.
pub const VERSION_MAX: (u64, u64) = (3, 7);
