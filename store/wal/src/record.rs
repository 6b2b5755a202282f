//! One record: a fixed header with its own checksum, then the payload. Layout in `README.md`.

use bytes::Bytes;

use crate::bytes_at::{u32_at, u64_at};
use crate::{Entry, EntryId};

/// Bytes before the payload.
pub(crate) const RECORD_HEADER: usize = 28;

const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;

/// `kind` of a truncate record that keeps nothing.
const KEEP_NONE: u8 = 0;
/// `kind` of a truncate record that keeps everything up to its index.
const KEEP_UPTO: u8 = 1;

/// A record that passed its checksum, borrowing its payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Entry {
        id: EntryId,
        kind: u8,
        payload: &'a [u8],
    },
    Vote(&'a [u8]),
    Committed(&'a [u8]),
    /// Entries after the index are removed; `None` removes all.
    Truncate(Option<u64>),
    Purge(EntryId),
}

/// A checksum that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub expected: u32,
    pub actual: u32,
}

/// Checks the record that starts `bytes` and lies at `offset` of a segment of `generation`.
/// Returns its whole length.
pub(crate) fn verify(bytes: &[u8], generation: u64, offset: u64) -> Result<usize, Mismatch> {
    let expected = u32_at(bytes, 0).unwrap_or(0);
    let len = payload_len(bytes).and_then(|len| len.checked_add(RECORD_HEADER));
    match len.and_then(|len| bytes.get(4..len)) {
        Some(body) => {
            let actual = checksum(generation, offset, body);
            if actual == expected {
                Ok(body.len() + 4)
            } else {
                Err(Mismatch { expected, actual })
            }
        }
        // The length leads out of the batch; report the checksum of what there is.
        None => Err(Mismatch {
            expected,
            actual: checksum(generation, offset, bytes.get(4..).unwrap_or_default()),
        }),
    }
}

/// Reads a record that passed [`verify`]; `None` if this version does not know it.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER + payload_len(bytes)?)?;
    let (class, kind) = (*bytes.get(8)?, *bytes.get(9)?);
    let id = EntryId {
        term: u64_at(bytes, 12)?,
        index: u64_at(bytes, 20)?,
    };
    match (class, kind) {
        (ENTRY, kind) => Some(Record::Entry { id, kind, payload }),
        (VOTE, _) => Some(Record::Vote(payload)),
        (COMMITTED, _) => Some(Record::Committed(payload)),
        (TRUNCATE, KEEP_NONE) => Some(Record::Truncate(None)),
        (TRUNCATE, KEEP_UPTO) => Some(Record::Truncate(Some(id.index))),
        (PURGE, _) => Some(Record::Purge(id)),
        _ => None,
    }
}

fn payload_len(bytes: &[u8]) -> Option<usize> {
    u32_at(bytes, 4).and_then(|len| usize::try_from(len).ok())
}

/// The checksum is bound to the segment's life and to the place, so that stale bytes of a
/// recycled file and misdirected writes do not pass.
fn checksum(generation: u64, offset: u64, body: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&generation.to_le_bytes());
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), body)
}

/// Appends records to a batch that will be written at a known place.
pub(crate) struct Encoder<'a> {
    pub buf: &'a mut Vec<u8>,
    pub generation: u64,
    /// Offset in the segment of the first byte of `buf`.
    pub base: u64,
}

impl Encoder<'_> {
    pub fn entry(&mut self, entry: &Entry) {
        self.put(ENTRY, entry.kind, entry.id, &entry.payload);
    }

    pub fn vote(&mut self, vote: &Bytes) {
        self.put(VOTE, 0, ZERO, vote);
    }

    pub fn committed(&mut self, hint: &Bytes) {
        self.put(COMMITTED, 0, ZERO, hint);
    }

    pub fn truncate(&mut self, index: Option<u64>) {
        match index {
            Some(index) => self.put(TRUNCATE, KEEP_UPTO, EntryId { term: 0, index }, &[]),
            None => self.put(TRUNCATE, KEEP_NONE, ZERO, &[]),
        }
    }

    pub fn purge(&mut self, upto: EntryId) {
        self.put(PURGE, 0, upto, &[]);
    }

    fn put(&mut self, class: u8, kind: u8, id: EntryId, payload: &[u8]) {
        let start = self.buf.len();
        // Lengths are below RECORD_BYTES_MAX, which callers have checked.
        let len = payload.len() as u32;
        let mut header = [0; RECORD_HEADER];
        header[4..8].copy_from_slice(&len.to_le_bytes());
        header[8] = class;
        header[9] = kind;
        header[12..20].copy_from_slice(&id.term.to_le_bytes());
        header[20..28].copy_from_slice(&id.index.to_le_bytes());
        self.buf.extend_from_slice(&header);
        self.buf.extend_from_slice(payload);
        let sum = checksum(
            self.generation,
            self.base + start as u64,
            &self.buf[start + 4..],
        );
        self.buf[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

const ZERO: EntryId = EntryId { term: 0, index: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(generation: u64, base: u64) -> Vec<u8> {
        let mut buf = Vec::new();
        let id = EntryId { term: 3, index: 9 };
        let entry = Entry {
            id,
            kind: 7,
            payload: Bytes::from_static(b"payload"),
        };
        Encoder {
            buf: &mut buf,
            generation,
            base,
        }
        .entry(&entry);
        buf
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let buf = encoded(11, 4096);
        assert_eq!(verify(&buf, 11, 4096), Ok(buf.len()));
        let id = EntryId { term: 3, index: 9 };
        assert_eq!(
            decode(&buf),
            Some(Record::Entry {
                id,
                kind: 7,
                payload: b"payload"
            })
        );
    }

    #[test]
    fn another_generation_or_place_does_not_pass() {
        let buf = encoded(11, 4096);
        assert!(verify(&buf, 12, 4096).is_err());
        assert!(verify(&buf, 11, 8192).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let buf = encoded(11, 4096);
        for bit in 0..buf.len() * 8 {
            let mut bad = buf.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad, 11, 4096).is_err(), "bit {bit}");
        }
        for cut in 0..buf.len() {
            assert!(verify(&buf[..cut], 11, 4096).is_err(), "cut {cut}");
        }
    }
}
