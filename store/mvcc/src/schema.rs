//! Keys of the rows in RocksDB. There is one column family, so that a flush is always a prefix of
//! the commits; the first byte of a key names the family.

use bytes::Bytes;

use crate::{Error, revision::Revision};

/// Records by revision: `r`, main revision (8 bytes, big-endian), sub revision (4 bytes).
pub(crate) const RECORDS: u8 = b'r';
/// Small rows of the rooms above (leases, alarms, ...): `m` and their own key.
pub(crate) const META: u8 = b'm';

/// What the last commit was made of, opaque here.
pub(crate) const APPLIED: &[u8] = b"sapplied";
/// Revision, compact revision and byte accounting.
pub(crate) const STATE: &[u8] = b"sstate";
/// How far compaction has physically come.
pub(crate) const PROGRESS: &[u8] = b"sprogress";
/// Version of the format of everything else.
pub(crate) const FORMAT: &[u8] = b"sformat";

/// The only format there is so far.
pub(crate) const FORMAT_VERSION: &[u8] = &[1];

pub(crate) const RECORD_KEY_BYTES: usize = 13;

pub(crate) fn record_key(revision: Revision) -> [u8; RECORD_KEY_BYTES] {
    let mut key = [0; RECORD_KEY_BYTES];
    let (prefix, rest) = key.split_at_mut(1);
    let (main, sub) = rest.split_at_mut(8);
    prefix.copy_from_slice(&[RECORDS]);
    main.copy_from_slice(&revision.main.to_be_bytes());
    sub.copy_from_slice(&revision.sub.to_be_bytes());
    key
}

pub(crate) fn record_revision(key: &[u8]) -> Result<Revision, Error> {
    let wrong = || Error::corrupt("a record's key has the wrong shape");
    let key: &[u8; RECORD_KEY_BYTES] = key.try_into().map_err(|_| wrong())?;
    let (prefix, rest) = key.split_first_chunk::<1>().ok_or_else(wrong)?;
    let (main, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (sub, _) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    let main = i64::from_be_bytes(*main);
    if prefix != &[RECORDS] || main < 0 {
        return Err(wrong());
    }
    Ok(Revision {
        main,
        sub: u32::from_be_bytes(*sub),
    })
}

/// Key and value of a small row as the room above knows them.
pub(crate) fn meta_row((key, value): (Box<[u8]>, Box<[u8]>)) -> (Bytes, Bytes) {
    (Bytes::from(key).slice(1..), Bytes::from(value))
}

pub(crate) fn meta_key(key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.len());
    row.push(META);
    row.extend_from_slice(key);
    row
}
