//! What is in a file, in the figures of `etcdutl snapshot status`.

use std::collections::HashSet;
use std::fs::File;

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;
use prost::Message;
use serde::Serialize;

use crate::bbolt::Db;
use crate::{Error, revision::Revision, schema, trailer};

/// Field names are those of etcdutl's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// CRC-32C of all buckets' names and rows.
    pub hash: u32,
    pub revision: i64,
    /// Keys alive at that revision.
    #[serde(rename = "totalKey")]
    pub total_key: usize,
    /// Bytes of the database without the checksum.
    #[serde(rename = "totalSize")]
    pub total_size: u64,
    /// Version of the data's shape; empty where a server before 3.6 wrote it.
    pub version: String,
}

/// Reads the whole file. Every living key is in memory meanwhile. Does not look at the checksum at
/// the end: [`trailer::verify`] does.
pub fn status(file: File) -> Result<Status, Error> {
    let bytes = trailer::database_bytes(file.metadata()?.len());
    let db = Db::open(file, bytes)?;
    let mut pass = db.pass();
    let mut status = Status {
        hash: 0,
        revision: 0,
        total_key: 0,
        total_size: db.bytes(),
        version: String::new(),
    };
    let mut living = HashSet::new();
    for bucket in pass.buckets()? {
        status.hash = crc32c::crc32c_append(status.hash, &bucket.name);
        pass.rows(&bucket, |key, value| {
            status.hash = crc32c::crc32c_append(status.hash, key);
            status.hash = crc32c::crc32c_append(status.hash, value);
            match bucket.name.as_slice() {
                schema::KEY => status.revision = note(&mut living, key, value)?,
                schema::META if key == schema::STORAGE_VERSION => {
                    status.version = String::from_utf8_lossy(value).into_owned();
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    status.total_key = living.len();
    Ok(status)
}

/// Notes one row of the bucket `key` and returns its main revision.
fn note(living: &mut HashSet<Bytes>, key: &[u8], value: &[u8]) -> Result<i64, Error> {
    let revision = Revision::read(key)?;
    let kv = KeyValue::decode(value)
        .map_err(|error| Error::damaged(format!("revision {}: {error}", revision.main)))?;
    match revision.tombstone {
        true => living.remove(&kv.key),
        false => living.insert(kv.key),
    };
    Ok(revision.main)
}
