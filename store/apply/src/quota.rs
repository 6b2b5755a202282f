//! The quota, and what standing alarms forbid.

use mainstay_proto::{
    entry::command::Body,
    etcdserverpb::{AlarmType, PutRequest, RequestOp, TxnRequest, request_op::Request},
};

use crate::{ApplyError, context::Context, error::Failure};

/// What quota 0 stands for (etcd's default), in bytes.
const QUOTA_DEFAULT: i64 = 2 << 30;

/// What a put costs beside its key and value, in bytes (etcd's estimate of a record's overhead).
const PUT_OVERHEAD: i64 = 256;

/// What a lease costs, in bytes (etcd's estimate).
const LEASE_COST: i64 = 64;

/// The limit on logical bytes. It is looked at in apply, on bytes that are equal on all members, so
/// the alarm falls at the same entry everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// `None` is no limit.
    bytes: Option<i64>,
}

impl Quota {
    pub(crate) fn new(bytes: i64) -> Quota {
        let bytes = match bytes {
            0 => Some(QUOTA_DEFAULT),
            bytes => (bytes > 0).then_some(bytes),
        };
        Quota { bytes }
    }

    /// Refuses what an alarm forbids or the quota has no room for. The latter raises NOSPACE for
    /// the member that took the request, and it stands until disarmed even if space is freed.
    pub(crate) fn admit(
        self,
        context: &mut Context<'_, '_, '_>,
        body: &Body,
    ) -> Result<(), Failure> {
        if writes(body) && context.alarms.stands(AlarmType::Corrupt) {
            return Err(ApplyError::Corrupt.into());
        }
        let cost = cost(body);
        if cost == 0 {
            return Ok(());
        }
        if context.alarms.stands(AlarmType::Nospace) {
            return Err(ApplyError::NoSpace.into());
        }
        let Some(quota) = self.bytes else {
            return Ok(());
        };
        if context.batch.logical_bytes().saturating_add(cost) < quota {
            return Ok(());
        }
        context
            .alarms
            .raise(context.batch, AlarmType::Nospace as i32, context.proposer)?;
        Err(ApplyError::NoSpace.into())
    }
}

/// A quota as an entry tells it, where 0 says nothing.
pub(crate) fn told(bytes: i64) -> i64 {
    match bytes {
        0 => QUOTA_DEFAULT,
        bytes => bytes,
    }
}

/// Bytes a command may add, by etcd's rule; 0 for what NOSPACE does not forbid.
pub fn cost(body: &Body) -> i64 {
    match body {
        Body::Put(request) => put_cost(request),
        Body::Txn(request) => txn_cost(request),
        Body::LeaseGrant(_) => LEASE_COST,
        _ => 0,
    }
}

/// Both branches count, the larger one: which is taken is not known before.
fn txn_cost(request: &TxnRequest) -> i64 {
    list_cost(&request.success).max(list_cost(&request.failure))
}

fn list_cost(list: &[RequestOp]) -> i64 {
    let cost = |op: &RequestOp| match &op.request {
        Some(Request::RequestPut(request)) => put_cost(request),
        Some(Request::RequestTxn(request)) => txn_cost(request),
        _ => 0,
    };
    list.iter().map(cost).fold(0, i64::saturating_add)
}

fn put_cost(request: &PutRequest) -> i64 {
    let bytes = request.key.len().saturating_add(request.value.len());
    PUT_OVERHEAD.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// What CORRUPT forbids: everything that changes keys or leases.
fn writes(body: &Body) -> bool {
    match body {
        Body::Put(_)
        | Body::DeleteRange(_)
        | Body::Txn(_)
        | Body::Compact(_)
        | Body::LeaseGrant(_)
        | Body::LeaseRevoke(_) => true,
        Body::Alarm(_)
        | Body::Publish(_)
        | Body::ClusterVersion(_)
        | Body::Downgrade(_)
        | Body::Authenticate(_)
        | Body::AuthEnable(_)
        | Body::AuthDisable(_)
        | Body::UserAdd(_)
        | Body::UserChangePassword(_)
        | Body::UserDelete(_)
        | Body::UserGrantRole(_)
        | Body::UserRevokeRole(_)
        | Body::RoleAdd(_)
        | Body::RoleDelete(_)
        | Body::RoleGrantPermission(_)
        | Body::RoleRevokePermission(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: usize, value: usize) -> RequestOp {
        let (key, value) = (vec![0; key].into(), vec![0; value].into());
        let put = PutRequest {
            key,
            value,
            ..PutRequest::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(put)),
        }
    }

    #[test]
    fn a_txn_costs_its_larger_branch_and_nested_ones_too() {
        let range = RequestOp {
            request: Some(Request::RequestRange(Default::default())),
        };
        let inner = TxnRequest {
            success: vec![put(1, 1), range.clone()],
            failure: vec![put(10, 1000)],
            ..TxnRequest::default()
        };
        assert_eq!(txn_cost(&inner), 256 + 1010);
        let nested = RequestOp {
            request: Some(Request::RequestTxn(inner)),
        };
        let outer = TxnRequest {
            success: vec![nested, put(2, 2)],
            failure: vec![put(3, 3)],
            ..TxnRequest::default()
        };
        assert_eq!(txn_cost(&outer), 256 + 1010 + 256 + 4);
        let reads = TxnRequest {
            success: vec![range],
            ..TxnRequest::default()
        };
        assert_eq!(cost(&Body::Txn(reads)), 0);
    }

    #[test]
    fn zero_is_the_default_and_less_is_none() {
        assert_eq!(Quota::new(0).bytes, Some(2 << 30));
        assert_eq!(Quota::new(-1).bytes, None);
        assert_eq!(Quota::new(5).bytes, Some(5));
    }
}
