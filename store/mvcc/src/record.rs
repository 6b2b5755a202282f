//! One write of one key, as it is stored under its revision.

use bytes::Bytes;
use mainstay_proto::mvccpb::KeyValue;

use crate::{Error, revision::Revision, varint};

/// Upper half of the first byte: version of this encoding.
const ENCODING: u8 = 0x10;
const ENCODING_MASK: u8 = 0xf0;
const TOMBSTONE: u8 = 1;
const HAS_LEASE: u8 = 2;
const HAS_PREV: u8 = 4;

/// What a record costs beyond key and value in the accounting for the quota. It is part of the
/// replicated behaviour: another figure would raise NOSPACE at another entry.
pub(crate) const RECORD_OVERHEAD_BYTES: u64 = 64;

/// A stored record. Key and value are slices of one buffer that nothing else shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub revision: Revision,
    pub key: Bytes,
    /// Empty for a tombstone, as are the three below.
    pub value: Bytes,
    pub create: i64,
    pub version: i64,
    pub lease: i64,
    pub tombstone: bool,
    /// The record of this key before this one. May be a tombstone, and is then needed only by
    /// readers older than that tombstone.
    pub prev: Option<Revision>,
    /// Bytes that a compaction to this record's main revision would have freed since the store
    /// began, if this is the last record of it. See `accounting.rs`.
    pub dead: u64,
}

impl Record {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = ENCODING;
        flags |= if self.tombstone { TOMBSTONE } else { 0 };
        flags |= if self.lease != 0 { HAS_LEASE } else { 0 };
        flags |= if self.prev.is_some() { HAS_PREV } else { 0 };
        out.push(flags);
        varint::put(out, self.key.len() as u64);
        out.extend_from_slice(&self.key);
        if !self.tombstone {
            varint::put(out, self.revision.main.abs_diff(self.create));
            varint::put(out, self.version.unsigned_abs());
        }
        if self.lease != 0 {
            out.extend_from_slice(&self.lease.to_le_bytes());
        }
        if let Some(prev) = self.prev {
            varint::put(out, self.revision.main.abs_diff(prev.main));
            varint::put(out, u64::from(prev.sub));
        }
        varint::put(out, self.dead);
        out.extend_from_slice(&self.value);
    }

    pub fn decode(revision: Revision, bytes: Bytes) -> Result<Record, Error> {
        let mut input: &[u8] = &bytes;
        let flags = varint::take_bytes(&mut input, 1)?
            .first()
            .copied()
            .unwrap_or_default();
        if flags & ENCODING_MASK != ENCODING {
            return Err(Error::corrupt(format!(
                "record {revision:?} has an unknown encoding {flags:#x}"
            )));
        }
        let tombstone = flags & TOMBSTONE != 0;
        let key_len = usize::try_from(varint::take(&mut input)?).unwrap_or(usize::MAX);
        let key = varint::take_bytes(&mut input, key_len)?;
        let (mut create, mut version, mut lease, mut prev) = (0, 0, 0, None);
        if !tombstone {
            create = before(revision.main, varint::take_i64(&mut input)?)?;
            version = varint::take_i64(&mut input)?;
        }
        if flags & HAS_LEASE != 0 {
            let bytes = varint::take_bytes(&mut input, 8)?;
            lease = bytes
                .first_chunk::<8>()
                .map(|b| i64::from_le_bytes(*b))
                .unwrap_or_default();
        }
        if flags & HAS_PREV != 0 {
            let main = before(revision.main, varint::take_i64(&mut input)?)?;
            prev = Some(Revision::new(main, varint::take_u32(&mut input)?));
        }
        let dead = varint::take(&mut input)?;
        let key = bytes.slice_ref(key);
        let value = bytes.slice_ref(input);
        Ok(Record {
            revision,
            key,
            value,
            create,
            version,
            lease,
            tombstone,
            prev,
            dead,
        })
    }

    /// As a client sees it; a tombstone shows its key and revision, as in etcd's events.
    pub fn into_kv(self) -> KeyValue {
        KeyValue {
            key: self.key,
            create_revision: self.create,
            mod_revision: self.revision.main,
            version: self.version,
            value: self.value,
            lease: self.lease,
        }
    }

    /// Whether the record before this one is a value (a key that comes into being follows a
    /// tombstone or nothing).
    pub fn follows_value(&self) -> bool {
        self.prev.is_some() && (self.tombstone || self.version > 1)
    }
}

fn before(main: i64, distance: i64) -> Result<i64, Error> {
    match main.checked_sub(distance) {
        Some(earlier) if earlier >= 0 => Ok(earlier),
        _ => Err(Error::corrupt(
            "a record refers to a revision before the first",
        )),
    }
}

/// What a record counts for in the quota, in bytes.
pub(crate) fn logical_bytes(key_len: usize, value_len: u64) -> u64 {
    RECORD_OVERHEAD_BYTES + key_len as u64 + value_len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            revision: Revision::new(1 << 40, 7),
            key: Bytes::from_static(b"/registry/pods/default/a"),
            value: Bytes::from_static(b"value"),
            create: 12,
            version: 1 << 33,
            lease: -5,
            tombstone: false,
            prev: Some(Revision::new(900, 3)),
            dead: u64::MAX,
        }
    }

    #[test]
    fn a_record_survives_its_encoding() {
        let tombstone = Record {
            value: Bytes::new(),
            create: 0,
            version: 0,
            lease: 0,
            tombstone: true,
            ..record()
        };
        let plain = Record {
            lease: 0,
            prev: None,
            dead: 0,
            ..record()
        };
        for record in [record(), tombstone, plain] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(
                Record::decode(record.revision, bytes.into()).unwrap(),
                record
            );
        }
    }

    #[test]
    fn a_cut_header_is_corrupt() {
        let mut bytes = Vec::new();
        let record = Record {
            value: Bytes::new(),
            ..record()
        };
        record.encode(&mut bytes);
        for len in 0..bytes.len() {
            let cut = Bytes::copy_from_slice(&bytes[..len]);
            assert!(
                Record::decode(record.revision, cut).is_err(),
                "cut at {len}"
            );
        }
    }
}
