//! What came back for a request, and how sure we are of it.

use serde::{Deserialize, Serialize};

use crate::key_value::KeyValue;

/// The three outcomes a client can tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok(Response),
    /// Refused for certain: it was not applied and never will be.
    Failed {
        code: String,
        message: String,
    },
    /// It may have been applied, may be applied later, or never. Every error is of this kind
    /// unless it is proven otherwise.
    Unknown {
        message: String,
    },
}

/// A successful answer with the store revision of its header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub revision: i64,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Range {
        kvs: Vec<KeyValue>,
        more: bool,
        count: i64,
    },
    Put {
        prev_kv: Option<KeyValue>,
    },
    DeleteRange {
        deleted: i64,
        prev_kvs: Vec<KeyValue>,
    },
    Txn {
        succeeded: bool,
        responses: Vec<Body>,
    },
    Compact,
    LeaseGrant {
        id: i64,
        /// Seconds the server granted, which may be more than was asked for.
        ttl: i64,
    },
    LeaseRevoke,
    LeaseKeepAlive {
        /// 0: the lease is gone.
        ttl: i64,
    },
}

impl Body {
    /// Whether this answer says that a key was changed. A revoke does not tell.
    #[must_use]
    pub fn wrote(&self) -> bool {
        match self {
            Body::Put { .. } => true,
            Body::DeleteRange { deleted, .. } => *deleted > 0,
            Body::Txn { responses, .. } => responses.iter().any(Body::wrote),
            _ => false,
        }
    }
}
