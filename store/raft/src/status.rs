//! What this member says of itself, for `Maintenance.Status`, health and metrics.

use crate::peer::SharedTraffic;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    pub leader: Option<u64>,
    pub term: u64,
    /// Last entry in the log, committed or not.
    pub last_index: u64,
    pub applied_index: u64,
    pub learner: bool,
}

#[derive(Clone, Debug)]
pub struct NodeMetrics {
    pub leader_changes: u64,
    pub committed_index: u64,
    pub applied_index: u64,
    /// Requests of this member that wait for their entry to be applied.
    pub pending: u64,
    /// Requests of this member that were given up.
    pub failed: u64,
    pub peers: Vec<PeerMetrics>,
}

#[derive(Clone, Debug)]
pub struct PeerMetrics {
    pub id: u64,
    pub traffic: SharedTraffic,
}
