//! One segment file: its name, its header page, and the identity that its records are bound to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::batch::PAGE;
use crate::bytes_at::{u32_at, u64_at};
use crate::storage::File;

/// Offset of the first batch; the header has this page for itself.
pub(crate) const FIRST_BATCH: u64 = PAGE as u64;

/// The only format version there is.
pub(crate) const VERSION: u8 = 1;

const MAGIC: [u8; 8] = *b"MSTNDWAL";
const RECYCLED: u8 = 1;
const HEADER: usize = 60;
const SUM_AT: usize = 56;

/// What a segment's header page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Position in the log; the file name repeats it.
    pub sequence: u64,
    /// Drawn at random for each life of the file, so that bytes of an earlier life never parse
    /// and no value that a client stores can pass for a batch.
    pub generation: u64,
    /// Size in bytes that the file is given.
    pub capacity: u64,
    /// Whether the file had an earlier life.
    pub recycled: bool,
    /// Generation of the segment before, 0 for the first.
    pub previous_generation: u64,
    /// Where the batches of the segment before end. All of them were durable by then.
    pub previous_end: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        page[..8].copy_from_slice(&MAGIC);
        page[8] = VERSION;
        page[9] = if self.recycled { RECYCLED } else { 0 };
        page[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        page[24..32].copy_from_slice(&self.generation.to_le_bytes());
        page[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        page[40..48].copy_from_slice(&self.previous_generation.to_le_bytes());
        page[48..56].copy_from_slice(&self.previous_end.to_le_bytes());
        let sum = crc32c::crc32c(&page[..SUM_AT]);
        page[SUM_AT..HEADER].copy_from_slice(&sum.to_le_bytes());
        page
    }

    /// Reads the header of `file`. It was durable before the file got its name, so a bad one is
    /// corruption and never a torn write.
    pub fn decode(page: &[u8], file: &Path) -> Result<Self, Error> {
        let malformed = |what| Error::Malformed {
            file: file.to_path_buf(),
            offset: 0,
            what,
        };
        if page.get(..8) != Some(&MAGIC[..]) {
            return Err(malformed("this is not a segment of the raft log"));
        }
        let found = page.get(8).copied().unwrap_or(0);
        if found != VERSION {
            let file = file.to_path_buf();
            return Err(Error::Version {
                file,
                found,
                supported: VERSION,
            });
        }
        let field = |at| u64_at(page, at).ok_or_else(|| malformed("the header is cut short"));
        let expected = u32_at(page, SUM_AT).unwrap_or(0);
        let actual = crc32c::crc32c(page.get(..SUM_AT).unwrap_or_default());
        if expected != actual {
            let file = file.to_path_buf();
            return Err(Error::Checksum {
                file,
                offset: 0,
                expected,
                actual,
            });
        }
        Ok(Self {
            sequence: field(16)?,
            generation: field(24)?,
            capacity: field(32)?,
            recycled: page.get(9) == Some(&RECYCLED),
            previous_generation: field(40)?,
            previous_end: field(48)?,
        })
    }
}

/// An open segment, shared by the writer and the readers.
pub(crate) struct Segment {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub header: SegmentHeader,
}

/// What a name in the log's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// A segment of the log, by sequence.
    Segment(u64),
    /// A file kept for the next segment, by a number that only keeps names apart.
    Spare(u64),
}

impl Name {
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Segment(sequence) => format!("{sequence:016x}.wal"),
            Self::Spare(number) => format!("{number:016x}.spare"),
        })
    }

    /// `None` for files that are not ours; they are left alone.
    pub fn parse(name: &str) -> Option<Self> {
        let (stem, extension) = name.split_once('.')?;
        let number = u64::from_str_radix(stem, 16).ok()?;
        let parsed = match extension {
            "wal" => Self::Segment(number),
            "spare" => Self::Spare(number),
            _ => return None,
        };
        // Only the canonical spelling, so that two names never mean one segment.
        (parsed.path(Path::new("")).to_str() == Some(name)).then_some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: SegmentHeader = SegmentHeader {
        sequence: 7,
        generation: 99,
        capacity: 1 << 20,
        recycled: true,
        previous_generation: 98,
        previous_end: 8192,
    };

    #[test]
    fn a_header_survives_and_a_flipped_bit_does_not() {
        let page = HEAD.encode();
        assert_eq!(SegmentHeader::decode(&page, Path::new("x")).unwrap(), HEAD);
        for bit in 0..HEADER * 8 {
            let mut bad = page;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                SegmentHeader::decode(&bad, Path::new("x")).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn an_unknown_version_is_named() {
        let mut page = HEAD.encode();
        page[8] = 2;
        let error = SegmentHeader::decode(&page, Path::new("x")).unwrap_err();
        let text = "x has raft log format version 2, this program reads version 1";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn only_canonical_names_are_ours() {
        for name in [Name::Segment(0x2a), Name::Spare(3)] {
            assert_eq!(
                Name::parse(name.path(Path::new("")).to_str().unwrap()),
                Some(name)
            );
        }
        for other in [
            "2a.wal",
            "000000000000002A.wal",
            "lock",
            "+00000000000002a.wal",
            "x.wal",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
