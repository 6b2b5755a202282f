use mainstay_proto::mvccpb::KeyValue;

/// One change of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub revision: i64,
    pub sub: i64,
    pub delete: bool,
    /// Of a delete only `key` and `mod_revision` are set, as in etcd's events.
    pub kv: KeyValue,
    /// The record before, if it was wanted, exists and is not compacted.
    pub prev: Option<KeyValue>,
}
