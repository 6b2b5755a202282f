//! etcd's HashKV: equal on members and clusters that hold the same history.
//!
//! CRC-32C over the bytes `key`, then over every revision up to the one asked for: its key in
//! etcd's bucket and its record as etcd marshals it. Revisions at or below the compact revision
//! count only if they are the newest of a key alive at the revision asked for, and a tombstone at
//! the compact revision never does. So it does not matter how far removal has come.

use crate::{
    Error,
    backend_row::BackendRow,
    range::Bounds,
    reader::Reader,
    revision::{FIRST, Revision},
    store::Inner,
};

/// Name of etcd's bucket, which seeds the hash.
const SEED: &[u8] = b"key";

/// Answer of HashKV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    pub hash: u32,
    /// -1 when the store was never compacted.
    pub compact_revision: i64,
    /// The revision that was hashed.
    pub hash_revision: i64,
}

pub(crate) fn hash_kv(inner: &Inner, revision: i64) -> Result<HashKv, Error> {
    // As in etcd, a stored hash answers even where its revision is compacted by now.
    if let Some(hash) = inner.compactor.hash_of(revision) {
        return Ok(hash);
    }
    let _hold = inner.compactor.hold();
    let (current, compact_revision) = {
        let shared = inner.shared.read();
        (shared.revision, shared.compact)
    };
    if revision > 0 && revision < compact_revision {
        return Err(Error::Compacted);
    }
    if revision > current {
        return Err(Error::FutureRevision);
    }
    let hash_revision = if revision == 0 { current } else { revision };
    let survivors = survivors(inner, hash_revision, compact_revision)?;
    let survivors = match survivors {
        // Where no key is alive etcd skips nothing it still has: what the compaction has left.
        None if compact_revision > 0 => self::survivors(inner, compact_revision, compact_revision)?,
        found => found,
    };
    let survivors = survivors.unwrap_or_default();
    let hash = digest(inner, hash_revision, compact_revision, &survivors)?;
    Ok(HashKv {
        hash,
        compact_revision,
        hash_revision,
    })
}

/// The hash a compaction to `main` leaves, made before it removes anything. `previous` is the
/// compact revision before it.
pub(crate) fn of_compaction(inner: &Inner, main: i64, previous: i64) -> Result<HashKv, Error> {
    let survivors = survivors(inner, main, previous)?.unwrap_or_default();
    let hash = digest(inner, main, previous, &survivors)?;
    Ok(HashKv {
        hash,
        compact_revision: previous,
        hash_revision: main,
    })
}

/// Hashes the records up to `main`; of those not after `compact` only the survivors. The caller
/// sees to it that nothing is removed meanwhile.
fn digest(inner: &Inner, main: i64, compact: i64, survivors: &[Revision]) -> Result<u32, Error> {
    let mut crc = crc32c::crc32c(SEED);
    if main < 0 {
        return Ok(crc);
    }
    let mut survivors = survivors.iter().peekable();
    let mut row = BackendRow::default();
    for record in inner
        .db
        .records(Revision::default(), Revision::last_of(main))
    {
        let record = record?;
        if record.revision.main <= compact {
            while survivors.next_if(|r| **r < record.revision).is_some() {}
            if survivors.peek() != Some(&&record.revision) {
                continue;
            }
        }
        if record.tombstone && record.revision.main == compact {
            continue;
        }
        row.set(record);
        crc = crc32c::crc32c_append(crc, &row.key);
        crc = crc32c::crc32c_append(crc, &row.value);
    }
    Ok(crc)
}

/// Newest revisions, not after `compact`, of the keys alive at `main`, in order. None if no key is
/// alive.
fn survivors(inner: &Inner, main: i64, compact: i64) -> Result<Option<Vec<Revision>>, Error> {
    let (mut revisions, mut alive) = (Vec::new(), false);
    if main < FIRST {
        return Ok(None);
    }
    let all = Bounds::Span {
        from: &[],
        end: None,
    };
    Reader { inner, own: None }.scan(&all, main, usize::MAX, |hit| {
        alive = true;
        if hit.latest.main <= compact {
            revisions.push(hit.latest.revision());
        }
    })?;
    revisions.sort_unstable();
    Ok(alive.then_some(revisions))
}

pub(crate) fn hash(inner: &Inner) -> Result<u32, Error> {
    let mut crc = 0;
    for row in inner.db.rows(&[]) {
        let (key, value) = row?;
        crc = crc32c::crc32c_append(crc, &key);
        crc = crc32c::crc32c_append(crc, &value);
    }
    Ok(crc)
}
