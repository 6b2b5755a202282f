//! A record as etcd's backend has it: what its hashes are made of and its backups hold.

use mainstay_proto::mvccpb::KeyValue;
use prost::Message;

use crate::record::Record;

/// Parts the main revision from the sub revision in a row's key.
const SEPARATOR: u8 = b'_';
/// Ends the key of a tombstone's row.
const TOMBSTONE: u8 = b't';

/// Key and value of a row in etcd's bucket `key`; kept from record to record.
#[derive(Debug, Default)]
pub(crate) struct BackendRow {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

impl BackendRow {
    pub fn set(&mut self, record: Record) {
        self.key.clear();
        self.value.clear();
        let revision = record.revision;
        self.key.extend_from_slice(&revision.main.to_be_bytes());
        self.key.push(SEPARATOR);
        self.key
            .extend_from_slice(&i64::from(revision.sub).to_be_bytes());
        let kv = match record.tombstone {
            true => {
                self.key.push(TOMBSTONE);
                KeyValue {
                    key: record.key,
                    ..KeyValue::default()
                }
            }
            // No request writes an empty key: it stands for the row without a value that a restore
            // with a raised revision leaves in etcd.
            false if record.key.is_empty() => return,
            false => record.into_kv(),
        };
        self.value.reserve(kv.encoded_len());
        // Encoding into memory cannot fail once there is room.
        let _ = kv.encode(&mut self.value);
    }
}
