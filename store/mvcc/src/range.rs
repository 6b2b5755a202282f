use mainstay_proto::mvccpb::KeyValue;

/// Answer to a range request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RangeResult {
    pub kvs: Vec<KeyValue>,
    /// Keys in the range at the revision read, whatever limit and filters cut away.
    pub count: i64,
    pub more: bool,
    /// Revision of the store, not the one read.
    pub revision: i64,
}
