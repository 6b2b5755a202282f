//! What a command came to.

use mainstay_proto::etcdserverpb::{
    AlarmMember, DeleteRangeResponse, LeaseGrantResponse, PutResponse, TxnResponse,
};

use crate::ApplyError;

/// Answer to the request that an entry carried. Headers hold only the revision; the API adds ids
/// and term.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    /// Compacted logically; `revision` is the store's, not the one compacted to.
    Compact {
        revision: i64,
    },
    LeaseGrant(LeaseGrantResponse),
    LeaseRevoke {
        revision: i64,
    },
    Alarm {
        alarms: Vec<AlarmMember>,
        revision: i64,
    },
    /// Users or roles are changed; `revision` is the store's.
    Auth {
        revision: i64,
    },
    /// A user has logged in, by the entry of that index.
    Authenticated {
        index: u64,
        revision: i64,
    },
    /// Nothing to tell: published attributes, cluster version, a revoke that came too late.
    Done,
}

/// What the member that took the request gets to hear.
pub type Reply = Result<Outcome, ApplyError>;
