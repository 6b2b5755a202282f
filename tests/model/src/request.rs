//! Requests of the load, as far as the checkers judge them.

use serde::{Deserialize, Serialize};

/// One request. A transaction holds further requests; only ranges, puts, deletes and nested
/// transactions may stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Range {
        key: String,
        range_end: String,
        /// 0 asks for the latest.
        revision: i64,
        /// 0 means no limit.
        limit: i64,
        serializable: bool,
    },
    Put {
        key: String,
        value: String,
        lease: i64,
        prev_kv: bool,
    },
    DeleteRange {
        key: String,
        range_end: String,
        prev_kv: bool,
    },
    Txn {
        compare: Vec<Compare>,
        success: Vec<Request>,
        failure: Vec<Request>,
    },
    Compact {
        revision: i64,
    },
    LeaseGrant {
        id: i64,
        /// Seconds.
        ttl: i64,
    },
    LeaseRevoke {
        id: i64,
    },
    LeaseKeepAlive {
        id: i64,
    },
}

/// One condition of a transaction, on a single key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    pub key: String,
    pub relation: Relation,
    pub target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    Equal,
    Greater,
    Less,
    NotEqual,
}

/// The field of the key that is compared, with what it is compared to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Version(i64),
    Create(i64),
    Mod(i64),
    Value(String),
    Lease(i64),
}

impl Request {
    /// A read of one key that goes through the quorum.
    #[must_use]
    pub fn get(key: &str) -> Request {
        Request::Range {
            key: key.into(),
            range_end: String::new(),
            revision: 0,
            limit: 0,
            serializable: false,
        }
    }

    /// A plain put.
    #[must_use]
    pub fn put(key: &str, value: &str) -> Request {
        Request::Put {
            key: key.into(),
            value: value.into(),
            lease: 0,
            prev_kv: false,
        }
    }

    /// Whether the request could change a key. It says nothing about whether it did.
    #[must_use]
    pub fn may_write(&self) -> bool {
        match self {
            Request::Put { .. } | Request::DeleteRange { .. } | Request::LeaseRevoke { .. } => true,
            Request::Txn {
                success, failure, ..
            } => success.iter().chain(failure).any(Request::may_write),
            Request::Range { .. }
            | Request::Compact { .. }
            | Request::LeaseGrant { .. }
            | Request::LeaseKeepAlive { .. } => false,
        }
    }

    /// Whether the answer may lag behind what the cluster has acknowledged. A keep-alive counts:
    /// etcd samples its header from the member that was asked, before the renewal.
    #[must_use]
    pub fn may_be_stale(&self) -> bool {
        matches!(
            self,
            Request::Range {
                serializable: true,
                ..
            } | Request::LeaseKeepAlive { .. }
        )
    }

    /// The values that the request would put, in both branches of a transaction.
    #[must_use]
    pub fn put_values(&self) -> Vec<&str> {
        match self {
            Request::Put { value, .. } => vec![value.as_str()],
            Request::Txn {
                success, failure, ..
            } => success
                .iter()
                .chain(failure)
                .flat_map(Request::put_values)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The leases to which the request would attach a key.
    #[must_use]
    pub fn attached_leases(&self) -> Vec<i64> {
        match self {
            Request::Put { lease, .. } if *lease != 0 => vec![*lease],
            Request::Txn {
                success, failure, ..
            } => success
                .iter()
                .chain(failure)
                .flat_map(Request::attached_leases)
                .collect(),
            _ => Vec::new(),
        }
    }
}
