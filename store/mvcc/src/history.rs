//! What happened from one revision to another, for watchers that have fallen behind.

use mainstay_proto::mvccpb::KeyValue;

use crate::{Error, record::Record, revision::Revision, store::Inner};

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

pub(crate) fn history(
    inner: &Inner,
    from: i64,
    to: i64,
    bytes_max: usize,
    want_prev: bool,
) -> Result<Vec<Change>, Error> {
    let compact = inner.compact();
    if from < compact {
        return Err(Error::Compacted);
    }
    let (first, last) = (
        Revision::new(from.max(0), 0),
        Revision::last_of(to.min(inner.revision())),
    );
    let mut changes: Vec<Change> = Vec::new();
    let (mut bytes, mut main) = (0, 0);
    if first > last {
        return Ok(changes);
    }
    for record in inner.db.records(first, last) {
        let record = record?;
        if record.revision.main != main && bytes > bytes_max {
            break;
        }
        main = record.revision.main;
        bytes += record.key.len() + record.value.len();
        let prev = match want_prev {
            true => previous(inner, &record, compact)?,
            false => None,
        };
        changes.push(Change {
            revision: record.revision.main,
            sub: record.revision.sub.into(),
            delete: record.tombstone,
            kv: record.into_kv(),
            prev,
        });
    }
    // Only now is it certain that no compaction removed records on the way.
    if from < inner.compact() {
        Err(Error::Compacted)
    } else {
        Ok(changes)
    }
}

/// The record before a change. Before a change at the compact revision it is compacted, whether
/// or not it is already removed.
fn previous(inner: &Inner, record: &Record, compact: i64) -> Result<Option<KeyValue>, Error> {
    let Some(prev) = record.prev.filter(|_| record.follows_value()) else {
        return Ok(None);
    };
    if record.revision.main <= compact {
        return Ok(None);
    }
    match inner.db.record(prev)? {
        Some(before) if before.key == record.key => Ok(Some(before.into_kv())),
        Some(_) => Err(Error::corrupt(format!("record {prev:?} is of another key"))),
        None if inner.compact() >= record.revision.main => Ok(None),
        None => Err(Error::corrupt(format!("record {prev:?} is missing"))),
    }
}
