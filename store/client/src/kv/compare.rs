//! What must hold for a transaction to take its first branch.

use bytes::Bytes;
use mainstay_proto::etcdserverpb::Compare as Message;
use mainstay_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use crate::keys::Namespace;

/// One condition on one key. A key that is not there has revisions, version and lease 0, and fails
/// every comparison of its value.
#[derive(Clone, Debug)]
pub struct Compare {
    key: Bytes,
    result: CompareResult,
    target: CompareTarget,
    operand: TargetUnion,
}

impl Compare {
    fn new(key: &[u8], result: CompareResult, target: CompareTarget, to: TargetUnion) -> Compare {
        Compare {
            key: Bytes::copy_from_slice(key),
            result,
            target,
            operand: to,
        }
    }

    /// The key is there.
    pub fn exists(key: impl AsRef<[u8]>) -> Compare {
        let (result, target) = (CompareResult::Greater, CompareTarget::Create);
        Compare::new(key.as_ref(), result, target, TargetUnion::CreateRevision(0))
    }

    /// The key is not there.
    pub fn missing(key: impl AsRef<[u8]>) -> Compare {
        Compare::created_at(key, 0)
    }

    /// The key was last written at this revision: nobody has changed it since.
    pub fn unchanged_since(key: impl AsRef<[u8]>, mod_revision: i64) -> Compare {
        let (result, target) = (CompareResult::Equal, CompareTarget::Mod);
        let to = TargetUnion::ModRevision(mod_revision);
        Compare::new(key.as_ref(), result, target, to)
    }

    /// The key was made at this revision: it is the same, however often it was written since.
    pub fn created_at(key: impl AsRef<[u8]>, create_revision: i64) -> Compare {
        let (result, target) = (CompareResult::Equal, CompareTarget::Create);
        let to = TargetUnion::CreateRevision(create_revision);
        Compare::new(key.as_ref(), result, target, to)
    }

    pub fn value(
        key: impl AsRef<[u8]>,
        result: CompareResult,
        value: impl Into<Vec<u8>>,
    ) -> Compare {
        let to = TargetUnion::Value(Bytes::from(value.into()));
        Compare::new(key.as_ref(), result, CompareTarget::Value, to)
    }

    /// How often the key was written since it was made.
    pub fn version(key: impl AsRef<[u8]>, result: CompareResult, version: i64) -> Compare {
        let to = TargetUnion::Version(version);
        Compare::new(key.as_ref(), result, CompareTarget::Version, to)
    }

    pub fn lease(key: impl AsRef<[u8]>, result: CompareResult, id: i64) -> Compare {
        Compare::new(
            key.as_ref(),
            result,
            CompareTarget::Lease,
            TargetUnion::Lease(id),
        )
    }

    pub(super) fn message(self, namespace: &Namespace) -> Message {
        Message {
            result: self.result.into(),
            target: self.target.into(),
            key: namespace.key(&self.key),
            range_end: Bytes::new(),
            target_union: Some(self.operand),
        }
    }
}
