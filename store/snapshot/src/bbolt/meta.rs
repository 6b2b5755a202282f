//! The two meta pages: where the tree begins and how far the file reaches.

use std::hash::Hasher;

use fnv::FnvHasher;

use super::page::{HEADER_BYTES, Header, META, PAGE_BYTES, u32_at, u64_at};
use crate::Error;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// In place of the freelist's page where there is none; etcd writes none either, and bbolt finds
/// free pages at open by what the tree does not reach.
const NO_FREELIST: u64 = u64::MAX;
/// Bytes that the checksum covers.
const SUMMED_BYTES: usize = 56;
/// Bytes from the beginning of a page to the end of what it says.
pub const META_BYTES: usize = HEADER_BYTES + SUMMED_BYTES + 8;

/// Page sizes that bbolt has been seen with; the smallest is where it looks for a second meta
/// page when the first is broken.
pub const PAGE_BYTES_MIN: u32 = 1024;
pub const PAGE_BYTES_MAX: u32 = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub page_bytes: u32,
    /// Root page of the tree of buckets.
    pub root: u64,
    /// Pages in use, from the first; none at or beyond this may be named.
    pub pages: u64,
    /// The one of two valid metas with the higher number is in force.
    pub transaction: u64,
}

impl Meta {
    /// Reads the meta in a page; none if it is no valid one.
    pub fn read(page: &[u8]) -> Result<Option<Meta>, Error> {
        let at = |place: usize| HEADER_BYTES + place;
        let Some(summed) = page.get(HEADER_BYTES..at(SUMMED_BYTES)) else {
            return Ok(None);
        };
        let good = u32_at(page, at(0))? == MAGIC
            && u32_at(page, at(4))? == VERSION
            && u64_at(page, at(SUMMED_BYTES))? == checksum(summed);
        let page_bytes = u32_at(page, at(8))?;
        let sizes = PAGE_BYTES_MIN..=PAGE_BYTES_MAX;
        if !good || !page_bytes.is_power_of_two() || !sizes.contains(&page_bytes) {
            return Ok(None);
        }
        Ok(Some(Meta {
            page_bytes,
            root: u64_at(page, at(16))?,
            pages: u64_at(page, at(40))?,
            transaction: u64_at(page, at(48))?,
        }))
    }

    /// The whole page. Its number follows from the transaction, as in bbolt.
    pub fn page(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        let header = Header {
            id: self.transaction % 2,
            kind: META,
            count: 0,
            overflow: 0,
        };
        header.write(&mut page);
        for word in [MAGIC, VERSION, self.page_bytes, 0] {
            page.extend_from_slice(&word.to_le_bytes());
        }
        let sequence = 0;
        let rest = [
            self.root,
            sequence,
            NO_FREELIST,
            self.pages,
            self.transaction,
        ];
        for word in rest {
            page.extend_from_slice(&word.to_le_bytes());
        }
        let sum = checksum(page.get(HEADER_BYTES..).unwrap_or_default());
        page.extend_from_slice(&sum.to_le_bytes());
        page.resize(PAGE_BYTES, 0);
        page
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = FnvHasher::default();
    hash.write(bytes);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_survives_and_no_flipped_bit_does() {
        let meta = Meta {
            page_bytes: 4096,
            root: 7,
            pages: 9,
            transaction: 3,
        };
        let page = meta.page();
        assert_eq!(Meta::read(&page).unwrap(), Some(meta));
        for bit in HEADER_BYTES * 8..META_BYTES * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::read(&flipped).unwrap(), None, "bit {bit}");
        }
        assert_eq!(Meta::read(&page[..META_BYTES - 9]).unwrap(), None);
    }
}
