//! One batch: what one write and one sync make durable. Layout in `README.md`.

use crate::bytes_at::{u32_at, u64_at};
use crate::record::{self, Mismatch, Record};

/// Batches begin at multiples of this and are padded to it, so that a batch never shares a page
/// with durable bytes, and a write into a recycled segment reads no old page.
pub(crate) const PAGE: usize = 4096;

/// Bytes before the first record.
pub(crate) const BATCH_HEADER: usize = 40;

const MAGIC: [u8; 4] = *b"MWB1";

/// The header of a batch that passed its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Every byte of the segment below this was durable when the batch was written.
    pub durable: u64,
    /// Bytes of the records, without header and padding.
    pub body: usize,
    /// Number of records.
    pub count: u32,
}

/// Bytes that a batch with this much of records takes in the segment.
pub(crate) fn padded(body: usize) -> usize {
    (BATCH_HEADER + body).next_multiple_of(PAGE)
}

/// Completes a batch: `buf` begins with room for the header, then the records.
pub(crate) fn seal(buf: &mut Vec<u8>, generation: u64, offset: u64, durable: u64, count: u32) {
    // A batch is at most one record beyond BATCH_BYTES_MAX, far below 4 GiB.
    let body = (buf.len() - BATCH_HEADER) as u32;
    buf.resize(buf.len().next_multiple_of(PAGE), 0);
    buf[4..8].copy_from_slice(&MAGIC);
    buf[8..16].copy_from_slice(&generation.to_le_bytes());
    buf[16..24].copy_from_slice(&offset.to_le_bytes());
    buf[24..32].copy_from_slice(&durable.to_le_bytes());
    buf[32..36].copy_from_slice(&body.to_le_bytes());
    buf[36..40].copy_from_slice(&count.to_le_bytes());
    let sum = crc32c::crc32c(&buf[4..BATCH_HEADER]);
    buf[..4].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a header that lies at `offset` of a segment of `generation`. The checksum is computed
/// with that generation and offset in place of what is on disk, so a stale batch fails as well.
pub(crate) fn header(bytes: &[u8], generation: u64, offset: u64) -> Result<BatchHeader, Mismatch> {
    let expected = u32_at(bytes, 0).unwrap_or(0);
    let Some(disk) = bytes.first_chunk::<BATCH_HEADER>() else {
        return Err(Mismatch {
            expected,
            actual: crc32c::crc32c(bytes),
        });
    };
    let mut own = *disk;
    own[4..8].copy_from_slice(&MAGIC);
    own[8..16].copy_from_slice(&generation.to_le_bytes());
    own[16..24].copy_from_slice(&offset.to_le_bytes());
    let actual = crc32c::crc32c(&own[4..]);
    let whole = own[4..] == disk[4..];
    let fields = (u64_at(disk, 24), u32_at(disk, 32), u32_at(disk, 36));
    match fields {
        (Some(durable), Some(body), Some(count)) if whole && actual == expected => {
            Ok(BatchHeader {
                durable,
                body: body as usize,
                count,
            })
        }
        // The damage is in a field that was replaced above.
        _ if actual == expected => Err(Mismatch {
            expected,
            actual: crc32c::crc32c(&disk[4..]),
        }),
        _ => Err(Mismatch { expected, actual }),
    }
}

/// Whether the bytes could begin a batch at all: a cheap test before [`header`].
pub(crate) fn looks_like_one(bytes: &[u8], generation: u64) -> bool {
    bytes.get(4..8) == Some(&MAGIC[..]) && u64_at(bytes, 8) == Some(generation)
}

/// Why the records of a batch cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadBody {
    /// A record failed its checksum, at this distance from the start of the batch.
    Record(usize, Mismatch),
    /// The records hold but do not fill the body or are not as many as the header says.
    Count,
}

/// Checks every record of the batch in `bytes` (header included) that lies at `offset`.
pub(crate) fn check_body(
    bytes: &[u8],
    header: BatchHeader,
    generation: u64,
    offset: u64,
) -> Result<(), BadBody> {
    let (mut at, mut count) = (BATCH_HEADER, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = record::verify(rest, generation, offset + at as u64)
            .map_err(|mismatch| BadBody::Record(at, mismatch))?;
        at += len;
        count += 1;
    }
    if count == header.count {
        Ok(())
    } else {
        Err(BadBody::Count)
    }
}

/// The records of a batch that passed [`check_body`], each with its distance from the start of
/// the batch; `None` for one which this version does not know.
pub(crate) fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, Option<Record<'_>>)> {
    let mut at = BATCH_HEADER;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let len = u32_at(rest, 4)? as usize;
        let item = (at, record::decode(rest));
        at += record::RECORD_HEADER + len;
        Some(item)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_only_in_its_own_life_and_place() {
        let mut buf = vec![0; BATCH_HEADER];
        seal(&mut buf, 7, 8192, 4096, 0);
        assert_eq!(buf.len(), PAGE);
        let good = BatchHeader {
            durable: 4096,
            body: 0,
            count: 0,
        };
        assert_eq!(header(&buf, 7, 8192), Ok(good));
        assert!(
            header(&buf, 8, 8192).is_err(),
            "a stale batch of a recycled file was taken"
        );
        assert!(
            header(&buf, 7, 4096).is_err(),
            "a misdirected write was taken"
        );
        for bit in 0..BATCH_HEADER * 8 {
            let mut bad = buf.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mismatch = header(&bad, 7, 8192).unwrap_err();
            assert_ne!(mismatch.expected, mismatch.actual, "bit {bit}");
        }
        for cut in 0..BATCH_HEADER {
            assert!(header(&buf[..cut], 7, 8192).is_err(), "cut {cut}");
        }
    }
}
