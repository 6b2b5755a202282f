//! This member's own answers about leases. They count while it leads, and only once it has applied
//! what was committed when it was asked: a follower that is faster may have told its client already
//! (etcd's leader waits likewise).

use std::sync::Arc;
use std::time::Duration;

use mainstay_apply::View;
use mainstay_lease::{Leases, Renewal};
use mainstay_proto::peer;
use openraft::async_runtime::WatchReceiver;
use tokio::time::timeout;

use crate::leadership::Leadership;
use crate::types::Raft;

/// Whoever applies more slowly than this answers as one that does not lead.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

pub struct Answers {
    pub raft: Raft,
    pub leadership: Arc<Leadership>,
    pub leases: Leases,
    pub view: View,
}

impl Answers {
    /// Seconds granted anew, 0 for a lease that is gone, -1 for one that is about to be revoked.
    pub async fn renew(&self, id: i64) -> peer::LeaseRenewResponse {
        // Renewals are many, so they do not go through raft's own task, and what it tells of itself
        // may be late by a moment. That a lease is gone is said only on firm ground.
        let told = self.raft.data_metrics().borrow_watched().cluster_committed;
        let told = told.map_or(0, |committed| committed.index());
        if told > self.view.applied_index() && !self.applies(told).await {
            return peer::LeaseRenewResponse::default();
        }
        let answer = self.renew_now(id);
        if !answer.leading || answer.ttl != 0 {
            return answer;
        }
        match self.catches_up().await {
            true => self.renew_now(id),
            false => peer::LeaseRenewResponse::default(),
        }
    }

    /// Seconds left (-1: no such lease) and seconds granted.
    pub async fn ttl(&self, id: i64) -> peer::LeaseTtlResponse {
        if !self.count() || !self.catches_up().await || !self.count() {
            return peer::LeaseTtlResponse::default();
        }
        let (ttl, granted_ttl) = self.leases.clock().times(id).unwrap_or((-1, 0));
        peer::LeaseTtlResponse {
            leading: true,
            ttl,
            granted_ttl,
        }
    }

    /// Ids by time left.
    pub async fn list(&self) -> peer::LeaseListResponse {
        if !self.count() || !self.catches_up().await || !self.count() {
            return peer::LeaseListResponse::default();
        }
        peer::LeaseListResponse {
            leading: true,
            ids: self.leases.clock().ids_by_remaining(),
        }
    }

    /// Whether this member leads and has applied an entry of its own term, and with it everything
    /// that was committed under the last leader.
    fn count(&self) -> bool {
        let term = self.leadership.leading_term();
        term.is_some_and(|term| self.view.applied_term() == term)
            && self.leases.clock().is_leading()
    }

    fn renew_now(&self, id: i64) -> peer::LeaseRenewResponse {
        if !self.count() {
            return peer::LeaseRenewResponse::default();
        }
        let ttl = match self.leases.clock().renew(id) {
            Renewal::Renewed(ttl) => ttl,
            Renewal::Unknown => 0,
            // Expired but not yet revoked: the asker waits for the revoke, as etcd does.
            Renewal::Expired => -1,
            Renewal::NotLeader => return peer::LeaseRenewResponse::default(),
        };
        peer::LeaseRenewResponse { leading: true, ttl }
    }

    /// Waits until all that was committed before now is applied; `false` if it takes too long.
    async fn catches_up(&self) -> bool {
        let committed = self.raft.with_raft_state(|state| {
            let committed = state.cluster_committed();
            committed.map_or(0, |committed| committed.index())
        });
        match timeout(CATCH_UP_MAX, committed).await {
            Ok(Ok(index)) => self.applies(index).await,
            // Raft has stopped, or has no time.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn applies(&self, index: u64) -> bool {
        let applied = self.view.wait_applied(index);
        timeout(CATCH_UP_MAX, applied).await.is_ok()
    }
}
